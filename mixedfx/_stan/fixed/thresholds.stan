// Thresholds between ordered categories.
//@ parameters
ordered[C - 1] cut;  // thresholds
