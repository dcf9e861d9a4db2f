"""Data of the tests of generalised linear mixed models: classics, and small sets of every family."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.families.facts import RowFacts
from mixedfx.families.registry import family

DATA = Path(__file__).parents[1] / "data"

# every family and link that mx.glmer fits
FAMILIES = [
    *(("bernoulli", link) for link in ("logit", "probit", "cloglog", "cauchit")),
    *(("binomial", link) for link in ("logit", "probit", "cloglog", "cauchit")),
    *(("poisson", link) for link in ("log", "sqrt", "identity")),
    *(("negbinomial", link) for link in ("log", "sqrt", "identity")),
    *(("nbinom1", link) for link in ("log", "sqrt")),
    *(("beta_binomial", link) for link in ("logit", "cloglog")),
    ("truncated_poisson", "log"),
    ("truncated_negbinomial", "log"),
    ("tweedie", "log"),
    *(("beta", link) for link in ("logit", "probit")),
    *(("student", link) for link in ("identity", "log")),
    *(("cumulative", link) for link in ("logit", "probit", "cloglog")),
    *(("gamma", link) for link in ("log", "inverse", "identity")),
    *(("gaussian", link) for link in ("identity", "log", "inverse")),
]
STRUCTURES = {
    "none": "",
    "intercept": " + (1 | g)",
    "slope": " + (1 + x | g)",
    "diagonal": " + (1 + x || g)",
    "identity": " + id(0 + k | g)",
    "compound": " + cs(0 + k | g)",
    "homogeneous": " + homcs(0 + k | g)",
    "serial": " + ar1(0 + k | g)",
    "own serial": " + hetar1(0 + k | g)",
    "nested": " + (1 | a) + (1 | g)",
    "crossed": " + (1 | g) + (1 | h)",
    "crossed slopes": " + (1 | g) + (1 + x | h)",
    "three": " + (1 | g) + (1 | h) + (1 | a)",
    "related": " + (1 | gr(h, cov=R))",
    "slope and related": " + (1 + x | g) + (1 | gr(h, cov=R))",
}
ONE_FACTOR = ("intercept", "slope", "diagonal", "identity", "compound", "homogeneous", "serial", "own serial")
LEVELS = [f"h{i}" for i in range(8)]
AUXILIARY = {
    "shape": 4.0, "sigma": 0.5, "nu": 5.0, "phi": 6.0, "dispersion": 0.7, "power": 1.6,
    "threshold": np.array([-1.0, 0.5, 1.5]),
}  # fmt: skip
RELATED = pd.DataFrame(0.3 + 0.7 * np.eye(8), index=LEVELS, columns=LEVELS)


def grid(structures):
    """Every family and link with every structure; each family is fast with a third of them, and each structure too.

    The other combinations are slow tests: derivatives of a family and of a structure meet in the same few sums whatever
    the pair.
    """
    for i, (name, link) in enumerate(FAMILIES):
        for j, structure in enumerate(structures):
            fast = (i + j) % 3 == 0 or (name, link) == ("bernoulli", "logit")
            marks = () if fast else (pytest.mark.slow,)
            yield pytest.param(name, link, structure, marks=marks, id=f"{name}-{link}-{structure}")


def formula(name, structure):
    """The formula of a structure for a family."""
    return f"{'y | trials(m)' if family(name).outcome == 'trials' else 'y'} ~ x{STRUCTURES[structure]}"


@cache
def simulated(name, link, n=300, seed=0):
    """Rows in 30 groups g of 6 clusters a, crossed with 8 groups h."""
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 30, n), rng.integers(0, 8, n)
    x, k = rng.normal(size=n), rng.choice(list("pqr"), n)
    centre = {"identity": 5.0, "sqrt": 2.0, "inverse": 1.5}.get(link, 0.2)
    eta = centre + 0.15 * x + 0.3 * rng.normal(size=30)[g] + 0.2 * rng.normal(size=8)[h]
    m = rng.integers(1, 6, n).astype(float)
    facts = RowFacts(trials=m) if family(name).outcome == "trials" else RowFacts()
    y = family(name, link).draw(rng, eta[None], {name: np.array([x]) for name, x in AUXILIARY.items()}, facts)[0]
    columns = {"g": [f"g{i:02d}" for i in g], "h": [f"h{i}" for i in h], "a": [f"a{i // 5}" for i in g]}
    return pd.DataFrame({"y": y, "m": m, "x": x, "k": k, **columns})


@cache
def classic(name):
    """cbpp, grouseticks, verbagg and sleepstudy, categories as text."""
    frame = pd.read_csv(DATA / f"{name}.csv", dtype={"responses": str})
    if name == "verbagg":
        return _verbagg(frame)
    text = {
        "cbpp": ["herd", "period"],
        "grouseticks": ["YEAR", "INDEX", "BROOD", "LOCATION"],
        "sleepstudy": ["Subject"],
    }
    return frame.astype(dict.fromkeys(text[name], str))


def _verbagg(people):
    """A row for each person and item, from one string of 24 answers for each person."""
    items = [
        (f"S{situation}{mode}{kind}", kind.lower(), "other" if situation < 3 else "self", mode.lower())
        for mode in ("Want", "Do")
        for situation in (1, 2, 3, 4)
        for kind in ("Curse", "Scold", "Shout")
    ]
    parts = []
    for j, (item, btype, situ, mode) in enumerate(items):
        answers = people["responses"].str[j].astype(int)
        parts.append(people[["id", "Anger", "Gender"]].assign(item=item, btype=btype, situ=situ, mode=mode, r2=answers))
    frame = pd.concat(parts, ignore_index=True)
    frame["mode"] = pd.Categorical(frame["mode"], ["want", "do"])
    return frame.astype({"id": str})


def five_point(f, at, step):
    """Gradient of f by five-point differences: the error is of fourth order in the step."""
    out = np.zeros(len(at))
    for i in range(len(at)):
        e = np.zeros(len(at))
        e[i] = step
        out[i] = (8 * (f(at + e) - f(at - e)) - (f(at + 2 * e) - f(at - 2 * e))) / (12 * step)
    return out
