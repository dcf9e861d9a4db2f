// Bernoulli on the complementary log-log link, accurate in both tails.
//@ functions
// P(y = 0) = exp(-exp(eta)).
real log_bernoulli_cloglog(int y, real eta) {
  return y == 1 ? log1m_exp(-exp(eta)) : -exp(eta);
}
real bernoulli_cloglog_lpmf(int y, real eta) {
  return log_bernoulli_cloglog(y, eta);
}
real bernoulli_cloglog_lpmf(array[] int y, vector eta) {
  real total = 0;
  for (n in 1:size(y)) {
    total += log_bernoulli_cloglog(y[n], eta[n]);
  }
  return total;
}
