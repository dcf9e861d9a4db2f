// Some standard deviations under the joint prior, others with priors of their own.
//@ data
int<lower=1> first_${t};  // place of the first among the scales of the joint prior
int<lower=1> M_share_${t};  // standard deviations under the joint prior
int<lower=1> M_own_${t};  // standard deviations with priors of their own
array[M_share_${t}] int<lower=1, upper=M_${t}> at_share_${t};  // and which those are
array[M_own_${t}] int<lower=1, upper=M_${t}> at_own_${t};
//@ parameters each
vector<lower=0>[M_own_${t}] own_sd_${t}@;  // standard deviations with priors of their own
//@ transformed parameters each
vector[M_${t}] sd_${t}@
  = merge(at_share_${t}, segment(scales@, first_${t}, M_share_${t}), at_own_${t}, own_sd_${t}@);  // standard deviations between levels
