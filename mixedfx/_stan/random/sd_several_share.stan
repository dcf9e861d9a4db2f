// Standard deviations under the joint prior.
//@ data
int<lower=1> first_${t};  // place of the first among the scales of the joint prior
//@ transformed parameters each
vector[M_${t}] sd_${t}@ = segment(scales@, first_${t}, M_${t});  // standard deviations between levels
