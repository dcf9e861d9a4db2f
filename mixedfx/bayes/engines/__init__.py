"""Samplers of Stan programs: what each takes and leaves (base.py), one file an engine; samplers.py above lists them."""
