"""The cases: data, model, and what mixedfx has to show on each.

A model is kept as parts (response, fixed columns, random terms), so that packages without lme4's notation can be given
the same model. Data are the classics of the test suite, the simulators of `mixedfx.datasets.benchmark_shapes` and,
where its file is named, InstEval itself; without the file a simulation of its shape stands in and the tables say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mixedfx.datasets import benchmark_shapes as shapes

CLASSICS = Path(__file__).resolve().parents[1] / "tests" / "data"
FACTORIAL = ("a", "b", "c", "a:b", "a:c", "b:c", "a:b:c")


@dataclass(frozen=True)
class Sources:
    """Where data come from.

    Attributes
    ----------
    quick
        Simulated data in about a tenth of their size.
    insteval
        The CSV file of InstEval, or None for a simulation of its shape.
    """

    quick: bool = False
    insteval: Path | None = None


@dataclass(frozen=True)
class Term:
    """A random term (1 + slopes | group) with an unstructured covariance."""

    group: str
    slopes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"({' + '.join(('1', *self.slopes))} | {self.group})"


@dataclass(frozen=True)
class Target:
    """What mixedfx has to reach; None: nothing is asked.

    Attributes
    ----------
    peer
        Time of the fastest peer over that of mixedfx, at least.
    lme4
        Time of lme4 over that of mixedfx, at least.
    seconds
        Time of mixedfx, at most.
    peak_mb
        Peak memory of the process of mixedfx, at most.
    evaluations
        Evaluations of the criterion, at most.
    """

    peer: float | None = None
    lme4: float | None = None
    seconds: float | None = None
    peak_mb: float | None = None
    evaluations: int | None = None


@dataclass(frozen=True)
class Case:
    """One model on one data set.

    Attributes
    ----------
    name
        As given to ``--cases``.
    what
        One line for the tables.
    response, fixed, terms
        The model; `fixed` are the columns beside the intercept.
    make
        Data for given sources: the response and numeric columns as floats, grouping factors as pandas categoricals.
    target
        What has to be shown.
    refits
        Number of new responses to be fitted instead of the one; 0: the case is one fit.
    """

    name: str
    what: str
    response: str
    fixed: tuple[str, ...]
    terms: tuple[Term, ...]
    make: Callable[[Sources], pd.DataFrame]
    target: Target = field(default_factory=Target)
    refits: int = 0

    @property
    def formula(self) -> str:
        """The model in lme4's notation."""
        return f"{self.response} ~ {' + '.join(map(str, ('1', *self.fixed, *self.terms)))}"

    @property
    def columns(self) -> list[str]:
        """Columns that the model needs, the response first."""
        products = [*self.fixed, *(slope for term in self.terms for slope in term.slopes)]
        numeric = dict.fromkeys(part for product in products for part in product.split(":"))
        return [self.response, *numeric, *dict.fromkeys(term.group for term in self.terms)]

    def data(self, sources: Sources) -> pd.DataFrame:
        """Only the needed columns, in the types that `make` promises."""
        groups = {t.group for t in self.terms}
        frame = self.make(sources)[self.columns].reset_index(drop=True)
        for name in self.columns:
            if name in groups:
                frame[name] = frame[name].astype(str).astype("category")
            else:
                frame[name] = frame[name].astype(float)
        return frame


def _classic(name: str) -> Callable[[Sources], pd.DataFrame]:
    return lambda sources: pd.read_csv(CLASSICS / f"{name}.csv")


def _insteval(sources: Sources) -> pd.DataFrame:
    frame = pd.read_csv(sources.insteval) if sources.insteval else shapes.simulate_insteval(1).data
    return frame.sample(frac=0.1, random_state=0) if sources.quick else frame


def _nested(sources: Sources) -> pd.DataFrame:
    return shapes.simulate_nested_slopes(200 if sources.quick else 2_000, classes=5, pupils=20, seed=1).data


def _crossed(sources: Sources) -> pd.DataFrame:
    if sources.quick:
        return shapes.simulate_crossed_ratings(50_000, 1_200, 740, seed=1).data
    return shapes.simulate_crossed_ratings(1_000_000, 6_040, 3_706, seed=1).data


def _local(sources: Sources) -> pd.DataFrame:
    units, places = (5_000, 1_000) if sources.quick else (50_000, 10_000)
    return shapes.simulate_locally_crossed(units, places, rows=10, neighbours=30, seed=1).data


def _experiment(singular: bool, seed: int, maximal: bool = False) -> Callable[[Sources], pd.DataFrame]:
    def make(sources: Sources) -> pd.DataFrame:
        slopes = "maximal" if maximal else "main"
        return shapes.simulate_subjects_items(56, 32, slopes=slopes, singular=singular, seed=seed).data

    return make


def _experiments() -> list[Case]:
    main = (Term("subject", ("a", "b", "c")), Term("item", ("a", "b", "c")))
    every = (Term("subject", FACTORIAL), Term("item", FACTORIAL))
    cases = []
    for name, what, terms, singular, maximal, seed in (
        ("experiment-1", "20 parameters", main, False, False, 1),
        ("experiment-2", "20 parameters, another seed", main, False, False, 2),
        ("singular-1", "20 parameters, singular", main, True, False, 1),
        ("singular-2", "20 parameters, singular, another seed", main, True, False, 2),
        ("maximal", "all 8 effects vary twice: 72 parameters", every, False, True, 1),
        ("maximal-singular", "72 parameters, singular", every, True, True, 1),
    ):
        target = Target() if maximal else Target(evaluations=25)
        what = f"56 subjects x 32 items, 8 fixed effects, {what}"
        cases.append(Case(name, what, "y", FACTORIAL, terms, _experiment(singular, seed, maximal), target))
    return cases


CASES: tuple[Case, ...] = (
    Case(
        "sleepstudy",
        "sleepstudy, 180 rows, 18 subjects, random slope",
        "Reaction",
        ("Days",),
        (Term("Subject", ("Days",)),),
        _classic("sleepstudy"),
        Target(seconds=0.005, evaluations=12),
    ),
    Case(
        "refits",
        "sleepstudy, 1,000 further responses",
        "Reaction",
        ("Days",),
        (Term("Subject", ("Days",)),),
        _classic("sleepstudy"),
        Target(seconds=0.2),
        refits=1_000,
    ),
    Case("dyestuff", "dyestuff, 30 rows", "Yield", (), (Term("Batch"),), _classic("dyestuff"), Target(evaluations=12)),
    Case(
        "dyestuff2",
        "dyestuff2, 30 rows, variance zero",
        "Yield",
        (),
        (Term("Batch"),),
        _classic("dyestuff2"),
        Target(evaluations=12),
    ),
    Case(
        "penicillin",
        "penicillin, 144 rows, crossed",
        "diameter",
        (),
        (Term("plate"), Term("sample")),
        _classic("penicillin"),
        Target(evaluations=12),
    ),
    Case(
        "pastes",
        "pastes, 60 rows, nested",
        "strength",
        (),
        (Term("sample"), Term("batch")),
        _classic("pastes"),
        Target(evaluations=12),
    ),
    *_experiments(),
    Case(
        "insteval",
        "InstEval, 73,421 rows, 2,972 x 1,128 x 14 crossed",
        "y",
        ("service",),
        (Term("s"), Term("d"), Term("dept")),
        _insteval,
        Target(peer=2, lme4=8, evaluations=12),
    ),
    Case(
        "insteval-slopes",
        "InstEval, random slopes of service by lecturer and department",
        "y",
        ("service",),
        (Term("s"), Term("d", ("service",)), Term("dept", ("service",))),
        _insteval,
        Target(peer=4, lme4=20),
    ),
    Case(
        "slopes-200k",
        "200,000 rows, 2,000 groups, random slope",
        "y",
        ("x",),
        (Term("school", ("x",)),),
        _nested,
        Target(peer=1 / 1.5, lme4=20),
    ),
    Case(
        "nested-200k",
        "200,000 rows, 10,000 groups in 2,000, random slope",
        "y",
        ("x",),
        (Term("school", ("x",)), Term("classroom")),
        _nested,
        Target(peer=1 / 1.5, lme4=20),
    ),
    Case(
        "crossed-1m",
        "1,000,000 rows, 6,040 x 3,706 crossed, skewed",
        "y",
        (),
        (Term("user"), Term("item")),
        _crossed,
        Target(peer=4, peak_mb=1_000),
    ),
    Case(
        "local-500k",
        "500,000 rows, 50,000 x 10,000, each unit meets 30 neighbours",
        "y",
        (),
        (Term("unit"), Term("place")),
        _local,
        Target(peer=1),
    ),
)
