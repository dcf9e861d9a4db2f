"""Zero-inflated models in files."""
