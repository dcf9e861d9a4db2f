// Coefficients under the joint prior, non-centred.
//@ parameters each
vector[K] std_beta@;  // coefficients over their scales
//@ transformed parameters each
vector[K] beta@ = head(scales@, K) .* std_beta@;  // coefficients
//@ model each
std_beta@ ~ std_normal();
