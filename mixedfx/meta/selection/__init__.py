"""Selection models, in clusters of any size."""
