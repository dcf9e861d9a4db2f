// One standard deviation.
//@ parameters each
real<lower=0> sd_${t}@;  // standard deviation between levels
