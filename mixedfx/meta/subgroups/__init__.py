"""Models of reported subgroup effects: evidence, averages, and effects with their joint distribution."""
