// Ordered categories with Cauchy errors.
//@ functions
// Probabilities of the categories: differences of F(cut - eta).
vector cumulative_cauchit(real eta, vector cut) {
  vector[num_elements(cut)] at = atan(cut - eta) / pi();
  return append_row(at, 0.5) - append_row(-0.5, at);
}
real log_cumulative_cauchit(int y, real eta, vector cut) {
  return log(cumulative_cauchit(eta, cut)[y]);
}
real cumulative_cauchit_lpmf(int y, real eta, vector cut) {
  return log_cumulative_cauchit(y, eta, cut);
}
real cumulative_cauchit_lpmf(array[] int y, vector eta, vector cut) {
  real total = 0;
  for (n in 1:size(y)) {
    total += log_cumulative_cauchit(y[n], eta[n], cut);
  }
  return total;
}
