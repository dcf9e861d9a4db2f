// decov() of independent effects: each has a tau of its own.
//@ data
real<lower=0> prior_tau_${t}_shape;
real<lower=0> prior_tau_${t}_scale;
//@ parameters each
vector<lower=0>[M_${t}] tau_${t}@;
//@ transformed parameters each
vector[M_${t}] sd_${t}@ = ${sigma}tau_${t}@;  // standard deviations between levels
//@ model each
tau_${t}@ ~ gamma(prior_tau_${t}_shape, inv(prior_tau_${t}_scale));
