// Counts from one on: Poisson without its zero, eta the logarithm of the mean with it.
//@ functions
real truncated_poisson_log_lpmf(int y, real eta) {
  return poisson_log_lpmf(y | eta) - log1m_exp(-exp(eta));
}
real truncated_poisson_log_lpmf(array[] int y, vector eta) {
  return poisson_log_lpmf(y | eta) - sum(log1m_exp(-exp(eta)));
}
// The first event comes within the time, and the others after it.
int truncated_poisson_log_rng(real eta) {
  real first = -log1m(uniform_rng(0, 1) * -expm1(-exp(eta)));
  return 1 + poisson_rng(fmax(exp(eta) - first, 0));
}
