"""Evidence of every model of an ensemble, each by the way that its parameters allow."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from mixedfx.errors import ImportanceWarning, outside
from mixedfx.meta.averaging import importance_models, normal_models, weight_models
from mixedfx.meta.averaging.given import Given
from mixedfx.meta.averaging.importance_models import ImportanceModel
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.normal_models import NormalModel, Sampled
from mixedfx.meta.averaging.weight_models import WeightModel
from mixedfx.progress import Asked, Progress
from mixedfx.sampling.importance import RELIABLE

Solved = NormalModel | WeightModel | ImportanceModel
MOST_STICKS = 3  # steps of a weight function whose evidence is quadrature


def solve(given: Given, found: Sequence[Member], mechanism: str, seed: int, progress: Asked) -> tuple[Solved, ...]:
    """Evidence of every model.

    Warns
    -----
    ImportanceWarning
        Models whose importance weights fail, and for which chains took over.
    """
    out: dict[int, Solved] = {}
    failed: list[int] = []
    with Progress(progress, "evidence of models", len(found), "models") as report:
        for group in normal_models.families(found):
            report(len(out))
            out |= zip(group, normal_models.solve(given, [found[i] for i in group]), strict=True)
        for i, member in enumerate(found):
            if i in out:
                continue
            report(len(out))
            if by_quadrature(member):
                out[i] = weight_models.solve(given, member)
                continue
            model = importance_models.solve(given, member, mechanism)
            if not model.evidence.k_hat <= RELIABLE:
                from mixedfx.meta.averaging.chain_models import by_chains

                model = by_chains(model, seed + i)
                failed.append(i)
            out[i] = model
        report(len(out))
    if failed:
        warnings.warn(
            f"importance weights of {len(failed)} of {len(found)} models have k-hat above {RELIABLE} (models "
            f"{', '.join(map(str, failed))}): they were sampled by NUTS, their evidence by bridge sampling",
            ImportanceWarning,
            outside(),
        )
    return tuple(out[i] for i in range(len(found)))


def by_quadrature(member: Member) -> bool:
    """Whether the evidence of a model with weights is an integral over few enough axes."""
    few = len(member.bias.prior.steps) <= MOST_STICKS
    return few and not member.clustered and not member.coefficients.columns


def sample(given: Given, model: Solved, n: int) -> Sampled:
    """Weighted draws of one model."""
    if isinstance(model, NormalModel):
        return normal_models.sample(given, model, n)
    if isinstance(model, WeightModel):
        return weight_models.sample(given, model, n)
    return importance_models.sample(model)
