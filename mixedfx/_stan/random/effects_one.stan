// One effect of each level, non-centred.
//@ parameters each
vector[J_${t}] std_u_${t}@;  // effects over their standard deviation
//@ transformed parameters each
vector[J_${t}] u_${t}@ = ${related}sd_${t}@ * std_u_${t}@;  // effects of the levels
//@ model each
std_u_${t}@ ~ std_normal();
