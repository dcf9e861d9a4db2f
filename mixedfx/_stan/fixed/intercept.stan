// The intercept of a model without predictors.
//@ parameters each
real${units} alpha${p}@;  // intercept
