"""Publication bias without a selection model: asymmetry, trim and fill, fail-safe numbers, excess significance."""
