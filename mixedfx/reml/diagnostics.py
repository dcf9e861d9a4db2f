"""Diagnostics of a fitted linear mixed model: what to look at before the numbers are believed."""

from __future__ import annotations

from mixedfx.reml.inference import LmerInference


class LmerDiagnostics(LmerInference):
    """How well the model describes its data."""
