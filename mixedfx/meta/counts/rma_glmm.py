"""rma_glmm: from tables, rates or single groups to a meta-analysis of the counts themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from mixedfx.errors import ModelError, OptionError, check_flag, check_level, check_option
from mixedfx.meta.counts.fit import RmaGlmmFit
from mixedfx.meta.counts.models import MODELS, fit_model
from mixedfx.meta.counts.reading import read_counts

CountMeasure = Literal["OR", "IRR", "PLO", "IRLN"]
CountModel = Literal["UM.FS", "UM.RS", "CM.EL", "CM.AL"]


def rma_glmm(
    measure: CountMeasure,
    data: Any = None,
    formula: str = "~ 1",
    model: CountModel | None = None,
    *,
    nAGQ: int | None = None,
    cor: bool = False,
    test: Literal["z", "t"] = "z",
    level: float = 0.95,
    drop00: bool = True,
    slab: Any = None,
    env: Mapping[str, Any] | None = None,
    **columns: Any,
) -> RmaGlmmFit:
    """Fit a random-effects meta-analysis of counts by maximum likelihood of their own distributions.

    Events are binomial among people, or Poisson in time; nothing is added to cells without events, and no sampling
    variance is taken as known. Log odds ratios (rate ratios, log odds, log rates) of studies vary by N(0, tau2) around
    the moderators. See `mixedfx.meta.counts.models` for the formulas.

    Parameters
    ----------
    measure
        ``"OR"``, log odds ratios of 2x2 tables; ``"IRR"``, log ratios of two rates; ``"PLO"``, log odds of single
        groups; ``"IRLN"``, log rates of single groups.
    data
        Any data frame; None where the columns are values.
    formula
        Moderators: ``"~ ablat + alloc"``.
    model
        Of two groups. ``"UM.FS"`` (None): a parameter for the level of each study. ``"UM.RS"``: random levels.
        ``"CM.EL"``: given the events of both groups, so that levels drop out: the noncentral hypergeometric
        distribution of tables, the binomial one of rates. ``"CM.AL"``, tables only: the binomial approximation to it,
        good where events are rare.
    nAGQ
        Nodes of adaptive Gauss-Hermite quadrature over the effects of a study. None: 7; 1, Laplace's approximation, of
        ``"UM.RS"``, which has two effects a study (7 is possible there too). ``"CM.EL"`` of tables is integrated to
        rounding and takes none.
    cor
        Whether levels and effects of studies are correlated under ``"UM.RS"``.
    test
        ``"z"``, or ``"t"`` with k - p degrees of freedom.
    level
        Confidence level.
    drop00
        Whether studies of two groups without any event, or with events only, are left out. They say nothing about
        the effect, but under ``"UM.RS"`` about levels; given the events of both groups they are always left out.
    slab
        Labels of studies: a column or values.
    env
        Names that the formula may use besides the columns and the documented functions.
    **columns
        As in `mixedfx.escalc`: ai, bi, ci, di (or n1i, n2i); x1i, x2i, t1i, t2i; xi, mi or ni; xi, ti.

    Returns
    -------
    RmaGlmmFit

    Raises
    ------
    OptionError
        A measure or model that is not known, a model of another measure, columns of another measure.
    DataError
        Counts that cannot be, naming the rows.
    ModelError
        Fewer than two studies say something.

    Warns
    -----
    SeparationWarning
        Moderators, or groups without events, decide the events of studies.

    Notes
    -----
    Estimates agree with metafor's ``rma.glmm`` (Viechtbauer 2010, Journal of Statistical Software 36(3)); likelihoods
    have all their constants with any number of nodes, so that those of one and of seven nodes compare.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> trials = pd.DataFrame({"ai": [4, 6, 3, 62, 33], "n1i": [123, 306, 231, 13598, 5069],
    ...                        "ci": [11, 29, 11, 248, 47], "n2i": [139, 303, 220, 12867, 5808]})
    >>> fit = mx.rma_glmm("OR", trials, model="UM.FS", ai="ai", n1i="n1i", ci="ci", n2i="n2i")
    >>> fit.predict(transf="exp").round(2)
       estimate  conf_low  conf_high  pred_low  pred_high
    0      0.34       0.2       0.57      0.12       0.97
    """
    check_option("measure", measure, tuple(MODELS))
    check_option("test", test, ("z", "t"))
    check_level(level)
    check_flag("cor", cor)
    check_flag("drop00", drop00)
    chosen = _model(measure, model)
    nodes = _nodes(nAGQ, chosen)
    counts = read_counts(measure, data, formula, columns, drop00 or chosen.startswith("CM"), slab, env)
    if counts.k < max(2, counts.X.shape[1] + 1):
        raise ModelError(
            f"{counts.k} studies say something, and {counts.X.shape[1]} coefficients and tau2 are to be estimated",
            hint="Leave moderators out, or describe the studies one by one with mixedfx.escalc.",
        )
    if not all(np.any(events > 0) for events, _ in counts.groups):
        raise ModelError("one of the groups has no events in any study", hint="No ratio can be estimated from these.")
    return RmaGlmmFit(counts, chosen, fit_model(counts, chosen, nodes, cor), nodes, test, level)


def _model(measure: str, model: str | None) -> str:
    known = MODELS[measure]
    if not known:
        if model is not None:
            raise OptionError(f"{measure} is of single groups, which have one model", hint="Leave model= out.")
        return ""
    check_option("model", model, (None, *MODELS["OR"]))
    if model is not None and model not in known:
        raise OptionError(f"{measure} has no model {model!r}", hint=f"It has {', '.join(known)}.")
    return "UM.FS" if model is None else model


def _nodes(nAGQ: int | None, model: str) -> int:
    if nAGQ is None:
        return 1 if model == "UM.RS" else 7
    if not (isinstance(nAGQ, int | np.integer) and 1 <= nAGQ <= 100):
        raise OptionError(f"nAGQ={nAGQ!r} is no number of nodes", hint="Use a whole number from 1, such as 7.")
    return int(nAGQ)
