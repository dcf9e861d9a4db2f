// A multilevel model, beta_binomial response with logit link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

data {
  // response
  int<lower=1> N;  // rows
  array[N] int<lower=0> y;
  array[N] int<lower=0> trials;
  real<lower=0> prior_phi_df;
  real prior_phi_loc;
  real<lower=0> prior_phi_scale;

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
  real<lower=0> phi;  // precision

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
}

transformed parameters {
  matrix[J_1, M_1] u_1 = (diag_pre_multiply(sd_1, L_1) * std_u_1)';  // effects of the levels
  vector[J_2] u_2 = sd_2 * std_u_2;  // effects of the levels
}

model {
  if (!prior_only) {
    vector[N] eta = alpha + Xc * beta + rows_dot_product(Zc_1, u_1[g_1]) + u_2[g_2];
    y ~ beta_binomial(trials, (inv_logit(eta)) * phi, (1 - (inv_logit(eta))) * phi);
  }
  phi ~ student_t(prior_phi_df, prior_phi_loc, prior_phi_scale);
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  L_1 ~ lkj_corr_cholesky(prior_L_1_eta);
  to_vector(std_u_1) ~ std_normal();
  sd_2 ~ normal(prior_sd_2_loc, prior_sd_2_scale);
  std_u_2 ~ std_normal();
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
  matrix[M_1, M_1] Omega_1 = multiply_lower_tri_self_transpose(L_1);  // correlation matrix
  vector[N] log_lik;  // log likelihood of each row
  array[N] int y_rep;  // responses drawn anew
  {
    vector[N] eta = alpha + Xc * beta + rows_dot_product(Zc_1, u_1[g_1]) + u_2[g_2];
    for (n in 1:N) {
      log_lik[n] = beta_binomial_lpmf(y[n] | trials[n], (inv_logit(eta[n])) * phi, (1 - (inv_logit(eta[n]))) * phi);
      y_rep[n] = beta_binomial_rng(trials[n], (inv_logit(eta[n])) * phi, (1 - (inv_logit(eta[n]))) * phi);
    }
  }
}
