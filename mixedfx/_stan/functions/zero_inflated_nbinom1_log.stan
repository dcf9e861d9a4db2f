// Negative binomial counts of variance (1 + dispersion) times their mean, whose logarithm is eta, and zeros besides, zeta
// the logit of their probability.
//@ functions
real zero_inflated_nbinom1_log_lpmf(int y, real eta, real zeta, real dispersion) {
  real k = exp(eta) / dispersion;
  real besides = y == 0 ? log1p_exp(zeta + k * log1p(dispersion)) : 0;
  return neg_binomial_2_lpmf(y | exp(eta), k) + besides - log1p_exp(zeta);
}
real zero_inflated_nbinom1_log_lpmf(array[] int y, vector eta, vector zeta, real dispersion) {
  vector[size(y)] is_zero = 1 - fmin(to_vector(y), 1);
  vector[size(y)] k = exp(eta) / dispersion;
  return neg_binomial_2_lpmf(y | exp(eta), k)
      + dot_product(is_zero, log1p_exp(zeta + k * log1p(dispersion)))
      - sum(log1p_exp(zeta));
}
int zero_inflated_nbinom1_log_rng(real eta, real zeta, real dispersion) {
  if (bernoulli_logit_rng(zeta) == 1) {
    return 0;
  }
  return neg_binomial_2_rng(exp(eta), exp(eta) / dispersion);
}
