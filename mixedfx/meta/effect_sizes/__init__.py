"""Effect sizes, their variances and covariances, and the way back."""
