// Poisson counts, eta the logarithm of their mean, and zeros besides, zeta the logit of their probability.
//@ functions
real zero_inflated_poisson_log_lpmf(int y, real eta, real zeta) {
  real besides = y == 0 ? log1p_exp(zeta + exp(eta)) : 0;
  return poisson_log_lpmf(y | eta) + besides - log1p_exp(zeta);
}
real zero_inflated_poisson_log_lpmf(array[] int y, vector eta, vector zeta) {
  vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
  return poisson_log_lpmf(y | eta) + dot_product(is_zero, log1p_exp(zeta + exp(eta)))
      - sum(log1p_exp(zeta));
}
int zero_inflated_poisson_log_rng(real eta, real zeta) {
  if (bernoulli_logit_rng(zeta) == 1) {
    return 0;
  }
  return poisson_log_rng(eta);
}
