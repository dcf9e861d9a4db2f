"""Generalised linear mixed models with sampling weights: pseudo maximum likelihood by adaptive quadrature."""
