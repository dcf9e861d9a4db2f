"""Inference after a fit: degrees of freedom, tests, robust covariances; pure functions over the engine's pieces."""
