// Negative binomial counts, eta the logarithm of their mean, and zeros besides, zeta the logit of their probability.
//@ functions
real zero_inflated_neg_binomial_log_lpmf(int y, real eta, real zeta, real shape) {
  real besides = y == 0 ? log1p_exp(zeta + shape * log1p_exp(eta - log(shape))) : 0;
  return neg_binomial_2_log_lpmf(y | eta, shape) + besides - log1p_exp(zeta);
}
real zero_inflated_neg_binomial_log_lpmf(array[] int y, vector eta, vector zeta,
    real shape) {
  vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
  vector[size(y)] h = shape * log1p_exp(eta - log(shape));
  return neg_binomial_2_log_lpmf(y | eta, shape) + dot_product(is_zero, log1p_exp(zeta + h))
      - sum(log1p_exp(zeta));
}
int zero_inflated_neg_binomial_log_rng(real eta, real zeta, real shape) {
  if (bernoulli_logit_rng(zeta) == 1) {
    return 0;
  }
  return neg_binomial_2_log_rng(eta, shape);
}
