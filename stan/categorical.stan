// A multilevel model, categorical response with logit link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

data {
  // response
  int<lower=1> N;  // rows
  int<lower=2> C;  // categories
  array[N] int<lower=1, upper=C> y;

  // fixed effects
  int<lower=1> K;  // predictors
  matrix[N, K] X;
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;
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
}

parameters {
  // fixed effects
  array[C - 1] real alpha;  // intercept, the predictors at their means
  array[C - 1] vector[K] beta;  // coefficients
}

model {
  if (!prior_only) {
    matrix[K, C] B = rep_matrix(0, K, C);  // coefficients, zero for the first category
    for (c in 1:(C - 1)) {
      B[, c + 1] = beta[c];
    }
    y ~ categorical_logit_glm(Xc, append_row(0, to_vector(alpha)), B);
  }
  for (c in 1:(C - 1)) {
    alpha[c] ~ normal(prior_alpha_loc, prior_alpha_scale);
    beta[c] ~ normal(prior_beta_loc, prior_beta_scale);
  }
}

generated quantities {
  array[C - 1] real intercept;  // intercept, the predictors at zero
  for (c in 1:(C - 1)) {
    intercept[c] = alpha[c] - dot_product(x_bar, beta[c]);
  }
}
