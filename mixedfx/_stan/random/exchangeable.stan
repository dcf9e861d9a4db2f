// One correlation of any two effects of a level; lkj_corr along the line of such correlation matrices.
//@ data
real<lower=0> prior_L_${t}_eta;
//@ parameters each
real<lower=0, upper=1> x_${t}@;  // place of the correlation in its range
//@ transformed parameters each
real rho_${t}@ = (M_${t} * x_${t}@ - 1) / (M_${t} - 1);  // correlation, not below -1 / (M - 1)
matrix[M_${t}, M_${t}] Omega_${t}@ = add_diag(rep_matrix(rho_${t}@, M_${t}, M_${t}), 1 - rho_${t}@);  // correlation matrix
matrix[M_${t}, M_${t}] L_${t}@ = cholesky_decompose(Omega_${t}@);  // its factor
//@ model each
x_${t}@ ~ beta(prior_L_${t}_eta, (M_${t} - 1) * (prior_L_${t}_eta - 1) + 1);
