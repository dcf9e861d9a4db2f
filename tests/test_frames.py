"""Every kind of data frame gives the answers that pandas gives, in every function and method that takes one.

A lazy frame is a query: it is answered anew at each collection, and nothing promises that its rows come in the same
order again. The sources here count how often they are asked, and hand out their rows in reverse from the second time
on, so that a method that reads the columns of a prediction in two goes pairs the values of different rows.
"""

import inspect
import warnings
from dataclasses import dataclass, field

import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.io.plugins import register_io_source

import mixedfx as mx
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.design.row_facts import fetch, row_facts
from mixedfx.design.rows import functional_for
from mixedfx.errors import MixedfxWarning
from mixedfx.meta.univariate.rma_fit import RmaFit
from mixedfx.reml.fit import LmerFit

LEVELS = ["low", "mid", "high"]
FORMULA = "y ~ z * dose + x + flag + (1 + x | g)"
COUNTS = "k | trials(m) ~ z * dose + (1 | g)"


def people(n: int = 120) -> pd.DataFrame:
    """A column of each type; the order of `dose` is not that of the alphabet."""
    rng = np.random.default_rng(4)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "z": rng.integers(0, 2, n).astype(np.int8),
            "flag": rng.random(n) < 0.5,
            "dose": pd.Categorical(rng.choice(LEVELS, n), LEVELS, ordered=True),
            "g": rng.choice(list("abcdefgh"), n),
            "w": rng.uniform(0.2, 5.0, n),
            "o": rng.normal(size=n),
            "m": rng.integers(0, 60, n),
            "N": rng.integers(1, 900, n),
        }
    )
    data["k"] = rng.binomial(data["m"], 1 / (1 + np.exp(-(data["x"] + data["z"]))))
    data["y"] += data["x"] + data["z"] + rng.normal(size=8)[data["g"].map("abcdefgh".index)]
    return data


@dataclass
class Source:
    """A frame, and how often it was collected (0 for those that cannot be counted)."""

    frame: object
    reads: list[int] = field(default_factory=list)

    @property
    def collected(self) -> int:
        return self.reads[0] if self.reads else 0


def polars_lazy(data: pd.DataFrame) -> Source:
    whole, reads = pl.from_pandas(data).cast({"dose": pl.Enum(LEVELS)}), [0]

    def source(with_columns, predicate, n_rows, batch_size):
        reads[0] += 1
        out = whole if reads[0] == 1 else whole.reverse()
        yield out if with_columns is None else out.select(with_columns)

    return Source(register_io_source(source, schema=whole.schema), reads)


class Relation(Source):
    """A relation of DuckDB, each row of which draws a number when it is read; the second reading is in reverse."""

    def __init__(self, data: pd.DataFrame) -> None:
        connection = duckdb.connect()
        connection.execute(f"CREATE TYPE doses AS ENUM {tuple(LEVELS)}; CREATE SEQUENCE reads")
        connection.register("given", data.astype({"dose": str}).assign(place=np.arange(len(data))))
        connection.execute("CREATE TABLE people AS SELECT * REPLACE (CAST(dose AS doses) AS dose) FROM given")
        self.connection, self.n = connection, len(data)
        drawn = connection.table("people").project("*, nextval('reads') AS read")
        order = f"CASE WHEN read <= {self.n} THEN place ELSE -place END"
        super().__init__(drawn.order(order).project("* EXCLUDE (place, read)"))

    @property
    def collected(self) -> int:
        return self.connection.execute("SELECT nextval('reads')").fetchall()[0][0] // self.n


def arrow(data: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(data, preserve_index=False)


KINDS = {
    "pandas": lambda d: Source(d.set_axis([f"person {i}" for i in range(len(d))])),
    "pandas nullable": lambda d: Source(d.convert_dtypes()),
    "pandas on arrow": lambda d: Source(arrow(d).to_pandas(types_mapper=pd.ArrowDtype)),
    "polars": lambda d: Source(pl.from_pandas(d).cast({"dose": pl.Enum(LEVELS)})),
    "polars lazy": polars_lazy,
    "pyarrow": lambda d: Source(arrow(d)),
    "arrow reader": lambda d: Source(arrow(d).to_reader()),  # which can be read once
    "duckdb": Relation,
    "narwhals": lambda d: Source(nw.from_native(pl.from_pandas(d).cast({"dose": pl.Enum(LEVELS)}))),
}
LAZY = ("polars lazy", "duckdb")

SHORT = {"draws": 100, "seed": 1, "progress": False}
FITTING = {
    "lmer": lambda f: mx.lmer(FORMULA, f, weights="w", offset="o").fixef,
    "glmer": lambda f: mx.glmer(COUNTS, f, family="binomial", offset="o").fixef,
    "design": lambda f: mx.design(FORMULA, f, weights="w", offset="o").X,
    "bayes": lambda f: mx.bayes(FORMULA, f, weights="w", offset="o", draws=100, seed=1).fixef,
    "prior_predictive": lambda f: mx.prior_predictive(FORMULA, f, seed=1, draws=50).fixef,
    "stan_code": lambda f: mx.stan_code(COUNTS, f, "binomial"),
    "stan_data": lambda f: mx.stan_data(COUNTS, f, "binomial", offset="o")["X"],
    "rake": lambda f: mx.rake(f, {"dose": {"low": 10, "mid": 20, "high": 30}, "z": {0: 25, 1: 35}}, weights="N"),
    "escalc": lambda f: mx.escalc("IRLN", f, xi="N", ti="w")["yi"],
    "rma": lambda f: mx.rma("y ~ z * dose + x + flag", f, vi="w").beta,
    "rma_mv": lambda f: mx.rma_mv("y ~ z + x + (1 | g)", f, vi="w").beta,
    "rho_sensitivity": lambda f: mx.rho_sensitivity("y ~ z + x + (1 | g)", f, vi="w", cluster="g", rhos=(0.3,)).table[
        "estimate"
    ],
    "selmodel": lambda f: mx.selmodel("y ~ z + x", f, vi="w", type="halfnorm").tidy()["estimate"],
    "metaforest": lambda f: mx.metaforest("y ~ x + dose", f, vi="w", n_trees=5, seed=1).forest.predicted,
    "tune_metaforest": lambda f: mx.tune_metaforest(
        "y ~ x + dose", f, vi="w", weights=["fixed"], mtry=[1], min_node_size=[5], folds=2, n_trees=3, seed=1
    ).table["rmse"],
    "metacart": lambda f: mx.metacart("y ~ x + dose", f, vi="w", folds=3, seed=1).cross_validation["error"],
    "screen_moderators": lambda f: mx.screen_moderators(
        "y ~ 1 + (1 | g)", f, vi="w", cluster="g", blocks={"a": ["x"], "b": ["dose"]}
    ).table["p_value"],
    "explained_heterogeneity": lambda f: mx.explained_heterogeneity(
        "y ~ x + dose + (1 | g)", f, vi="w", cluster="g", approaches=["regression"], folds=3, seed=1
    ).table["r2"],
    "plot_groups": lambda f: np.concatenate(
        [dots.get_offsets() for ax in mx.plot_groups("y ~ dose + (1 | g)", f).axes for dots in ax.collections]
    ),
    "effects_from": lambda f: mx.effects_from(np.arange(120.0), f, by="dose").table["estimate"],
    "pool_scores": lambda f: mx.pool_scores(np.arange(120.0), "1 + (1 | g)", f, by="g", seed=1).table["estimate"],
    "best_linear_projection": lambda f: mx.best_linear_projection(np.arange(120.0), "x + dose", f)["estimate"],
    "rma_glmm": lambda f: mx.rma_glmm("OR", f, "~ x", ai="k", bi="m", ci="z", di="N").beta,
    "rma_mh": lambda f: mx.rma_mh("RR", f, ai="k", bi="m", ci="z", di="N").tidy()["estimate"],
    "rma_peto": lambda f: mx.rma_peto(f, ai="k", bi="m", ci="z", di="N").tidy()["estimate"],
    "subgroup_effects": lambda f: (
        mx.subgroup_effects(f, "x", yi="y", sei="w", n="N", models=["shrinkage"])
        .effects()
        .table[["n", "estimate", "sd"]]
    ),
    "robma": lambda f: mx.robma(f, yi="y", vi="w", bias="PP", formula="~ x").estimates,
    "bma": lambda f: mx.bma(f, yi="y", vi="w", cluster="g").estimates,
    "vcalc": lambda f: mx.vcalc("w", f, cluster="g", rho=0.3).toarray(),
    "aggregate": lambda f: mx.aggregate(f, "g", yi="y", vi="w", rho=0.3)["yi"],
}
ASKING = {
    "lmer.predict": lambda fits, f: fits["lmer"].predict(f),
    "lmer.predict, prediction": lambda fits, f: fits["lmer"].predict(f, interval="prediction"),
    "lmer.predict, weights": lambda fits, f: fits["lmer"].predict(f, interval="prediction", weights="N"),
    "lmer.design_for": lambda fits, f: fits["lmer"].design_for(f).fixed,
    "rma.predict": lambda fits, f: fits["rma"].predict(f),
    "rma.design_for": lambda fits, f: fits["rma"].design_for(f).fixed,
    "rma.simulate": lambda fits, f: fits["rma"].simulate(2, seed=1, newdata=f),
    "glmer, zi": lambda fits, f: mx.glmer("k ~ x", f, "negbinomial", zi="~ flag", offset="o").fixef,
    "glmer, hurdle": lambda fits, f: mx.glmer("k ~ x + (1 | g)", f, "hurdle_negbinomial", zi="~ z").fixef,
    "hurdle.simulate": lambda fits, f: fits["hurdle"].simulate(2, seed=1, newdata=f),
    "zi.simulate": lambda fits, f: fits["zi"].simulate(2, seed=1, newdata=f),
    "zi.predict": lambda fits, f: fits["zi"].predict(f),
    "stan_data, zi": lambda fits, f: mx.stan_data(
        "k ~ x + (1 | g)", f, "negbinomial", zi="~ flag + dose", offset="o"
    )["X_zi"],
    "prior_predictive, zi": lambda fits, f: mx.prior_predictive(
        "k ~ x", f, family="poisson", zi="~ flag", seed=1, draws=20
    ).linpred(),
    "lmer.simulate": lambda fits, f: fits["lmer"].simulate(2, seed=1, newdata=f, weights="w"),
    "bayes.simulate": lambda fits, f: fits["bayes"].simulate(2, seed=1, newdata=f, weights="w"),
    "lmer.update": lambda fits, f: fits["lmer"].update(data=f).fixef,
    "bayes.predict": lambda fits, f: fits["bayes"].predict(f),
    "bayes.predict, predictive": lambda fits, f: fits["bayes"].predict(f, kind="predictive"),
    "bayes.predict, weights": lambda fits, f: fits["bayes"].predict(f, kind="predictive", weights="N"),
    "bayes.linpred": lambda fits, f: fits["bayes"].linpred(f),
    "bayes.epred": lambda fits, f: fits["binomial"].epred(f),
    "bayes.design_for": lambda fits, f: fits["binomial"].design_for(f).random.toarray(),
    "binomial.predict, predictive": lambda fits, f: fits["binomial"].predict(f, kind="predictive"),
    "answers": lambda fits, f: mx.answers(fits["lmer"], "z", f).table["estimate"],
    "effects": lambda fits, f: numbers(mx.effects(fits["lmer"], "z", by="dose", newdata=f)),
    "effects, weights": lambda fits, f: numbers(mx.effects(fits["lmer"], "z", by=["dose"], newdata=f, weights="N")),
    "effects, trials": lambda fits, f: numbers(mx.effects(fits["binomial"], "z", by="g", newdata=f)),
    "effects, subgroups": lambda fits, f: numbers(
        mx.effects(fits["lmer"], "x", subgroups={"some": "dose >= 'mid' and flag and w > 1"}, newdata=f)
    ),
    "poststratify": lambda fits, f: numbers(mx.poststratify(fits["binomial"], f, "N", by="dose")),
    "poststratify, offset": lambda fits, f: numbers(mx.poststratify(fits["lmer"], f, by="dose")),
}  # fmt: skip


def numbers(effects):
    return effects.table[["n", "weight", "estimate", "sd"]]


@pytest.fixture(scope="module")
def fits():
    data = people()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # few draws, and 120 rows of noise
        return {
            "lmer": mx.lmer(FORMULA, data, weights="w", offset="o"),
            "rma": mx.rma("y ~ z * dose + x + flag", data, vi="w"),
            "hurdle": mx.glmer("k ~ x + (1 | g)", data, "hurdle_negbinomial", zi="~ z"),
            "zi": mx.glmer("k ~ x + (1 | g)", data, "negbinomial", zi="~ flag"),
            "bayes": mx.bayes(FORMULA, data, weights="w", offset="o", draws=100, seed=1),
            "binomial": mx.bayes(COUNTS, data, family="binomial", warmup=150, **SHORT),
        }


@pytest.fixture(scope="module")
def expected(fits):
    data = people()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return {n: ask(data) for n, ask in FITTING.items()} | {n: ask(fits, data) for n, ask in ASKING.items()}


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("question", [*FITTING, *ASKING])
def test_every_frame_gives_the_answer_that_pandas_gives(question, kind, fits, expected):
    source = KINDS[kind](people())
    found = FITTING[question](source.frame) if question in FITTING else ASKING[question](fits, source.frame)
    right = expected[question]
    if isinstance(right, str):
        assert found == right
    else:
        # Floating point alone: the sums of a fit run over rows that are equal to the last bit.
        np.testing.assert_allclose(
            np.asarray(found, dtype=float), np.asarray(right, dtype=float), rtol=1e-9, atol=1e-12
        )
    if kind in LAZY:
        assert source.collected == 1
    if kind == "pandas" and hasattr(found, "index") and "predict" in question and len(found) == 120:
        assert found.index.tolist() == source.frame.index.tolist()


def takers(subject):
    """Names of public functions or methods that take data, from their signatures."""
    found = set()
    for name, value in inspect.getmembers(subject, callable):
        if not name.startswith("_") and not inspect.isclass(value):
            try:
                given = inspect.signature(value).parameters.values()
                parameters = {one.name for one in given if one.annotation not in (str, "str")}  # a name of data is none
            except ValueError:  # of a class written in C
                continue
            if parameters & {"data", "newdata", "cells"}:
                found.add(name)
    return found


def test_no_function_that_takes_data_is_left_out():
    asked = {name.split(",")[0] for name in ASKING}
    functions = {name for name in mx.__all__ if name in takers(mx)}
    assert functions - {"load"} == set(FITTING) | {name for name in asked if "." not in name}
    assert {f"lmer.{name}" for name in takers(LmerFit)} <= asked
    assert {f"rma.{name}" for name in takers(RmaFit)} <= asked
    assert {f"bayes.{name}" for name in takers(PosteriorFit)} <= asked


def test_a_question_reads_only_the_columns_that_it_needs(fits):
    # A column of lists or of 128 bits that no question names must not stop an answer.
    data = people()
    frame = pl.from_pandas(data).cast({"dose": pl.Enum(LEVELS)})
    odd = frame.with_columns(tags=pl.Series([[1]] * len(data)), id=pl.Series([2**80] * len(data), dtype=pl.Int128))
    wanted = fits["lmer"].predict(data, interval="prediction")
    np.testing.assert_allclose(fits["lmer"].predict(odd, interval="prediction"), wanted, rtol=1e-9)
    right = mx.effects(fits["lmer"], "z", by="dose", newdata=data).table["estimate"]
    np.testing.assert_allclose(
        mx.effects(fits["lmer"], "z", by="dose", newdata=odd).table["estimate"], right, rtol=1e-9
    )


def test_new_responses_of_a_lazy_frame_pair_trials_with_their_own_rows():
    # 2,000 cells, the large ones likely: were trials read apart from predictors, the expected sum would be another.
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": np.linspace(-3, 3, 2000), "g": rng.choice(list("abcd"), 2000)})
    data["m"] = np.where(data["x"] > 0, 900, 10)
    data["k"] = rng.binomial(data["m"], 1 / (1 + np.exp(-data["x"])))
    design = mx.design("k | trials(m) ~ x + (1 | g)", data, family="binomial")
    rows = functional_for(design, data)
    source = polars_lazy(data.assign(dose="low"))
    frame = fetch(design, source.frame)
    assert row_facts(design, frame).trials.tolist() == data["m"].tolist()
    np.testing.assert_array_equal(functional_for(design, frame).fixed, rows.fixed)
    assert source.collected == 1
