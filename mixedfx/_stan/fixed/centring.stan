// Predictors less their means.
//@ transformed data
vector[K${p}] x_bar${p};  // means of the predictors
matrix[N, K${p}] Xc${p};  // centred predictors
for (k in 1:K${p}) {
  x_bar${p}[k] = mean(X${p}[, k]);
  Xc${p}[, k] = X${p}[, k] - x_bar${p}[k];
}
