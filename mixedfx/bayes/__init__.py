"""Exact Bayesian fits of Gaussian mixed models: beta and u integrated out, the few variance parameters sampled."""
