// The intercept of a model with predictors. With the predictors centred it hardly depends on the coefficients.
//@ parameters each
real${units} alpha${p}@;  // intercept, the predictors at their means
//@ generated quantities each
real intercept${p}@ = alpha${p}@ - dot_product(x_bar${p}, beta${p}@);  // intercept, the predictors at zero
