"""Power by simulation: how often a test would find an effect of a given size in a design of a given size.

Designs are made from that of the fit: groups are drawn from its groups, first every group once, then again, and
likewise the rows of a group, so that a larger study looks like the fitted one. A copy of a group is a group of its own;
factors nested in it are copied with it, factors crossed with it keep their levels. Responses are simulated from the fit
with the effect put in, the model is fitted to them, and the effect is tested, by the engine of the fit (`Study`). The
share of rejections is the power; its Monte Carlo error is binomial (Green & MacLeod 2016, Methods in Ecology and
Evolution 7:493).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.grouping import rows_of
from mixedfx.errors import ModelError, OptionError, ResamplingWarning, outside
from mixedfx.inference.degrees_of_freedom import Ddf, find_ddf
from mixedfx.inference.power_answer import needed_sentences, needed_table
from mixedfx.inference.replicates import check_count, run_blocks
from mixedfx.inference.resampling import cluster_of, take_copies
from mixedfx.plots.picture import Picture
from mixedfx.progress import Asked
from mixedfx.results.frames import frame_table
from mixedfx.results.protocol import answering
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]
BLOCK = 50  # data sets that are fitted together


@dataclass(frozen=True, eq=False, repr=False)
class Power(Shown):
    """Power of a test in designs of several sizes, as `mixedfx.power` returns it.

    Attributes
    ----------
    table
        One row for each design and effect: effect, size, n_groups, n_per_group (rows in a group; their mean where not
        fixed), n_rows, power, mc_error (its Monte Carlo standard error), lower, upper (95 % Monte Carlo interval),
        n_sim, failed (fits that broke down, left out).
    alpha, ddf
        Of the test.
    group
        The grouping factor whose levels are counted.
    """

    table: pd.DataFrame
    alpha: float
    ddf: str
    group: str = "group"

    def needed(self, power: float = 0.8) -> pd.DataFrame:
        """How many groups each effect needs for a power; see `mixedfx.inference.power_answer`.

        Parameters
        ----------
        power
            Wanted.

        Returns
        -------
        DataFrame
            effect, size, (n_per_group where it was varied,) needed, beyond: whether that lies outside the sizes tried.
        """
        if not 0 < power < 1:
            raise OptionError(f"power={power!r} is no probability", hint="Write power=0.8.")
        return needed_table(self.table, self.alpha, power)

    def plot(self, x: Literal["n_groups", "n_per_group"] | None = None, ax: Axes | None = None) -> Picture:
        """Draw power against the number of groups or of rows in a group; see `mixedfx.plots.power.power_curve`."""
        from mixedfx.plots.power import power_curve

        found = self.needed()
        needed = {} if "n_per_group" in found else dict(zip(found["effect"], found["needed"], strict=True))
        return Picture(power_curve(self.table, x=x, alpha=self.alpha, group=self.group, needed=needed, ax=ax))

    def content(self) -> SummaryContent:
        """The designs with their power."""
        sets = f"{self.table['n_sim'].max()} data sets for each design"
        title = f"Power of a {100 * self.alpha:g} % test (df: {self.ddf}), {sets}"
        shown = self.table.loc[:, ["effect", "size", "n_groups", "n_per_group", "power", "mc_error"]]
        answers = SummaryFacts((("Answer", " ".join(needed_sentences(self.table, self.alpha, self.group))),))
        return SummaryContent(title, (answers, frame_table(shown, "", digits=2)))


def power(
    fit: Any,
    effect: Mapping[str, float] | str | Sequence[str],
    *,
    n_groups: int | Sequence[int] | None = None,
    n_per_group: int | Sequence[int] | None = None,
    group: str | None = None,
    alpha: float = 0.05,
    ddf: Ddf | None = None,
    n_sim: int = 500,
    seed: int | None = None,
    n_jobs: int | None = 1,
    progress: Asked = None,
) -> Power:
    """Power of the test of a coefficient, by simulation from a fit.

    Parameters
    ----------
    fit
        Of `mixedfx.lmer` or `mixedfx.glmer`: where the variances, the other coefficients and the design come from.
    effect
        Coefficient -> size to be found (on the scale of the linear predictor), or the names of coefficients whose
        estimates are taken. All are put in together; each is tested by itself, two-sided, against 0.
    n_groups
        Numbers of groups; None: as many as the fit has.
    n_per_group
        Numbers of rows in each group; None: as many as the groups of the fit have.
    group
        Grouping factor that `n_groups` counts; None: the one all others are nested in.
    alpha
        Level of the test.
    ddf
        Degrees of freedom of t: ``"satterthwaite"`` (where None), ``"kenward-roger"`` (REML only, slower),
        ``"residual"``, ``"normal"``. Of `mixedfx.glmer` fits the test is z, ``"normal"``.
    n_sim
        Simulated data sets for each design.
    seed
        Seed of the random numbers; the result does not depend on `n_jobs`.
    n_jobs, progress
        As in `LmerFit.bootstrap`.

    Returns
    -------
    Power
        ``.table`` with a row for each design, ``.plot()``.

    Raises
    ------
    OptionError
        A coefficient that the fit does not have; sizes that are not numbers of groups or rows; df that it does not
        have.
    ModelError
        A fit without random terms; a design too small for the model.

    Warns
    -----
    ResamplingWarning
        Some data sets could not be fitted and were left out.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed"))
    >>> found = mx.power(fit, {"style[Some Flipped]": -3.0}, n_groups=[10, 30], n_sim=100, seed=1)
    >>> found.table[["n_groups", "n_rows"]].to_numpy().tolist(), bool(found.table["power"].is_monotonic_increasing)
    ([[10, 250], [30, 750]], True)
    """
    check_count("n_sim", n_sim)
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha} is not a probability", hint="Use a number between 0 and 1, such as 0.05.")
    fit = answering(fit, ("solution", "call", "power_study"), "power")
    if ddf is not None:
        find_ddf(ddf)
    used: Ddf = fit.usual_ddf if ddf is None else ddf
    if not fit.design.random:
        raise ModelError("power is for models with random terms", hint="Add one, such as (1 | group).")
    index, beta = _effects(fit.design, fit.solution.beta, effect)
    codes = cluster_of(fit.design, group)
    rows: list[dict[str, Any]] = []
    scenarios = list(product(_sizes("n_groups", n_groups), _sizes("n_per_group", n_per_group)))
    for seeds, (groups, per_group) in zip(np.random.SeedSequence(seed).spawn(len(scenarios)), scenarios, strict=True):
        rng = np.random.default_rng(seeds)
        design = sized_design(fit.design, codes, groups, per_group, rng)
        count = design_size(design, codes, groups)
        study: Study = fit.power_study(design, beta, index, used)
        blocks = run_blocks(
            partial(_p_values, study, alpha), n_sim, block=BLOCK, seed=int(rng.integers(2**63)), n_jobs=n_jobs,
            progress=progress, title=f"power, {count} groups", unit="data sets",
        )  # fmt: skip
        effects = [(fit.design.fixed_names[position], float(beta[position])) for position in index]
        rows += _summary(effects, len(design.y), count, np.concatenate(blocks), alpha)
    table = pd.DataFrame(rows)
    failed = sum(row["failed"] for row in rows) // len(index)
    if failed:
        warnings.warn(
            f"{failed} simulated data sets could not be fitted and were left out", ResamplingWarning, outside()
        )
    label = (
        group if group is not None else next((t.label for t in fit.design.random if np.array_equal(t.codes, codes)), "")
    )
    return Power(table, alpha, used, label or "group")


class Study(Protocol):
    """One design, and how data are simulated and tested in it; picklable."""

    def p_values(self, alpha: float, size: int, seeds: np.random.SeedSequence) -> Vector:
        """(size, effects) p values of simulated data sets; NaN where a fit broke down."""
        ...


def _p_values(study: Study, alpha: float, size: int, seeds: np.random.SeedSequence) -> Vector:
    return study.p_values(alpha, size, seeds)


def _effects(
    design: Design, estimate: Vector, effect: Mapping[str, float] | str | Sequence[str]
) -> tuple[list[int], Vector]:  # fmt: skip
    """Positions of the coefficients to be tested, and beta with the sizes put in."""
    names, beta = list(design.fixed_names), np.array(estimate)
    wanted = [effect] if isinstance(effect, str) else list(effect)
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        what = f"the fit has no coefficient {unknown[0]!r}" if unknown else "no effect is named"
        raise OptionError(what, hint=f"It has {', '.join(map(repr, names))}.")
    index = [names.index(name) for name in wanted]
    if isinstance(effect, Mapping):
        for position, name in zip(index, wanted, strict=True):
            size = float(effect[name])
            if not np.isfinite(size):
                raise OptionError(f"the size of {name!r} is {size}", hint="Give a finite number.")
            beta[position] = size
    return index, beta


def _sizes(name: str, sizes: int | Sequence[int] | None) -> Sequence[int | None]:
    if sizes is None:
        return (None,)
    listed = [int(sizes)] if isinstance(sizes, int | np.integer) else list(sizes)
    for size in listed:
        if not (isinstance(size, int | np.integer) and size >= 1):
            raise OptionError(f"{name} holds {size!r}", hint="Use whole numbers from 1 on.")
    return listed


def design_size(design: Design, codes: Codes, groups: int | None) -> int:
    """Number of groups of a scenario."""
    return int(codes.max()) + 1 if groups is None else groups


def sized_design(
    design: Design, codes: Codes, groups: int | None, per_group: int | None, rng: np.random.Generator
) -> Design:
    """A design of so many groups and so many rows in each, made from the groups and rows there are.

    Parameters
    ----------
    design
        n rows.
    codes
        (n,) group of each row.
    groups, per_group
        Sizes; None leaves them as they are.
    rng
        Decides which groups and rows are taken where fewer are needed than there are.
    """
    own = rows_of(codes)
    drawn = np.arange(len(own)) if groups is None else _cycled(len(own), groups, rng)
    rows = [own[g] if per_group is None else own[g][_cycled(len(own[g]), per_group, rng)] for g in drawn]
    return take_copies(replace(design, columns=cast(Any, None)), rows, codes)  # the frame is needed by no refit


def _cycled(n: int, size: int, rng: np.random.Generator) -> Codes:
    """`size` of n things: everything once in random order, then again."""
    rounds = [rng.permutation(n) for _ in range(-(-size // n))]
    return np.concatenate(rounds)[:size]


def _summary(
    effects: Sequence[tuple[str, float]], n_rows: int, groups: int, p: Vector, alpha: float
) -> list[dict[str, Any]]:  # fmt: skip
    """One row of the table for each effect."""
    out = []
    for k, (name, effect) in enumerate(effects):
        tested = p[np.isfinite(p[:, k]), k]
        n, hits = len(tested), int((tested < alpha).sum())
        share = hits / n if n else np.nan
        lower, upper = _exact_interval(hits, n)
        out.append(
            {
                "effect": name,
                "size": effect,
                "n_groups": groups,
                "n_per_group": n_rows / groups,
                "n_rows": n_rows,
                "power": share,
                "mc_error": float(np.sqrt(share * (1 - share) / n)) if n else np.nan,
                "lower": lower,
                "upper": upper,
                "n_sim": n,
                "failed": len(p) - n,
            }
        )
    return out


def _exact_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, from the beta distribution."""
    from scipy import special

    tail = (1 - level) / 2
    lower = 0.0 if hits == 0 else float(special.betaincinv(hits, n - hits + 1, tail))
    return lower, 1.0 if hits == n else float(special.betaincinv(hits + 1, n - hits, 1 - tail))
