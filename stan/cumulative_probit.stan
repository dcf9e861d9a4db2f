// A multilevel model, cumulative response with probit link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

data {
  // response
  int<lower=1> N;  // rows
  int<lower=2> C;  // categories
  array[N] int<lower=1, upper=C> y;

  // fixed effects
  real prior_cut_loc;
  real<lower=0> prior_cut_scale;

  // random term 1: one effect of each level
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  real prior_sd_1_loc;
  real<lower=0> prior_sd_1_scale;

  // computation
  int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out
}

parameters {
  // fixed effects
  ordered[C - 1] cut;  // thresholds

  // random term 1: one effect of each level
  real<lower=0> sd_1;  // standard deviation between levels
  vector[J_1] std_u_1;  // effects over their standard deviation
}

transformed parameters {
  vector[J_1] u_1 = sd_1 * std_u_1;  // effects of the levels
}

model {
  if (!prior_only) {
    vector[N] eta = u_1[g_1];
    y ~ ordered_probit(eta, cut);
  }
  cut ~ normal(prior_cut_loc, prior_cut_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  std_u_1 ~ std_normal();
}
