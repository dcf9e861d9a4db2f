// A multilevel model, cumulative response with logit link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

data {
  // response
  int<lower=1> N;  // rows
  int<lower=2> C;  // categories
  array[N] int<lower=1, upper=C> y;

  // fixed effects
  int<lower=1> K;  // predictors
  matrix[N, K] X;
  real prior_cut_loc;
  real<lower=0> prior_cut_scale;
  vector[K] prior_beta_loc;
  vector<lower=0>[K] prior_beta_scale;

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
  vector<lower=0>[K] beta_unit = 0.4 * prior_beta_scale;  // unit that beta is sampled in
}

parameters {
  // fixed effects
  ordered[C - 1] cut;  // thresholds, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients
}

model {
  if (!prior_only) {
    y ~ ordered_logistic_glm(Xc, beta, cut);
  }
  cut ~ normal(prior_cut_loc, prior_cut_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
}

generated quantities {
  vector[C - 1] threshold = cut + dot_product(x_bar, beta);  // thresholds, the predictors at zero
}
