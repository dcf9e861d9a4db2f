// decov(): the trace of the covariance matrix is M (tau sigma)^2, and the variances are shares of it.
//@ data
real<lower=0> prior_tau_${t}_shape;
real<lower=0> prior_tau_${t}_scale;
real<lower=0> prior_pi_${t}_concentration;
//@ parameters each
real<lower=0> tau_${t}@;
simplex[M_${t}] pi_${t}@;  // shares of the trace
//@ transformed parameters each
vector[M_${t}] sd_${t}@ = ${sigma}tau_${t}@ * sqrt(M_${t} * pi_${t}@);  // standard deviations between levels
//@ model each
tau_${t}@ ~ gamma(prior_tau_${t}_shape, inv(prior_tau_${t}_scale));
pi_${t}@ ~ dirichlet(rep_vector(prior_pi_${t}_concentration, M_${t}));
