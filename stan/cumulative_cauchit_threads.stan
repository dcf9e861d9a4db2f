// A multilevel model, cumulative response with cauchit link, written by mixedfx.
// The text depends on the shape of the model only: sizes and the numbers of priors (prior_*) are data.

functions {
  // Probabilities of the categories: differences of F(cut - eta).
  vector cumulative_cauchit(real eta, vector cut) {
    vector[num_elements(cut)] at = atan(cut - eta) / pi();
    return append_row(at, 0.5) - append_row(-0.5, at);
  }
  real log_cumulative_cauchit(int y, real eta, vector cut) {
    return log(cumulative_cauchit(eta, cut)[y]);
  }
  real cumulative_cauchit_lpmf(int y, real eta, vector cut) {
    return log_cumulative_cauchit(y, eta, cut);
  }
  real cumulative_cauchit_lpmf(array[] int y, vector eta, vector cut) {
    real total = 0;
    for (n in 1:size(y)) {
      total += log_cumulative_cauchit(y[n], eta[n], cut);
    }
    return total;
  }

  // Log likelihood of the rows from start to end.
  real partial_log_lik_lpmf(array[] int slice, int start, int end,
      data array[] int y, data matrix Xc, data array[] int g_1, data matrix Zc_1,
      vector beta, vector cut, matrix u_1) {
    vector[end - start + 1] eta = Xc[start:end] * beta
                                + rows_dot_product(Zc_1[start:end], u_1[g_1[start:end]]);
    return cumulative_cauchit_lupmf(y[start:end] | eta, cut);
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
  real prior_cut_loc;
  real<lower=0> prior_cut_scale;
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

  // computation
  int<lower=0, upper=1> prior_only;  // 1: leave the likelihood out
  int<lower=1> grainsize;  // rows of a slice
}

transformed data {
  array[N] int row_numbers = linspaced_int_array(N, 1, N);
  vector[K] x_bar;  // means of the predictors
  matrix[N, K] Xc;  // centred predictors
  for (k in 1:K) {
    x_bar[k] = mean(X[, k]);
    Xc[, k] = X[, k] - x_bar[k];
  }
  vector<lower=0>[K] beta_unit = 0.4 * prior_beta_scale;  // unit that beta is sampled in
  matrix[N, M_1] Zc_1 = Z_1;  // covariates less their means, which the effects and their priors are for
  for (m in 2:M_1) {
    Zc_1[, m] = Z_1[, m] - mean(Z_1[, m]);
  }
}

parameters {
  // fixed effects
  ordered[C - 1] cut;  // thresholds, the predictors at their means
  vector<offset=prior_beta_loc, multiplier=beta_unit>[K] beta;  // coefficients

  // random term 1: correlated effects of each level, covariates at their means
  vector<lower=0>[M_1] sd_1;  // standard deviations between levels
  cholesky_factor_corr[M_1] L_1;  // factor of the correlation matrix
  matrix[M_1, J_1] std_u_1;  // effects, uncorrelated and over their standard deviations
}

transformed parameters {
  matrix[J_1, M_1] u_1 = (diag_pre_multiply(sd_1, L_1) * std_u_1)';  // effects of the levels
}

model {
  if (!prior_only) {
    target += reduce_sum(partial_log_lik_lupmf, row_numbers, grainsize, y, Xc, g_1,
        Zc_1, beta, cut, u_1);
  }
  cut ~ normal(prior_cut_loc, prior_cut_scale);
  beta ~ normal(prior_beta_loc, prior_beta_scale);
  sd_1 ~ normal(prior_sd_1_loc, prior_sd_1_scale);
  L_1 ~ lkj_corr_cholesky(prior_L_1_eta);
  to_vector(std_u_1) ~ std_normal();
}

generated quantities {
  vector[C - 1] threshold = cut + dot_product(x_bar, beta);  // thresholds, the predictors at zero
  matrix[M_1, M_1] Omega_1 = multiply_lower_tri_self_transpose(L_1);  // correlation matrix
}
