// Puts two parts of a vector in their places.
//@ functions
// The vector that has x at the positions at_x and y at the positions at_y.
vector merge(array[] int at_x, vector x, array[] int at_y, vector y) {
  vector[size(at_x) + size(at_y)] z;
  z[at_x] = x;
  z[at_y] = y;
  return z;
}
