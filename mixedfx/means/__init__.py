"""Estimated marginal means: grid, averaging, contrasts, adjusted tests, and their units."""
