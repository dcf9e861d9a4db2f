// Student's t prior; of a positive parameter, its positive half.
//@ data
${positive} ${name}_df;
${type} ${name}_loc;
${positive} ${name}_scale;
//@ model${each}
${parameter} ~ student_t(${name}_df, ${name}_loc, ${name}_scale);
