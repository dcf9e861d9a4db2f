// Binomial on the probit link, accurate in both tails.
//@ functions
// Probability of success Phi(eta).
real log_binomial_probit(int y, int trials, real eta) {
  real total = lchoose(trials, y);
  if (y > 0) {
    total += y * std_normal_lcdf(eta);
  }
  if (y < trials) {
    total += (trials - y) * std_normal_lcdf(-eta);
  }
  return total;
}
real binomial_probit_lpmf(int y, int trials, real eta) {
  return log_binomial_probit(y, trials, eta);
}
real binomial_probit_lpmf(array[] int y, array[] int trials, vector eta) {
  real total = 0;
  for (n in 1:size(y)) {
    total += log_binomial_probit(y[n], trials[n], eta[n]);
  }
  return total;
}
