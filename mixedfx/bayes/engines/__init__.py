"""Samplers of Stan programs: what each takes and leaves (base), the list of them (registry), one file an engine."""
