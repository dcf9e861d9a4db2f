// One standard deviation of all effects of a level.
//@ parameters each
real<lower=0> one_sd_${t}@;  // standard deviation between levels
//@ transformed parameters each
vector[M_${t}] sd_${t}@ = rep_vector(one_sd_${t}@, M_${t});  // that of each effect
