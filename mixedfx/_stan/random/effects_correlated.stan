// Correlated effects of each level, non-centred.
//@ parameters each
matrix[M_${t}, J_${t}] std_u_${t}@;  // effects, uncorrelated and over their standard deviations
//@ transformed parameters each
matrix[J_${t}, M_${t}] u_${t}@ = ${related}(diag_pre_multiply(sd_${t}@, L_${t}@) * std_u_${t}@)';  // effects of the levels
//@ model each
to_vector(std_u_${t}@) ~ std_normal();
