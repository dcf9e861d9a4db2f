// A multilevel model, categorical response with logit link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  // Local scales times the global one, kept within the slab.
  vector horseshoe_scales(vector lambda, real tau, real c2) {
    return tau * lambda .* sqrt(c2 ./ (c2 + square(tau) * square(lambda)));
  }

  // The vector that has x at the positions at_x and y at the positions at_y.
  vector merge(array[] int at_x, vector x, array[] int at_y, vector y) {
    vector[size(at_x) + size(at_y)] z;
    z[at_x] = x;
    z[at_y] = y;
    return z;
  }
}

data {
  // response
  int<lower=1> N;  // rows
  int<lower=2> C;  // categories
  array[N] int<lower=1, upper=C> y;

  // one prior for the scales of many effects together
  int<lower=1> S;  // scales, of coefficients first, then of random effects
  vector<lower=0>[S] unit;  // their units
  real<lower=0> horseshoe_df;
  real<lower=0> horseshoe_df_global;
  real<lower=0> horseshoe_scale_global;
  real<lower=0> horseshoe_df_slab;
  real<lower=0> horseshoe_scale_slab;

  // fixed effects
  int<lower=1> K;  // predictors
  matrix[N, K] X;
  real prior_alpha_loc;
  real<lower=0> prior_alpha_scale;

  // random term 1: correlated effects of each level, covariates at their means
  int<lower=1> J_1;  // levels
  array[N] int<lower=1, upper=J_1> g_1;  // level of each row
  int<lower=2> M_1;  // effects of a level
  matrix[N, M_1] Z_1;  // covariates
  int<lower=1> first_1;  // place of the first among the scales of the joint prior
  int<lower=1> M_share_1;  // standard deviations under the joint prior
  int<lower=1> M_own_1;  // standard deviations with priors of their own
  array[M_share_1] int<lower=1, upper=M_1> at_share_1;  // and which those are
  array[M_own_1] int<lower=1, upper=M_1> at_own_1;
  vector<lower=0>[M_own_1] prior_own_sd_1_rate;
  real<lower=0> prior_L_1_eta;

  // random term 2: one effect of each level
  int<lower=1> J_2;  // levels
  array[N] int<lower=1, upper=J_2> g_2;  // level of each row
  int<lower=1> first_2;  // its place among the scales of the joint prior

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
  // one prior for the scales of many effects together
  array[C - 1] real<lower=0> horseshoe_tau;  // global scale
  array[C - 1] vector<lower=0>[S] horseshoe_lambda;  // local scales
  array[C - 1] real<lower=0> horseshoe_c2;  // squared width of the slab, in units of its scale

  // fixed effects
  array[C - 1] real alpha;  // intercept, the predictors at their means
  array[C - 1] vector[K] std_beta;  // coefficients over their scales

  // random term 1: correlated effects of each level, covariates at their means
  array[C - 1] vector<lower=0>[M_own_1] own_sd_1;  // standard deviations with priors of their own
  array[C - 1] cholesky_factor_corr[M_1] L_1;  // factor of the correlation matrix
  array[C - 1] matrix[M_1, J_1] std_u_1;  // effects, uncorrelated and over their standard deviations

  // random term 2: one effect of each level
  array[C - 1] vector[J_2] std_u_2;  // effects over their standard deviation
}

transformed parameters {
  array[C - 1] real slab;  // squared width of the slab
  array[C - 1] vector[S] scales;  // scales
  array[C - 1] vector[K] beta;  // coefficients
  array[C - 1] vector[M_1] sd_1;  // standard deviations between levels
  array[C - 1] matrix[J_1, M_1] u_1;  // effects of the levels
  array[C - 1] real sd_2;  // standard deviation between levels
  array[C - 1] vector[J_2] u_2;  // effects of the levels
  for (c in 1:(C - 1)) {
    slab[c] = square(horseshoe_scale_slab) * horseshoe_c2[c];
    scales[c] = unit .* horseshoe_scales(horseshoe_lambda[c], horseshoe_tau[c], slab[c]);
    beta[c] = head(scales[c], K) .* std_beta[c];
    sd_1[c] = merge(at_share_1, segment(scales[c], first_1, M_share_1), at_own_1, own_sd_1[c]);
    u_1[c] = (diag_pre_multiply(sd_1[c], L_1[c]) * std_u_1[c])';
    sd_2[c] = scales[c][first_2];
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
    horseshoe_tau[c] ~ student_t(horseshoe_df_global, 0, horseshoe_scale_global);
    horseshoe_lambda[c] ~ student_t(horseshoe_df, 0, 1);
    horseshoe_c2[c] ~ inv_gamma(0.5 * horseshoe_df_slab, 0.5 * horseshoe_df_slab);
    alpha[c] ~ normal(prior_alpha_loc, prior_alpha_scale);
    std_beta[c] ~ std_normal();
    own_sd_1[c] ~ exponential(prior_own_sd_1_rate);
    L_1[c] ~ lkj_corr_cholesky(prior_L_1_eta);
    to_vector(std_u_1[c]) ~ std_normal();
    std_u_2[c] ~ std_normal();
  }
}

generated quantities {
  array[C - 1] real intercept;  // intercept, the predictors at zero
  array[C - 1] matrix[M_1, M_1] Omega_1;  // correlation matrix
  for (c in 1:(C - 1)) {
    intercept[c] = alpha[c] - dot_product(x_bar, beta[c]);
    Omega_1[c] = multiply_lower_tri_self_transpose(L_1[c]);
  }
}
