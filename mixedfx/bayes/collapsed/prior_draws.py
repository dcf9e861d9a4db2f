"""Independent draws from the prior of a Gaussian model, without a sampler."""

from __future__ import annotations

import numpy as np

from mixedfx.bayes.collapsed.engine import PosteriorSample
from mixedfx.bayes.collapsed.exact_course import Sampling
from mixedfx.sampling.target import Target


def prior_sample(target: Target, n: int, rng: np.random.Generator) -> PosteriorSample:
    """Draws of (phi, beta, u) from a proper prior."""
    coordinates, prior, design = target.coordinates, target.collapsed.prior, target.collapsed.design
    phi = coordinates.draw_prior(rng, n)
    at = coordinates.variances(phi)
    combined = prior.loc + prior.scale * rng.standard_normal((n, prior.size)) / np.sqrt(at.mixing)
    beta = np.asarray(np.linalg.solve(prior.rows, combined.T).T, dtype=np.float64)
    parts = [
        np.einsum("dab,djb->dja", at.factors(t), rng.standard_normal((n, term.n_levels, term.n_columns))).reshape(n, -1)
        for t, term in enumerate(design.random)
    ]
    nothing = Sampling("prior", "", np.nan, float(n), 0, n, np.nan, 0, 0, 0.0, (np.nan, np.nan), 0)
    return PosteriorSample(phi, beta, np.concatenate(parts, axis=1), nothing)
