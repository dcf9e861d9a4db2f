"""Penalised least squares: cross-products of a design, the criterion and its derivatives, draws of (beta, u)."""
