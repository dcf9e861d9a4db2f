// The intercept of a model with predictors. With the predictors centred it hardly depends on the coefficients.
//@ parameters each
real${units} alpha@;  // intercept, the predictors at their means
//@ generated quantities each
real intercept@ = alpha@ - dot_product(x_bar, beta@);  // intercept, the predictors at zero
