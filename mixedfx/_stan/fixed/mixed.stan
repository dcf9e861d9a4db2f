// Some coefficients under the joint prior, others with priors of their own.
//@ data
int<lower=1> K_share;  // coefficients under the joint prior
int<lower=1> K_own;  // coefficients with priors of their own
array[K_share] int<lower=1, upper=K> at_share;  // and which those are
array[K_own] int<lower=1, upper=K> at_own;
//@ parameters each
vector[K_share] std_beta@;  // coefficients under the joint prior over their scales,
vector${units}[K_own] own_beta@;  // and the others
//@ transformed parameters each
vector[K] beta@ = merge(at_share, head(scales@, K_share) .* std_beta@, at_own, own_beta@);  // coefficients
//@ model each
std_beta@ ~ std_normal();
