"""What fits have in common for their reader: the Fit protocol, tables, summaries, singularity in words."""
