// Known correlations of the levels.
//@ data
matrix[J_${t}, J_${t}] A_${t};  // lower factor of the correlations of the levels
