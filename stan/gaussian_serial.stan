// A multilevel model, gaussian response with identity link, written by mixedfx.
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
  vector[N] y;
  real<lower=0> prior_sigma_rate;

  // fixed effects
  int<lower=1> K;  // predictors
  matrix[N, K] X;
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;
  vector[K] prior_beta_loc;
  vector<lower=0>[K] prior_beta_scale;

  // random term 1: serially correlated effects, of one standard deviation, of each level
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  real prior_one_sd_1_loc;
  real<lower=0> prior_one_sd_1_scale;
  real<lower=0> prior_L_1_eta;

  // random term 2: serially correlated effects of each level
  int<lower=1> J_2;  // levels
  array[N] int<lower=1, upper=J_2> g_2;  // level of each row
  int<lower=2> M_2;  // effects of a level
  matrix[N, M_2] Z_2;  // covariates
  vector[M_2] prior_sd_2_loc;
  vector<lower=0>[M_2] prior_sd_2_scale;
  real<lower=0> prior_L_2_eta;

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
  // response
  real<lower=0> sigma;  // residual standard deviation

  // fixed effects
  real<offset=prior_alpha_loc, multiplier=alpha_unit> alpha;  // intercept, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: serially correlated effects, of one standard deviation, of each level
  real<lower=0> one_sd_1;  // standard deviation between levels
  real<lower=0, upper=1> x_1;  // place of the correlation in its range
  matrix[M_1, J_1] std_u_1;  // effects, uncorrelated and over their standard deviations

  // random term 2: serially correlated effects of each level
  vector<lower=0>[M_2] sd_2;  // standard deviations between levels
  real<lower=0, upper=1> x_2;  // place of the correlation in its range
  matrix[M_2, J_2] std_u_2;  // effects, uncorrelated and over their standard deviations
}

transformed parameters {
  vector[M_1] sd_1 = rep_vector(one_sd_1, M_1);  // that of each effect
  real rho_1 = 2 * x_1 - 1;  // correlation of neighbours
  matrix[M_1, M_1] L_1 = serial_factor(rho_1, M_1);  // factor of the correlation matrix
  matrix[J_1, M_1] u_1 = (diag_pre_multiply(sd_1, L_1) * std_u_1)';  // effects of the levels
  real rho_2 = 2 * x_2 - 1;  // correlation of neighbours
  matrix[M_2, M_2] L_2 = serial_factor(rho_2, M_2);  // factor of the correlation matrix
  matrix[J_2, M_2] u_2 = (diag_pre_multiply(sd_2, L_2) * std_u_2)';  // effects of the levels
}

model {
  if (!prior_only) {
    // X beta is left to the likelihood
    vector[N] eta = alpha
                  + rows_dot_product(Z_1, u_1[g_1])
                  + rows_dot_product(Z_2, u_2[g_2]);
    y ~ normal_id_glm(Xc, eta, beta, sigma);
  }
  sigma ~ exponential(prior_sigma_rate);
  alpha ~ normal(prior_alpha_loc, prior_alpha_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  one_sd_1 ~ normal(prior_one_sd_1_loc, prior_one_sd_1_scale);
  x_1 ~ beta((M_1 - 1) * (prior_L_1_eta - 1) + 1, (M_1 - 1) * (prior_L_1_eta - 1) + 1);
  to_vector(std_u_1) ~ std_normal();
  sd_2 ~ normal(prior_sd_2_loc, prior_sd_2_scale);
  x_2 ~ beta((M_2 - 1) * (prior_L_2_eta - 1) + 1, (M_2 - 1) * (prior_L_2_eta - 1) + 1);
  to_vector(std_u_2) ~ std_normal();
}

generated quantities {
  real intercept = alpha - dot_product(x_bar, beta);  // intercept, the predictors at zero
}
