// Zero or positive, a Poisson number of gamma variables: variance dispersion * mean^power, eta the logarithm of the mean.
//@ functions
// The density is a sum over that number, added up until its terms have passed their largest and no longer count.
real log_tweedie(real y, real eta, real dispersion, real power) {
  real rate = exp((2 - power) * eta) / (dispersion * (2 - power));
  if (y == 0) {
    return -rate;
  }
  real a = (2 - power) / (power - 1);
  real step = a * log(y / (power - 1)) - (1 + a) * log(dispersion) - log(2 - power);
  real largest = y ^ (2 - power) / (dispersion * (2 - power));
  real term = step - lgamma(a);
  real total = term;
  int j = 1;
  while (j < 100000 && (j < largest || term > total - 37)) {
    j += 1;
    term = j * step - lgamma(j + 1.0) - lgamma(j * a);
    total = log_sum_exp(total, term);
  }
  return total - log(y) - rate - y * exp((1 - power) * eta) / (dispersion * (power - 1));
}
real tweedie_lpdf(real y, real eta, real dispersion, real power) {
  return log_tweedie(y, eta, dispersion, power);
}
real tweedie_lpdf(vector y, vector eta, real dispersion, real power) {
  real total = 0;
  for (n in 1:num_elements(y)) {
    total += log_tweedie(y[n], eta[n], dispersion, power);
  }
  return total;
}
real tweedie_rng(real eta, real dispersion, real power) {
  int parts = poisson_rng(exp((2 - power) * eta) / (dispersion * (2 - power)));
  if (parts == 0) {
    return 0;
  }
  return gamma_rng(parts * (2 - power) / (power - 1), exp((1 - power) * eta) / (dispersion * (power - 1)));
}
