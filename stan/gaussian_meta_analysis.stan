// A multilevel model, gaussian response with identity link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

data {
  // response
  int<lower=1> N;  // rows
  vector[N] y;
  vector<lower=0>[N] se;  // known standard deviations of the response

  // fixed effects
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;

  // random term 1: one effect of each level
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  real prior_sd_1_loc;
  real<lower=0> prior_sd_1_scale;

  // computation
  int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out
}

transformed data {
  real<lower=0> alpha_unit = 0.4 * prior_alpha_scale;  // unit that alpha is sampled in
}

parameters {
  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept

  // random term 1: one effect of each level
  real<lower=0> sd_1;  // standard deviation between levels
  vector[J_1] std_u_1;  // effects over their standard deviation
}

transformed parameters {
  vector[J_1] u_1 = sd_1 * std_u_1;  // effects of the levels
}

model {
  if (!prior_only) {
    vector[N] eta = alpha + u_1[g_1];
    y ~ normal(eta, se);
  }
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  std_u_1 ~ std_normal();
}
