// Binomial on the complementary log-log link, accurate in both tails.
//@ functions
// Probability of failure exp(-exp(eta)).
real log_binomial_cloglog(int y, int trials, real eta) {
  real total = lchoose(trials, y) - (trials - y) * exp(eta);
  if (y > 0) {
    total += y * log1m_exp(-exp(eta));
  }
  return total;
}
real binomial_cloglog_lpmf(int y, int trials, real eta) {
  return log_binomial_cloglog(y, trials, eta);
}
real binomial_cloglog_lpmf(array[] int y, array[] int trials, vector eta) {
  real total = 0;
  for (n in 1:size(y)) {
    total += log_binomial_cloglog(y[n], trials[n], eta[n]);
  }
  return total;
}
