// Correlated effects of each level, centred.
//@ parameters each
matrix[J_${t}, M_${t}] u_${t}@;  // effects of the levels
//@ model each
u_${t}@ ~ level_effects(diag_pre_multiply(sd_${t}@, L_${t}@));
