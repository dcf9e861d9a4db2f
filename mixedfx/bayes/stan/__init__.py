"""Stan programs: the shape of a model, the text that follows from it, its data, and the way from draws to names."""
