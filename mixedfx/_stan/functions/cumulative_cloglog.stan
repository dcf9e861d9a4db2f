// Ordered categories on the complementary log-log scale: P(y <= k) = 1 - exp(-exp(cut_k - eta)).
//@ functions
real log_cumulative_cloglog(int y, real eta, vector cut) {
  int K = num_elements(cut);
  if (y == 1) {
    return log1m_exp(-exp(cut[1] - eta));
  } else if (y == K + 1) {
    return -exp(cut[K] - eta);
  } else {
    return log_diff_exp(-exp(cut[y - 1] - eta), -exp(cut[y] - eta));
  }
}
real cumulative_cloglog_lpmf(int y, real eta, vector cut) {
  return log_cumulative_cloglog(y, eta, cut);
}
real cumulative_cloglog_lpmf(array[] int y, vector eta, vector cut) {
  real total = 0;
  for (n in 1:size(y)) {
    total += log_cumulative_cloglog(y[n], eta[n], cut);
  }
  return total;
}
