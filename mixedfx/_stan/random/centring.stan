// Covariates less their means. Effects of covariates at zero are the same but for the first, the constant's.
//@ transformed data
matrix[N, M_${t}] Zc_${t} = Z_${t};  // covariates less their means, which the effects and their priors are for
for (m in 2:M_${t}) {
  Zc_${t}[, m] = Z_${t}[, m] - mean(Z_${t}[, m]);
}
