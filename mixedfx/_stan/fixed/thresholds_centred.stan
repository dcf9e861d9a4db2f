// Thresholds between ordered categories.
//@ parameters
ordered[C - 1] cut;  // thresholds, the predictors at their means
//@ generated quantities
vector[C - 1] threshold = cut + dot_product(x_bar, beta);  // thresholds, the predictors at zero
