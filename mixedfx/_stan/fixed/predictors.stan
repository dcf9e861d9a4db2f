// Predictors whose effects are the same for all.
//@ data
int<lower=1> K;  // predictors
matrix[N, K] X;
