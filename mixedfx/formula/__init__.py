"""Formula text to `MixedFormula`: what a model says, before any data."""
