// Density of centred, correlated effects.
//@ functions
// Rows of u are independent multivariate normal with mean zero and covariance L L'.
real level_effects_lpdf(matrix u, matrix L) {
  return std_normal_lpdf(to_vector(mdivide_left_tri_low(L, u'))) - rows(u) * sum(log(diagonal(L)));
}
