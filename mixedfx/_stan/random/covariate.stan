// The covariate of the one effect of a level.
//@ data
vector[N] Z_${t};  // covariate
