"""Sampling with beta and u integrated out."""
