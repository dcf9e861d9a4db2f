// decov() of one effect: its standard deviation is tau times the residual one.
//@ data
real<lower=0> prior_tau_${t}_shape;
real<lower=0> prior_tau_${t}_scale;
//@ parameters each
real<lower=0> tau_${t}@;
//@ transformed parameters each
real sd_${t}@ = ${sigma}tau_${t}@;  // standard deviation between levels
//@ model each
tau_${t}@ ~ gamma(prior_tau_${t}_shape, inv(prior_tau_${t}_scale));
