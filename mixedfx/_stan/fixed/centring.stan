// Predictors less their means.
//@ transformed data
vector[K] x_bar;  // means of the predictors
matrix[N, K] Xc;  // centred predictors
for (k in 1:K) {
  x_bar[k] = mean(X[, k]);
  Xc[, k] = X[, k] - x_bar[k];
}
