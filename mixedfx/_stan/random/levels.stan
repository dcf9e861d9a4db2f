// Levels of a grouping factor.
//@ data
int<lower=1> J_${t};  // levels
array[N] int<lower=1, upper=J_${t}> g_${t};  // level of each row
