// A multilevel model, zero_inflated_poisson response with log link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  real zero_inflated_poisson_log_lpmf(int y, real eta, real zeta) {
    real besides = y == 0 ? log1p_exp(zeta + exp(eta)) : 0;
    return poisson_log_lpmf(y | eta) + besides - log1p_exp(zeta);
  }
  real zero_inflated_poisson_log_lpmf(array[] int y, vector eta, vector zeta) {
    vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
    return poisson_log_lpmf(y | eta) + dot_product(is_zero, log1p_exp(zeta + exp(eta)))
        - sum(log1p_exp(zeta));
  }
  int zero_inflated_poisson_log_rng(real eta, real zeta) {
    if (bernoulli_logit_rng(zeta) == 1) {
      return 0;
    }
    return poisson_log_rng(eta);
  }
}

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

  // fixed effects of the zeros
  real prior_alpha_zi_loc;
  real<lower=0> prior_alpha_zi_scale;

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
  real<lower=0> alpha_zi_unit = 0.4 * prior_alpha_zi_scale;  // unit that alpha_zi is sampled in
}

parameters {
  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // fixed effects of the zeros
  real<offset=prior_alpha_zi_loc, multiplier=alpha_zi_unit> alpha_zi;  // intercept
}

model {
  if (!prior_only) {
    vector[N] eta = alpha + Xc * beta;
    vector[N] zeta = rep_vector(alpha_zi, N);
    y ~ zero_inflated_poisson_log(eta, zeta);
  }
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  alpha_zi ~ normal(prior_alpha_zi_loc, prior_alpha_zi_scale);
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
}
