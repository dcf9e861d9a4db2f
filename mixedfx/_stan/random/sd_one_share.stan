// One standard deviation under the joint prior.
//@ data
int<lower=1> first_${t};  // its place among the scales of the joint prior
//@ transformed parameters each
real sd_${t}@ = scales@[first_${t}];  // standard deviation between levels
