// Draws of an ordered category.
//@ functions
// A category, given the probabilities of those up to each but the last.
int cumulative_rng(vector below) {
  return categorical_rng(append_row(below, 1) - append_row(0, below));
}
