// Independent effects of each level, centred.
//@ parameters each
matrix[J_${t}, M_${t}] u_${t}@;  // effects of the levels
//@ model each
for (m in 1:M_${t}) {
  ${before}u_${t}@[, m]${after} ~ normal(0, sd_${t}@[m]);
}
