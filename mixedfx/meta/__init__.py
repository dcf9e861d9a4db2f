"""Meta-analysis: effect sizes, random-effects models of estimates with known sampling variances, what follows them."""
