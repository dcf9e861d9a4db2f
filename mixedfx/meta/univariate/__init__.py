"""Meta-analysis with independent estimates: tau2, location-scale models, and what is asked of them."""
