// A multilevel model, gaussian response with identity link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

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

  // random term 1: independent effects, of one standard deviation, of each level
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  real<lower=0> prior_tau_1_shape;
  real<lower=0> prior_tau_1_scale;

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
}

parameters {
  // response
  real<lower=0> sigma;  // residual standard deviation

  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: independent effects, of one standard deviation, of each level
  real<lower=0> tau_1;
  matrix[J_1, M_1] std_u_1;  // effects over their standard deviations
}

transformed parameters {
  vector[M_1] sd_1 = rep_vector(sigma * tau_1, M_1);  // standard deviations between levels
  matrix[J_1, M_1] u_1 = diag_post_multiply(std_u_1, sd_1);  // effects of the levels
}

model {
  if (!prior_only) {
    // X beta is left to the likelihood
    vector[N] eta = alpha + rows_dot_product(Z_1, u_1[g_1]);
    y ~ normal_id_glm(Xc, eta, beta, sigma);
  }
  sigma ~ exponential(prior_sigma_rate);
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  tau_1 ~ gamma(prior_tau_1_shape, inv(prior_tau_1_scale));
  to_vector(std_u_1) ~ std_normal();
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
}
