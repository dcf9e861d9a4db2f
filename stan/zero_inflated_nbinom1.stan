// A multilevel model, zero_inflated_nbinom1 response with log link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  real zero_inflated_nbinom1_log_lpmf(int y, real eta, real zeta, real dispersion) {
    real k = exp(eta) / dispersion;
    real besides = y == 0 ? log1p_exp(zeta + k * log1p(dispersion)) : 0;
    return neg_binomial_2_lpmf(y | exp(eta), k) + besides - log1p_exp(zeta);
  }
  real zero_inflated_nbinom1_log_lpmf(array[] int y, vector eta, vector zeta, real dispersion) {
    vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
    vector[size(y)] k = exp(eta) / dispersion;
    return neg_binomial_2_lpmf(y | exp(eta), k)
        + dot_product(is_zero, log1p_exp(zeta + k * log1p(dispersion)))
        - sum(log1p_exp(zeta));
  }
  int zero_inflated_nbinom1_log_rng(real eta, real zeta, real dispersion) {
    if (bernoulli_logit_rng(zeta) == 1) {
      return 0;
    }
    return neg_binomial_2_rng(exp(eta), exp(eta) / dispersion);
  }

  // Rows of u are independent multivariate normal with mean zero and covariance L L'.
  real level_effects_lpdf(matrix u, matrix L) {
    return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u'))) - rows(u) * sum(log(diagonal(L)));
  }
}

data {
  // response
  int<lower=1> N;  // rows
  array[N] int<lower=0> y;
  vector[N] offsets;  // known parts of the linear predictor
  real<lower=0> prior_dispersion_df;
  real prior_dispersion_loc;
  real<lower=0> prior_dispersion_scale;

  // fixed effects
  int<lower=1> K;  // predictors
  matrix[N, K] X;
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;
  vector[K] prior_beta_loc;
  vector<lower=0>[K] prior_beta_scale;

  // random term 1: correlated effects of each level, centred, covariates at their means
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
  vector[K_zi] prior_beta_zi_loc;
  vector<lower=0>[K_zi] prior_beta_zi_scale;

  // random term 1 of the zeros: one effect of each level, centred
  int<lower=1> J_zi_1;  // levels
  array[N] int<lower=1, upper=J_zi_1> g_zi_1;  // level of each row
  real prior_sd_zi_1_loc;
  real<lower=0> prior_sd_zi_1_scale;

  // computation
  int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out
}

transformed data {
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
  vector<lower=0>[K_zi] beta_zi_unit = 0.4 * prior_beta_zi_scale;  // unit that beta_zi is sampled in
}

parameters {
  // response
  real<lower=0> dispersion;  // dispersion

  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: correlated effects of each level, centred, covariates at their means
  vector<lower=0>[M_1] sd_1;  // standard deviations between levels
  cholesky_factor_corr[M_1] L_1;  // factor of the correlation matrix
  matrix[J_1, M_1] u_1;  // effects of the levels

  // random term 2: one effect of each level
  real<lower=0> sd_2;  // standard deviation between levels
  vector[J_2] std_u_2;  // effects over their standard deviation

  // fixed effects of the zeros
  vector<offset=prior_beta_zi_loc, multiplier=beta_zi_unit>[K_zi] beta_zi;  // coefficients

  // random term 1 of the zeros: one effect of each level, centred
  real<lower=0> sd_zi_1;  // standard deviation between levels
  vector[J_zi_1] u_zi_1;  // effects of the levels
}

transformed parameters {
  vector[J_2] u_2 = sd_2 * std_u_2;  // effects of the levels
}

model {
  if (!prior_only) {
    vector[N] eta = alpha
                  + offsets
                  + Xc * beta
                  + rows_dot_product(Zc_1, u_1[g_1])
                  + u_2[g_2];
    vector[N] zeta = X_zi * beta_zi + u_zi_1[g_zi_1];
    y ~ zero_inflated_nbinom1_log(eta, zeta, dispersion);
  }
  dispersion ~ student_t(prior_dispersion_df, prior_dispersion_loc, prior_dispersion_scale);
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  L_1 ~ lkj_corr_cholesky(prior_L_1_eta);
  u_1 ~ level_effects(diag_pre_multiply(sd_1, L_1));
  sd_2 ~ normal(prior_sd_2_loc, prior_sd_2_scale);
  std_u_2 ~ std_normal();
  beta_zi ~ normal(prior_beta_zi_loc, prior_beta_zi_scale);
  sd_zi_1 ~ normal(prior_sd_zi_1_loc, prior_sd_zi_1_scale);
  u_zi_1 ~ normal(0, sd_zi_1);
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
  matrix[M_1, M_1] Omega_1 = multiply_lower_tri_self_transpose(L_1);  // correlation matrix
  vector[N] log_lik;  // log likelihood of each row
  array[N] int y_rep;  // responses drawn anew
  {
    vector[N] eta = alpha
                  + offsets
                  + Xc * beta
                  + rows_dot_product(Zc_1, u_1[g_1])
                  + u_2[g_2];
    vector[N] zeta = X_zi * beta_zi + u_zi_1[g_zi_1];
    for (n in 1:N) {
      log_lik[n] = zero_inflated_nbinom1_log_lpmf(y[n] | eta[n], zeta[n], dispersion);
      y_rep[n] = zero_inflated_nbinom1_log_rng(eta[n], zeta[n], dispersion);
    }
  }
}
