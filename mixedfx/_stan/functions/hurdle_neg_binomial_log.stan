// Zeros, zeta the logit of their probability, and negative binomial counts above zero, eta the logarithm of their mean
// with the zero.
//@ functions
real hurdle_neg_binomial_log_lpmf(int y, real eta, real zeta, real shape) {
  real other = y == 0 ? zeta : truncated_neg_binomial_log_lpmf(y | eta, shape);
  return other - log1p_exp(zeta);
}
// Of rows above zero the truncated density; of others it is taken away that neg_binomial_2_log adds.
real hurdle_neg_binomial_log_lpmf(array[] int y, vector eta, vector zeta, real shape) {
  vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
  vector[size(y)] h = shape * log1p_exp(eta - log(shape));
  return neg_binomial_2_log_lpmf(y | eta, shape) + dot_product(is_zero, zeta + h)
      - dot_product(1 - is_zero, log1m_exp(-h)) - sum(log1p_exp(zeta));
}
int hurdle_neg_binomial_log_rng(real eta, real zeta, real shape) {
  if (bernoulli_logit_rng(zeta) == 1) {
    return 0;
  }
  return truncated_neg_binomial_log_rng(eta, shape);
}
