"""Formula and data -> design: X, random terms, the rows used, and what repeats them on new data."""
