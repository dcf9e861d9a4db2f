// Gamma prior.
//@ data
${positive} ${name}_shape;
${positive} ${name}_rate;
//@ model${each}
${parameter} ~ gamma(${name}_shape, ${name}_rate);
