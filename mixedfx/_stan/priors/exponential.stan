// Exponential prior.
//@ data
${positive} ${name}_rate;
//@ model${each}
${parameter} ~ exponential(${name}_rate);
