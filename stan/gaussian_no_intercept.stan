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
  vector[K] prior_beta_loc;
  vector<lower=0>[K] prior_beta_scale;

  // computation
  int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out
}

transformed data {
  vector<lower=0>[K] beta_unit = 0.4 * prior_beta_scale;  // unit that beta is sampled in
}

parameters {
  // response
  real<lower=0> sigma;  // residual standard deviation

  // fixed effects
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients
}

model {
  if (!prior_only) {
    y ~ normal_id_glm(X, 0, beta, sigma);
  }
  sigma ~ exponential(prior_sigma_rate);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
}
