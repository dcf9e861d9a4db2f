// One correlation of neighbours among the effects of a level, and its powers; lkj_corr along the line of such matrices.
//@ functions
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
//@ data
real<lower=0> prior_L_${t}_eta;
//@ parameters each
real<lower=0, upper=1> x_${t}@;  // place of the correlation in its range
//@ transformed parameters each
real rho_${t}@ = 2 * x_${t}@ - 1;  // correlation of neighbours
matrix[M_${t}, M_${t}] L_${t}@ = serial_factor(rho_${t}@, M_${t});  // factor of the correlation matrix
//@ model each
x_${t}@ ~ beta((M_${t} - 1) * (prior_L_${t}_eta - 1) + 1, (M_${t} - 1) * (prior_L_${t}_eta - 1) + 1);
