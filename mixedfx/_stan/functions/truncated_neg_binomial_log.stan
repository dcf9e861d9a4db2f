// Counts from one on: negative binomial without its zero, eta the logarithm of the mean with it.
//@ functions
// exp(-h) is the probability of zero.
real truncated_neg_binomial_log_lpmf(int y, real eta, real shape) {
  real h = shape * log1p_exp(eta - log(shape));
  return neg_binomial_2_log_lpmf(y | eta, shape) - log1m_exp(-h);
}
real truncated_neg_binomial_log_lpmf(array[] int y, vector eta, real shape) {
  vector[size(y)] h = shape * log1p_exp(eta - log(shape));
  return neg_binomial_2_log_lpmf(y | eta, shape) - sum(log1m_exp(-h));
}
// By adding probabilities up.
int truncated_neg_binomial_log_rng(real eta, real shape) {
  real below = uniform_rng(0, 1);
  int y = 1;
  below -= exp(truncated_neg_binomial_log_lpmf(y | eta, shape));
  while (below > 0 && y < 1000000) {
    y += 1;
    below -= exp(truncated_neg_binomial_log_lpmf(y | eta, shape));
  }
  return y;
}
