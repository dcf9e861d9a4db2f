// A multilevel model, tweedie response with log link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  // The density is a sum over that number, added up until its terms have passed their largest and no longer count.
  real log_tweedie(real y, real eta, real dispersion, real power) {
    real rate = exp((2 - power) * eta) / (dispersion * (2 - power));
    if (y == 0) {
      return -rate;
    }
    real a = (2 - power) / (power - 1);
    real step = a * log(y / (power - 1)) - (1 + a) * log(dispersion) - log(2 - power);
    real largest = y ^ (2 - power) / (dispersion * (2 - power));
    real term = step - lgamma(a);
    real total = term;
    int j = 1;
    while (j < 100000 && (j < largest || term > total - 37)) {
      j += 1;
      term = j * step - lgamma(j + 1.0) - lgamma(j * a);
      total = log_sum_exp(total, term);
    }
    return total - log(y) - rate - y * exp((1 - power) * eta) / (dispersion * (power - 1));
  }
  real tweedie_lpdf(real y, real eta, real dispersion, real power) {
    return log_tweedie(y, eta, dispersion, power);
  }
  real tweedie_lpdf(vector y, vector eta, real dispersion, real power) {
    real total = 0;
    for (n in 1:num_elements(y)) {
      total += log_tweedie(y[n], eta[n], dispersion, power);
    }
    return total;
  }
  real tweedie_rng(real eta, real dispersion, real power) {
    int parts = poisson_rng(exp((2 - power) * eta) / (dispersion * (2 - power)));
    if (parts == 0) {
      return 0;
    }
    return gamma_rng(parts * (2 - power) / (power - 1), exp((1 - power) * eta) / (dispersion * (power - 1)));
  }
}

data {
  // response
  int<lower=1> N;  // rows
  vector<lower=0>[N] y;
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

  // random term 1: correlated effects of each level, covariates at their means
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  vector[M_1] prior_sd_1_loc;
  vector<lower=0>[M_1] prior_sd_1_scale;
  real<lower=0> prior_L_1_eta;

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
}

parameters {
  // response
  real<lower=1, upper=2> power;  // power of the variance
  real<lower=0> dispersion;  // dispersion

  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: correlated effects of each level, covariates at their means
  vector<lower=0>[M_1] sd_1;  // standard deviations between levels
  cholesky_factor_corr[M_1] L_1;  // factor of the correlation matrix
  matrix[M_1, J_1] std_u_1;  // effects, uncorrelated and over their standard deviations
}

transformed parameters {
  matrix[J_1, M_1] u_1 = (diag_pre_multiply(sd_1, L_1) * std_u_1)';  // effects of the levels
}

model {
  if (!prior_only) {
    vector[N] eta = alpha + Xc * beta + rows_dot_product(Zc_1, u_1[g_1]);
    y ~ tweedie(eta, dispersion, power);
  }
  dispersion ~ student_t(prior_dispersion_df, prior_dispersion_loc, prior_dispersion_scale);
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  L_1 ~ lkj_corr_cholesky(prior_L_1_eta);
  to_vector(std_u_1) ~ std_normal();
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
  matrix[M_1, M_1] Omega_1 = multiply_lower_tri_self_transpose(L_1);  // correlation matrix
  vector[N] log_lik;  // log likelihood of each row
  vector[N] y_rep;  // responses drawn anew
  {
    vector[N] eta = alpha + Xc * beta + rows_dot_product(Zc_1, u_1[g_1]);
    for (n in 1:N) {
      log_lik[n] = tweedie_lpdf(y[n] | eta[n], dispersion, power);
      y_rep[n] = tweedie_rng(eta[n], dispersion, power);
    }
  }
}
