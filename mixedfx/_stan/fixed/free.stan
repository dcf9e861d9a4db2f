// Coefficients with priors of their own.
//@ parameters each
vector${units}[K${p}] beta${p}@;  // coefficients
