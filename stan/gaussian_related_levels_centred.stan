// A multilevel model, gaussian response with identity link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  // Rows of u are independent multivariate normal with mean zero and covariance L L'.
  real level_effects_lpdf(matrix u, matrix L) {
    return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u'))) - rows(u) * sum(log(diagonal(L)));
  }
}

data {
  // response
  int<lower=1> N;  // rows
  vector[N] y;
  real<lower=0> prior_sigma_rate;

  // fixed effects
  int<lower=1> K;  // predictors
  matrix[N, K] X;
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;
  vector[K] prior_beta_loc;
  vector<lower=0>[K] prior_beta_scale;

  // random term 1: correlated effects of each level, centred, covariates at their means, levels related
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  vector[M_1] prior_sd_1_loc;
  vector<lower=0>[M_1] prior_sd_1_scale;
  real<lower=0> prior_L_1_eta;
  matrix[J_1, J_1] A_1;  // lower factor of the correlations of the levels

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
  real<lower=0> sigma;  // residual standard deviation

  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: correlated effects of each level, centred, covariates at their means, levels related
  vector<lower=0>[M_1] sd_1;  // standard deviations between levels
  cholesky_factor_corr[M_1] L_1;  // factor of the correlation matrix
  matrix[J_1, M_1] u_1;  // effects of the levels
}

model {
  if (!prior_only) {
    // X beta is left to the likelihood
    vector[N] eta = alpha + rows_dot_product(Zc_1, u_1[g_1]);
    y ~ normal_id_glm(Xc, eta, beta, sigma);
  }
  sigma ~ exponential(prior_sigma_rate);
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  L_1 ~ lkj_corr_cholesky(prior_L_1_eta);
  mdivide_left_tri_low(A_1, u_1) ~ level_effects(diag_pre_multiply(sd_1, L_1));
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
  matrix[M_1, M_1] Omega_1 = multiply_lower_tri_self_transpose(L_1);  // correlation matrix
}
