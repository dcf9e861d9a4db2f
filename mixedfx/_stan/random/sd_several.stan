// Standard deviations.
//@ parameters each
vector<lower=0>[M_${t}] sd_${t}@;  // standard deviations between levels
