"""Generalised linear mixed models by maximum likelihood."""
