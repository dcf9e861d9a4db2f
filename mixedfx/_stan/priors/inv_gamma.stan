// Inverse gamma prior.
//@ data
${positive} ${name}_shape;
${positive} ${name}_scale;
//@ model${each}
${parameter} ~ inv_gamma(${name}_shape, ${name}_scale);
