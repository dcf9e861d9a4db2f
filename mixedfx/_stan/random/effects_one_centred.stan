// One effect of each level, centred.
//@ parameters each
vector[J_${t}] u_${t}@;  // effects of the levels
//@ model each
u_${t}@ ~ normal(0, sd_${t}@);
