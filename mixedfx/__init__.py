"""Multilevel models and varying treatment effects from one lme4-style formula."""

__version__ = "0.1.0"
