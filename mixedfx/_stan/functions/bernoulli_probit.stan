// Bernoulli on the probit link, accurate in both tails.
//@ functions
// P(y = 1) = Phi(eta); P(y = 0) = Phi(-eta).
real bernoulli_probit_lpmf(array[] int y, vector eta) {
  return std_normal_lcdf((2 * to_vector(y) - 1) .* eta);
}
real bernoulli_probit_lpmf(int y, real eta) {
  return std_normal_lcdf((2 * y - 1) * eta);
}
