// A multilevel model, hurdle_poisson response with log link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  real truncated_poisson_log_lpmf(int y, real eta) {
    return poisson_log_lpmf(y | eta) - log1m_exp(-exp(eta));
  }
  real truncated_poisson_log_lpmf(array[] int y, vector eta) {
    return poisson_log_lpmf(y | eta) - sum(log1m_exp(-exp(eta)));
  }
  // The first event comes within the time, and the others after it.
  int truncated_poisson_log_rng(real eta) {
    real first = -log1m(uniform_rng(0, 1) * -expm1(-exp(eta)));
    return 1 + poisson_rng(fmax(exp(eta) - first, 0));
  }

  real hurdle_poisson_log_lpmf(int y, real eta, real zeta) {
    real other = y == 0 ? zeta : truncated_poisson_log_lpmf(y | eta);
    return other - log1p_exp(zeta);
  }
  // Of rows above zero the truncated density; of others it is taken away that poisson_log adds.
  real hurdle_poisson_log_lpmf(array[] int y, vector eta, vector zeta) {
    vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
    return poisson_log_lpmf(y | eta) + dot_product(is_zero, zeta + exp(eta))
        - dot_product(1 - is_zero, log1m_exp(-exp(eta))) - sum(log1p_exp(zeta));
  }
  int hurdle_poisson_log_rng(real eta, real zeta) {
    if (bernoulli_logit_rng(zeta) == 1) {
      return 0;
    }
    return truncated_poisson_log_rng(eta);
  }

  // Log likelihood of the rows from start to end.
  real partial_log_lik_lpmf(array[] int slice, int start, int end,
      data array[] int y, data matrix Xc, data matrix Xc_zi, data array[] int g_1,
      data matrix Zc_1, data array[] int g_2, data array[] int g_zi_1,
      data matrix Z_zi_1, real alpha, vector beta, real alpha_zi, vector beta_zi,
      matrix u_1, vector u_2, matrix u_zi_1) {
    vector[end - start + 1] eta = alpha
                                + Xc[start:end] * beta
                                + rows_dot_product(Zc_1[start:end], u_1[g_1[start:end]])
                                + u_2[g_2[start:end]];
    vector[end - start + 1] zeta = alpha_zi
                                 + Xc_zi[start:end] * beta_zi
                                 + rows_dot_product(Z_zi_1[start:end], u_zi_1[g_zi_1[start:end]]);
    return hurdle_poisson_log_lupmf(y[start:end] | eta, zeta);
  }
}

data {
  // response
  int<lower=1> N;  // rows
  array[N] int<lower=0> y;

  // fixed effects
  int<lower=1> K;  // predictors
  matrix[N, K] X;
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;
  vector[K] prior_beta_loc;
  vector<lower=0>[K] prior_beta_scale;

  // random term 1: correlated effects of each level, covariates at their means
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  vector[M_1] prior_sd_1_loc;
  vector<lower=0>[M_1] prior_sd_1_scale;
  real<lower=0> prior_L_1_eta;

  // random term 2: one effect of each level
  int<lower=1> J_2;  // levels
  array[N] int<lower=1, upper=J_2> g_2;  // level of each row
  real prior_sd_2_loc;
  real<lower=0> prior_sd_2_scale;

  // fixed effects of the zeros
  int<lower=1> K_zi;  // predictors
  matrix[N, K_zi] X_zi;
  real prior_alpha_zi_loc;
  real<lower=0> prior_alpha_zi_scale;
  vector[K_zi] prior_beta_zi_loc;
  vector<lower=0>[K_zi] prior_beta_zi_scale;

  // random term 1 of the zeros: independent effects of each level
  int<lower=1> J_zi_1;  // levels
  array[N] int<lower=1, upper=J_zi_1> g_zi_1;  // level of each row
  int<lower=2> M_zi_1;  // effects of a level
  matrix[N, M_zi_1] Z_zi_1;  // covariates
  vector[M_zi_1] prior_sd_zi_1_loc;
  vector<lower=0>[M_zi_1] prior_sd_zi_1_scale;

  // computation
  int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out
  int<lower=1> grainsize;  // rows of a slice
}

transformed data {
  array[N] int row_numbers = linspaced_int_array(N, 1, N);
  vector[K] x_bar;  // means of the predictors
  matrix[N, K] Xc;  // centred predictors
  for (k in 1:K) {
    x_bar[k] = mean(X[, k]);
    Xc[, k] = X[, k] - x_bar[k];
  }
  real<lower=0> alpha_unit = 0.4 * prior_alpha_scale;  // unit that alpha is sampled in
  vector<lower=0>[K] beta_unit = 0.4 * prior_beta_scale;  // unit that beta is sampled in
  matrix[N, M_1] Zc_1 = Z_1;  // covariates less their means, which the effects and their priors are for
  for (m in 2:M_1) {
    Zc_1[, m] = Z_1[, m] - mean(Z_1[, m]);
  }
  vector[K_zi] x_bar_zi;  // means of the predictors
  matrix[N, K_zi] Xc_zi;  // centred predictors
  for (k in 1:K_zi) {
    x_bar_zi[k] = mean(X_zi[, k]);
    Xc_zi[, k] = X_zi[, k] - x_bar_zi[k];
  }
  real<lower=0> alpha_zi_unit = 0.4 * prior_alpha_zi_scale;  // unit that alpha_zi is sampled in
  vector<lower=0>[K_zi] beta_zi_unit = 0.4 * prior_beta_zi_scale;  // unit that beta_zi is sampled in
}

parameters {
  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: correlated effects of each level, covariates at their means
  vector<lower=0>[M_1] sd_1;  // standard deviations between levels
  cholesky_factor_corr[M_1] L_1;  // factor of the correlation matrix
  matrix[M_1, J_1] std_u_1;  // effects, uncorrelated and over their standard deviations

  // random term 2: one effect of each level
  real<lower=0> sd_2;  // standard deviation between levels
  vector[J_2] std_u_2;  // effects over their standard deviation

  // fixed effects of the zeros
  real<offset=prior_alpha_zi_loc, multiplier=alpha_zi_unit> alpha_zi;  // intercept, the predictors at their means
  vector<offset=prior_beta_zi_loc, multiplier=beta_zi_unit>[K_zi] beta_zi;  // coefficients

  // random term 1 of the zeros: independent effects of each level
  vector<lower=0>[M_zi_1] sd_zi_1;  // standard deviations between levels
  matrix[J_zi_1, M_zi_1] std_u_zi_1;  // effects over their standard deviations
}

transformed parameters {
  matrix[J_1, M_1] u_1 = (diag_pre_multiply(sd_1, L_1) * std_u_1)';  // effects of the levels
  vector[J_2] u_2 = sd_2 * std_u_2;  // effects of the levels
  matrix[J_zi_1, M_zi_1] u_zi_1 = diag_post_multiply(std_u_zi_1, sd_zi_1);  // effects of the levels
}

model {
  if (!prior_only) {
    target += reduce_sum(partial_log_lik_lupmf, row_numbers, grainsize, y, Xc, Xc_zi,
        g_1, Zc_1, g_2, g_zi_1, Z_zi_1, alpha, beta, alpha_zi, beta_zi, u_1, u_2,
        u_zi_1);
  }
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  L_1 ~ lkj_corr_cholesky(prior_L_1_eta);
  to_vector(std_u_1) ~ std_normal();
  sd_2 ~ normal(prior_sd_2_loc, prior_sd_2_scale);
  std_u_2 ~ std_normal();
  alpha_zi ~ normal(prior_alpha_zi_loc, prior_alpha_zi_scale);
  beta_zi ~ normal(prior_beta_zi_loc, prior_beta_zi_scale);
  sd_zi_1 ~ normal(prior_sd_zi_1_loc, prior_sd_zi_1_scale);
  to_vector(std_u_zi_1) ~ std_normal();
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
  matrix[M_1, M_1] Omega_1 = multiply_lower_tri_self_transpose(L_1);  // correlation matrix
  real intercept_zi = alpha_zi - dot_product(x_bar_zi, beta_zi);  // intercept, the predictors at zero
}
