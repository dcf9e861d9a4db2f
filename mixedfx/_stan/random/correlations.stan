// Correlations of the effects of a level.
//@ data
real<lower=0> prior_L_${t}_eta;
//@ parameters each
cholesky_factor_corr[M_${t}] L_${t}@;  // factor of the correlation matrix
//@ model each
L_${t}@ ~ lkj_corr_cholesky(prior_L_${t}_eta);
//@ generated quantities each
matrix[M_${t}, M_${t}] Omega_${t}@ = multiply_lower_tri_self_transpose(L_${t}@);  // correlation matrix
