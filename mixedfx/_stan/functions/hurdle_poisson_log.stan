// Zeros, zeta the logit of their probability, and Poisson counts above zero, eta the logarithm of their mean with the zero.
//@ functions
real hurdle_poisson_log_lpmf(int y, real eta, real zeta) {
  real other = y == 0 ? zeta : truncated_poisson_log_lpmf(y | eta);
  return other - log1p_exp(zeta);
}
// Of rows above zero the truncated density; of others it is taken away that poisson_log adds.
real hurdle_poisson_log_lpmf(array[] int y, vector eta, vector zeta) {
  vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
  return poisson_log_lpmf(y | eta) + dot_product(is_zero, zeta + exp(eta))
      - dot_product(1 - is_zero, log1m_exp(-exp(eta))) - sum(log1p_exp(zeta));
}
int hurdle_poisson_log_rng(real eta, real zeta) {
  if (bernoulli_logit_rng(zeta) == 1) {
    return 0;
  }
  return truncated_poisson_log_rng(eta);
}
