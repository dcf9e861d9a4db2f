// A multilevel model, gaussian response with identity link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

data {
  // response
  int<lower=1> N;  // rows
  vector[N] y;
  real<lower=0> prior_sigma_rate;

  // fixed effects
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;

  // computation
  int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out
}

transformed data {
  real<lower=0> alpha_unit = 0.4 * prior_alpha_scale;  // unit that alpha is sampled in
}

parameters {
  // response
  real<lower=0> sigma;  // residual standard deviation

  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept
}

model {
  if (!prior_only) {
    vector[N] eta = rep_vector(alpha, N);
    y ~ normal(eta, sigma);
  }
  sigma ~ exponential(prior_sigma_rate);
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
}
