"""Densities of variance parameters with beta and u integrated out, their modes, and importance sampling of them."""
