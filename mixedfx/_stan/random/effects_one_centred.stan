// One effect of each level, centred.
//@ parameters each
vector[J_${t}] u_${t}@;  // effects of the levels
//@ model each
${before}u_${t}@${after} ~ normal(0, sd_${t}@);
