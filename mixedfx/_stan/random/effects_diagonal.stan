// Independent effects of each level, non-centred.
//@ parameters each
matrix[J_${t}, M_${t}] std_u_${t}@;  // effects over their standard deviations
//@ transformed parameters each
matrix[J_${t}, M_${t}] u_${t}@ = ${related}diag_post_multiply(std_u_${t}@, sd_${t}@);  // effects of the levels
//@ model each
to_vector(std_u_${t}@) ~ std_normal();
