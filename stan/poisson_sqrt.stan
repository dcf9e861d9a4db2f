// A multilevel model, poisson response with sqrt link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

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

  // random term 1: one effect of each level
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  real prior_sd_1_loc;
  real<lower=0> prior_sd_1_scale;

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
  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: one effect of each level
  real<lower=0> sd_1;  // standard deviation between levels
  vector[J_1] std_u_1;  // effects over their standard deviation
}

transformed parameters {
  vector[J_1] u_1 = sd_1 * std_u_1;  // effects of the levels
}

model {
  if (!prior_only) {
    vector[N] eta = alpha + Xc * beta + u_1[g_1];
    y ~ poisson(square(eta));
  }
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  std_u_1 ~ std_normal();
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
}
