// The covariates of the effects of a level.
//@ data
int<lower=2> M_${t};  // effects of a level
matrix[N, M_${t}] Z_${t};  // covariates
