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

  // random term 1: correlated effects of each level, covariates at their means
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  vector[M_1] prior_sd_1_loc;
  vector<lower=0>[M_1] prior_sd_1_scale;
  real<lower=0> prior_L_1_eta;

  // random term 2: one effect of each level
  int<lower=1> J_2;  // levels
  array[N] int<lower=1, upper=J_2> g_2;  // level of each row
  real prior_sd_2_loc;
  real<lower=0> prior_sd_2_scale;

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
  matrix[N, M_1] Zc_1 = Z_1;  // covariates less their means, which the effects and their priors are for
  for (m in 2:M_1) {
    Zc_1[, m] = Z_1[, m] - mean(Z_1[, m]);
  }
}

parameters {
  // fixed effects
  array[C - 1] real alpha;  // intercept, the predictors at their means
  array[C - 1] vector[K] beta;  // coefficients

  // random term 1: correlated effects of each level, covariates at their means
  array[C - 1] vector<lower=0>[M_1] sd_1;  // standard deviations between levels
  array[C - 1] cholesky_factor_corr[M_1] L_1;  // factor of the correlation matrix
  array[C - 1] matrix[M_1, J_1] std_u_1;  // effects, uncorrelated and over their standard deviations

  // random term 2: one effect of each level
  array[C - 1] real<lower=0> sd_2;  // standard deviation between levels
  array[C - 1] vector[J_2] std_u_2;  // effects over their standard deviation
}

transformed parameters {
  array[C - 1] matrix[J_1, M_1] u_1;  // effects of the levels
  array[C - 1] vector[J_2] u_2;  // effects of the levels
  for (c in 1:(C - 1)) {
    u_1[c] = (diag_pre_multiply(sd_1[c], L_1[c]) * std_u_1[c])';
    u_2[c] = sd_2[c] * std_u_2[c];
  }
}

model {
  if (!prior_only) {
    matrix[N, C] eta = rep_matrix(0, N, C);  // zero for the first category
    for (c in 1:(C - 1)) {
      eta[, c + 1] = alpha[c]
                   + Xc * beta[c]
                   + rows_dot_product(Zc_1, u_1[c][g_1])
                   + u_2[c][g_2];
    }
    for (n in 1:N) {
      y[n] ~ categorical_logit(eta[n]');
    }
  }
  for (c in 1:(C - 1)) {
    alpha[c] ~ normal(prior_alpha_loc, prior_alpha_scale);
    beta[c] ~ normal(prior_beta_loc, prior_beta_scale);
    sd_1[c] ~ normal(prior_sd_1_loc, prior_sd_1_scale);
    L_1[c] ~ lkj_corr_cholesky(prior_L_1_eta);
    to_vector(std_u_1[c]) ~ std_normal();
    sd_2[c] ~ normal(prior_sd_2_loc, prior_sd_2_scale);
    std_u_2[c] ~ std_normal();
  }
}

generated quantities {
  array[C - 1] real intercept;  // intercept, the predictors at zero
  array[C - 1] matrix[M_1, M_1] Omega_1;  // correlation matrix
  vector[N] log_lik;  // log likelihood of each row
  array[N] int y_rep;  // responses drawn anew
  {
    matrix[N, C] eta = rep_matrix(0, N, C);  // zero for the first category
    for (c in 1:(C - 1)) {
      eta[, c + 1] = alpha[c]
                   + Xc * beta[c]
                   + rows_dot_product(Zc_1, u_1[c][g_1])
                   + u_2[c][g_2];
    }
    for (n in 1:N) {
      log_lik[n] = categorical_logit_lpmf(y[n] | eta[n]');
      y_rep[n] = categorical_logit_rng(eta[n]');
    }
  }
  for (c in 1:(C - 1)) {
    intercept[c] = alpha[c] - dot_product(x_bar, beta[c]);
    Omega_1[c] = multiply_lower_tri_self_transpose(L_1[c]);
  }
}
