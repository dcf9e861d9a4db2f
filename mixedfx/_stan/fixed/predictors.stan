// Predictors whose effects are the same for all.
//@ data
int<lower=1> K${p};  // predictors
matrix[N, K${p}] X${p};
