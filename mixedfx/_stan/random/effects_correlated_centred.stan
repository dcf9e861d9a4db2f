// Correlated effects of each level, centred.
//@ parameters each
matrix[J_${t}, M_${t}] u_${t}@;  // effects of the levels
//@ model each
${before}u_${t}@${after} ~ level_effects(diag_pre_multiply(sd_${t}@, L_${t}@));
