// Normal prior; of a positive parameter, its positive half.
//@ data
${type} ${name}_loc;
${positive} ${name}_scale;
//@ model${each}
${parameter} ~ normal(${name}_loc, ${name}_scale);
