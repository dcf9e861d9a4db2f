// Which elements of a vector a prior is for.
//@ data
int<lower=1> ${name}_n;
array[${name}_n] int<lower=1, upper=${size}> ${name}_at;
