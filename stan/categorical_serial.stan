// A multilevel model, categorical response with logit link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  // Lower factor of the M x M matrix with rho^|i - j| in row i, column j.
  matrix serial_factor(real rho, int M) {
    matrix[M, M] L = rep_matrix(0, M, M);
    L[1, 1] = 1;
    for (i in 2:M) {
      L[i] = rho * L[i - 1];
      L[i, i] = sqrt((1 - rho) * (1 + rho));
    }
    return L;
  }
}

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

  // random term 1: serially correlated effects of each level
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  vector[M_1] prior_sd_1_loc;
  vector<lower=0>[M_1] prior_sd_1_scale;
  real<lower=0> prior_L_1_eta;

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

  // random term 1: serially correlated effects of each level
  array[C - 1] vector<lower=0>[M_1] sd_1;  // standard deviations between levels
  array[C - 1] real<lower=0, upper=1> x_1;  // place of the correlation in its range
  array[C - 1] matrix[M_1, J_1] std_u_1;  // effects, uncorrelated and over their standard deviations
}

transformed parameters {
  array[C - 1] real rho_1;  // correlation of neighbours
  array[C - 1] matrix[M_1, M_1] L_1;  // factor of the correlation matrix
  array[C - 1] matrix[J_1, M_1] u_1;  // effects of the levels
  for (c in 1:(C - 1)) {
    rho_1[c] = 2 * x_1[c] - 1;
    L_1[c] = serial_factor(rho_1[c], M_1);
    u_1[c] = (diag_pre_multiply(sd_1[c], L_1[c]) * std_u_1[c])';
  }
}

model {
  if (!prior_only) {
    matrix[N, C] eta = rep_matrix(0, N, C);  // zero for the first category
    for (c in 1:(C - 1)) {
      eta[, c + 1] = alpha[c] + Xc * beta[c] + rows_dot_product(Z_1, u_1[c][g_1]);
    }
    for (n in 1:N) {
      y[n] ~ categorical_logit(eta[n]');
    }
  }
  for (c in 1:(C - 1)) {
    alpha[c] ~ normal(prior_alpha_loc, prior_alpha_scale);
    beta[c] ~ normal(prior_beta_loc, prior_beta_scale);
    sd_1[c] ~ normal(prior_sd_1_loc, prior_sd_1_scale);
    x_1[c] ~ beta((M_1 - 1) * (prior_L_1_eta - 1) + 1, (M_1 - 1) * (prior_L_1_eta - 1) + 1);
    to_vector(std_u_1[c]) ~ std_normal();
  }
}

generated quantities {
  array[C - 1] real intercept;  // intercept, the predictors at zero
  for (c in 1:(C - 1)) {
    intercept[c] = alpha[c] - dot_product(x_bar, beta[c]);
  }
}
