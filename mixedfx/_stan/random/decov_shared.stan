// decov() of effects with one standard deviation: it is tau times the residual one.
//@ data
real<lower=0> prior_tau_${t}_shape;
real<lower=0> prior_tau_${t}_scale;
//@ parameters each
real<lower=0> tau_${t}@;
//@ transformed parameters each
vector[M_${t}] sd_${t}@ = rep_vector(${sigma}tau_${t}@, M_${t});  // standard deviations between levels
//@ model each
tau_${t}@ ~ gamma(prior_tau_${t}_shape, inv(prior_tau_${t}_scale));
