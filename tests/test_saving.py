"""Fits of every kind come back from a file as they were; damaged files are a DataError, never a broken fit."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.archive import FORMAT, HEAD
from mixedfx.errors import DataError, MixedfxWarning, OptionError, UnsavableWarning
from mixedfx.loading import READERS

N = 80


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    g, h = np.repeat(np.arange(8), 10), np.tile(np.arange(4), 20)
    x = rng.normal(size=N)
    frame = pd.DataFrame({"x": x, "g": g.astype(str), "h": pd.Categorical(np.array(list("abcd"))[h])})
    frame["number"] = rng.integers(0, 3, N).astype("int16")
    frame["flag"] = rng.random(N) < 0.5
    frame["ordered"] = pd.Categorical(rng.choice(["lo", "mid", "hi"], N), ["lo", "mid", "hi"], ordered=True)
    frame["text"] = pd.array(rng.choice(["u", "v"], N), dtype="string")
    frame["nullable"] = pd.array(rng.integers(0, 5, N), dtype="Int64")
    frame["interval"] = pd.cut(frame["x"], [-5.0, -0.5, 0.5, 5.0])
    frame["codes"] = pd.Categorical(rng.choice([10, 20, 30], N), [30, 10, 20])
    frame["floats"] = pd.Categorical(rng.choice([1.0, 2.0], N))
    frame["partly"] = pd.Categorical(rng.choice(np.array(["Low", 2.0, "High"], dtype=object), N), ["Low", 2.0, "High"])
    frame["truth"] = pd.Categorical(rng.choice([True, False], N))
    frame["months"] = pd.Categorical(pd.period_range("2020-01", periods=3, freq="M")[rng.integers(0, 3, N)])
    frame["days"] = pd.Categorical(pd.to_datetime(["2020-01-01", "2020-06-01"])[rng.integers(0, 2, N)])
    frame["spans"] = pd.Categorical(pd.to_timedelta([1, 2], unit="D")[rng.integers(0, 2, N)])
    frame["arrow"] = pd.arrays.ArrowExtensionArray(pa.array(rng.choice(["p", "q"], N).tolist()).dictionary_encode())
    frame["small"], frame["half"] = rng.integers(0, 100, N).astype("int8"), rng.normal(size=N).astype("float16")
    frame["decimal"] = [Decimal(int(v)) / 8 for v in rng.integers(0, 40, N)]
    frame["unsigned"] = pd.array(rng.integers(0, 200, N), dtype="UInt8")
    frame["w"], frame["s"], frame["m"] = rng.uniform(0.5, 2, N), rng.uniform(0.2, 0.6, N), rng.integers(1, 5, N)
    eta = 0.3 * x + 0.8 * rng.normal(size=8)[g] + 0.4 * rng.normal(size=4)[h]
    frame["y"] = eta + rng.normal(size=N)
    frame["b"] = (rng.random(N) < 1 / (1 + np.exp(-eta))).astype(int)
    frame["k"] = rng.binomial(frame["m"], 1 / (1 + np.exp(-eta)))
    frame["count"] = rng.poisson(np.exp(0.5 + eta))
    frame.loc[[3, 11], "x"] = np.nan
    return frame.set_axis(np.arange(N) + 500, axis=0)


LMER = {
    "slopes": ("y ~ x * flag + (1 + x | g) + (1 | h)", {}),
    "least squares": ("y ~ poly(x, 2) + ordered", {"weights": "w"}),
    "weights, offset, ML": ("y ~ center(x) + (1 | g)", {"weights": "w", "offset": "s", "REML": False}),
    "values beside": ("y ~ x + (1 | g)", {"weights": np.linspace(1, 2, N), "offset": np.linspace(0, 1, N)}),
    "se": ("y | se(s) ~ x + (1 | g)", {}),
    "dispersion": ("y ~ x + (1 | g)", {"dispersion": "~ flag"}),
    "codings": ("y ~ x * ordered + cs(0 + h | g)", {"contrasts": {"ordered": "sum"}}),
    "singular": ("y ~ x + (1 + number || h)", {}),
    "sigma": ("y ~ x + (1 | g)", {"sigma": 1.0}),
    "constant": ("y ~ I(x * twice) + (1 | g)", {"env": {"twice": 2.0}}),
}
GLMER = {
    "bernoulli": ("b ~ x + (1 | g) + (1 | h)", {"family": "bernoulli", "link": "probit"}),
    "quadrature": ("k | trials(m) ~ x + (1 + flag | g)", {"family": "binomial", "nAGQ": 3}),
    "prior": ("b ~ x + flag + (1 | g)", {"family": "bernoulli", "priors": "default"}),
    "count": ("count ~ x + offset(log(m)) + (1 | g)", {"family": "negbinomial"}),
    "gaussian": ("y ~ x + (1 | g)", {"family": "gaussian", "weights": "w"}),
    "glm": ("count ~ x * h", {"family": "poisson", "offset": np.linspace(0, 1, N)}),
}


W = {"row": "w", "g": "of_group"}
WEIGHTED = {
    "lmer": lambda d: mx.lmer("y ~ x * flag + (1 + x | g)", d, sampling_weights=W, weights="s", offset="half"),
    "lmer, strata and units": lambda d: mx.lmer(
        "y ~ x + (1 | g)", d,
        sampling_weights=mx.sampling_weights(
            {"row": d["w"].to_numpy(), "g": "of_group"}, scaling="effective", strata="stratum", psu=d["g"].to_numpy()
        ),
    ),
    "lmer, replicates": lambda d: mx.lmer(
        "y ~ x + (1 | g)", d, sampling_weights=W, replicates=mx.replicates("R*", "fay", rho=0.3)
    ),
    "lmer, replicates as values": lambda d: mx.lmer(
        "y ~ x + (1 | g)", d, sampling_weights=W,
        replicates=mx.replicates(d[["R1", "R2", "R10"]].to_numpy(), "jkn", scales=[0.5, 0.4, 0.3]),
    ),
    "lmer, no random terms": lambda d: mx.lmer("y ~ x", d, sampling_weights=mx.sampling_weights(row="w", psu="g")),
    "glmer": lambda d: mx.glmer("b ~ x + flag + (1 | g)", d, "bernoulli", "probit", nAGQ=9, sampling_weights=W),
    "glmer, replicates": lambda d: mx.glmer(
        "count ~ x + (1 | g)", d, "negbinomial", sampling_weights=W, replicates=mx.replicates("R*", "fay")
    ),
    "glmer, known": lambda d: mx.glmer(
        "y ~ x + (1 | g)", d, mx.families.student(nu=6), weights="s",
        sampling_weights=mx.sampling_weights(W, conditional=True, scaling="none", strata="stratum"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sampled(data):
    """With weights, strata and replicates; two rows lack x, two have no weight."""
    rng = np.random.default_rng(1)
    g = data["g"].astype(int).to_numpy()
    frame = data.assign(of_group=1.0 + (g % 3), stratum=np.where(g < 4, 1, 2))
    frame["w"] = frame["w"] * frame["of_group"] + frame["of_group"]
    frame.loc[[505, 520], "w"] = 0.0
    for name in ("R1", "R2", "R10"):
        frame[name] = frame["w"] * rng.choice([0.7, 1.3], 8)[g]
    return frame


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return function(*args, **options)


def same(found, wanted, **close):
    pd.testing.assert_frame_equal(found, wanted, **({"rtol": 1e-5, "atol": 1e-7} | close))


def assert_as_it_was(again, fit, data, with_new=True):
    """Summaries, tables, predictions and effects; one evaluation at theta leaves rounding, and nothing else."""
    assert type(again) is type(fit)
    assert (again.formula, again.nobs, again.converged) == (fit.formula, fit.nobs, fit.converged)
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-7)
    assert str(again.summary()).splitlines()[0] == str(fit.summary()).splitlines()[0]
    for effects in ("fixed", "ran_pars", "ran_vals"):
        if fit.design.random or effects == "fixed":
            same(quietly(again.tidy, effects), quietly(fit.tidy, effects), rtol=1e-4, atol=1e-6)
    for term, table in fit.ranef.items():
        same(again.ranef[term], table, atol=1e-6)
    same(again.optimization.to_frame(), fit.optimization.to_frame())
    pd.testing.assert_series_equal(again.fitted, fit.fitted, rtol=1e-6, atol=1e-6)  # modes are within 1e-5 of their sd
    assert again.design.rows.used.tolist() == fit.design.rows.used.tolist()
    pd.testing.assert_index_equal(again.design.rows.labels, fit.design.rows.labels)
    new = data.dropna().iloc[:5]
    if with_new:
        np.testing.assert_allclose(quietly(again.predict, new), quietly(fit.predict, new), rtol=1e-6, atol=1e-6)
        if "x" in fit.design.frame:
            ours, theirs = (quietly(mx.effects, one, "x", by=["flag"] if "flag" in fit.design.frame else None).table
                            for one in (again, fit))  # fmt: skip
            numbers = ours.select_dtypes("number").columns
            np.testing.assert_allclose(ours[numbers], theirs[numbers], rtol=1e-3, atol=1e-4)
    y = fit.simulate(1, seed=1).to_numpy().ravel()
    assert quietly(again.refit, y).criterion == pytest.approx(quietly(fit.refit, y).criterion, abs=1e-5)
    assert quietly(again.update).criterion == pytest.approx(fit.criterion, abs=1e-5)


@pytest.mark.parametrize("name", LMER)
def test_linear_mixed_models_come_back(data, name, tmp_path):
    formula, options = LMER[name]
    fit = quietly(mx.lmer, formula, data, **options)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    assert_as_it_was(again, fit, data, with_new=name != "values beside")
    if name == "dispersion":
        same(again.dispersion, fit.dispersion)


@pytest.mark.parametrize("blocks", [False, True])
def test_known_covariances_of_errors_come_back(data, blocks, tmp_path):
    whole = data.dropna()
    V = np.diag(whole["s"] ** 2)
    if blocks:
        V = V + 0.02 * np.equal.outer(whole["g"].to_numpy(), whole["g"].to_numpy())
    fit = quietly(mx.lmer, "y ~ x + (1 | g)", whole, V=V)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-8)
    assert again.update(REML=False).criterion == pytest.approx(fit.update(REML=False).criterion, abs=1e-6)
    mv = quietly(mx.rma_mv, "y ~ x + (1 | g)", whole, V=V, test="t", level=0.9)
    back = mx.load(mv.save(tmp_path / "mv.mfx"))
    assert (back.test, back.level, repr(back)) == ("t", 0.9, repr(mv))
    same(back.tidy(), mv.tidy())
    same(quietly(back.confint), quietly(mv.confint), rtol=1e-3)


@pytest.mark.parametrize("name", GLMER)
def test_generalised_linear_mixed_models_come_back(data, name, tmp_path):
    formula, options = GLMER[name]
    fit = quietly(mx.glmer, formula, data, **options)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    assert (again.family, again.nAGQ) == (fit.family, fit.nAGQ)
    assert_as_it_was(again, fit, data, with_new=name != "glm")
    same(again.priors, fit.priors)
    assert again.laplace_error == pytest.approx(fit.laplace_error, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", WEIGHTED)
def test_fits_with_sampling_weights_come_back(sampled, name, tmp_path):
    fit = quietly(WEIGHTED[name], sampled)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    assert type(again) is type(fit)
    assert repr(again) == repr(fit)
    assert str(again.summary()) == str(fit.summary())
    assert (again.converged, again.df) == (fit.converged, fit.df)
    for effects in ("fixed", "ran_pars", "ran_vals"):
        if fit.design.random or effects == "fixed":
            same(again.tidy(effects), fit.tidy(effects), rtol=1e-6, atol=1e-9)
    same(again.design_effects, fit.design_effects)
    same(again.optimization.to_frame(), fit.optimization.to_frame())
    pd.testing.assert_series_equal(again.fitted, fit.fitted, rtol=1e-8)
    new = sampled.dropna().iloc[:5]
    np.testing.assert_allclose(again.predict(new, se=True), fit.predict(new, se=True), rtol=1e-6)
    refitted = quietly(again.update)
    assert refitted.criterion == pytest.approx(fit.criterion, abs=1e-6)
    np.testing.assert_allclose(refitted.vcov, fit.vcov, rtol=1e-3)
    assert str(refitted.summary()).splitlines()[:1] == str(fit.summary()).splitlines()[:1]


POOLED = {
    "lmer": lambda d: mx.lmer("[PV1:PV3] ~ x + (1 | g)", d),
    "glmer, imputations": lambda d: mx.glmer(
        "b ~ x + (1 | g)", None, "bernoulli", imputations=[d.fillna({"x": k}) for k in (0.0, 0.5)]
    ),
    "weighted": lambda d: mx.lmer("[PV1:PV3] ~ x + (1 | g)", d, sampling_weights=W),
}


@pytest.mark.parametrize("name", POOLED)
def test_pooled_fits_come_back(sampled, name, tmp_path):
    several = sampled.assign(**{f"PV{k}": sampled["y"] + 0.1 * k * sampled["w"] for k in (1, 2, 3)})
    fit = quietly(POOLED[name], several)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    assert type(again) is type(fit)
    assert (again.sets, again.what, again.formula, again.m) == (fit.sets, fit.what, fit.formula, fit.m)
    assert str(again.summary()) == str(fit.summary())
    same(again.tidy(), fit.tidy(), rtol=1e-4, atol=1e-6)
    new = several.dropna().iloc[:4]
    np.testing.assert_allclose(quietly(again.predict, new), quietly(fit.predict, new), rtol=1e-5, atol=1e-6)
    assert [type(one) for one in again.fits] == [type(one) for one in fit.fits]


@pytest.mark.parametrize(
    "options",
    [
        {}, {"test": "knha", "method": "PM"}, {"sei": "s"}, {"vi": np.linspace(0.1, 0.4, N)},
        {"slab": "g", "tau2": 0.2}, {"weights": "w", "test": "t"}, {"scale": "~ w"},
    ],
    ids=["plain", "knha", "sei", "values", "slab", "weights", "scale"],
)  # fmt: skip
def test_meta_analyses_come_back(data, options, tmp_path):
    frame = data.assign(vi=data["s"] ** 2, odd=[object()] * N)
    if "sei" in options or isinstance(options.get("vi"), np.ndarray):
        frame = frame.drop(columns="vi")
    fit = quietly(mx.rma, "y ~ x" if "scale" not in options else "y ~ m", frame, **options)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    assert repr(again) == repr(fit)
    assert str(again.summary()) == str(fit.summary())
    same(again.tidy(), fit.tidy())
    if "scale" not in options:
        assert again.tau2 == fit.tau2
        assert list(again.slab) == list(fit.slab)
        same(again.leave1out(), fit.leave1out())


P = mx.priors
AVERAGES = {
    "clusters, moderator": {"cluster": "lab", "measure": "SMD", "formula": "~ x"},
    "weights without clusters": {
        "bias": [P.pet(), P.weight_function("two-sided", (0.05, 0.1)), P.weight_function("one-sided", 0.5)],
        "measure": "SMD", "slab": "label", "ni": "n",
    },
    "weights in clusters": {
        "cluster": "lab", "bias": [P.no_bias(), P.weight_function("one-sided", 0.05)], "mechanism": "joint",
        "priors": P.robma4("SMD"),
    },
    "listed models, factor": {
        "sei": np.full(14, 0.25), "formula": "~ kind", "direction": "negative", "level": 0.8, "seed": 5, "draws": 100,
        "priors": P.ensemble(
            models=[P.model(P.cauchy(0, 0.7), P.half_normal(0.4)), P.model(P.spike(0), P.spike(0), P.pet(), odds=2)],
            moderators={"kind": [P.spike(0), P.option(P.normal(0, 0.5), odds=3)]},
        ),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def labs():
    rng = np.random.default_rng(8)
    lab = np.repeat(["b", "a", "d", "c", "e"], [4, 3, 4, 2, 1])
    frame = pd.DataFrame({"lab": lab, "vi": rng.uniform(0.03, 0.1, 14), "x": rng.normal(size=14)})
    frame["yi"] = 0.3 + 0.2 * frame["x"] + rng.normal(0, np.sqrt(0.05 + frame["vi"]))
    frame["n"], frame["kind"] = (4 / frame["vi"]).round(), np.array(["u", "v", "w"])[np.arange(14) % 3]
    frame["label"] = [f"{name}{i}" for i, name in enumerate(lab)]
    frame.loc[5, "yi"] = np.nan
    return frame.sample(frac=1.0, random_state=3)


def assert_same_average(again, fit):
    """To the last digit: nothing is fitted anew, and draws are made of the numbers that were saved."""
    assert type(again) is type(fit)
    for name in ("components", "models", "estimates", "conditional", "counts"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(fit, name), check_exact=True)
    for table in ("true_effects", "predict", "moderator_levels"):
        pd.testing.assert_frame_equal(getattr(again, table)(), getattr(fit, table)(), check_exact=True)
    assert again.draws.names == fit.draws.names
    np.testing.assert_array_equal(again.draws.array, fit.draws.array)
    assert str(again.summary()) == str(fit.summary())
    assert repr(again) == repr(fit)


def drawn(fit, kind, **options):
    """Every number and text of a picture."""
    axes = fit.plot(kind, **options).ax
    texts = [text.get_text() for text in axes.get_yticklabels()]
    return [line.get_xydata().tolist() for line in axes.lines], texts, axes.get_xlabel()


@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_meta_analyses_come_back_to_the_last_digit(labs, name, tmp_path, monkeypatch):
    fit = quietly(mx.robma, labs, **({"bias": "none"} if "models" not in name else {}) | AVERAGES[name])
    saved = fit.save(tmp_path / "fit.mfx")
    monkeypatch.setattr("mixedfx.meta.averaging.solve.solve", None)  # no evidence is computed
    again = mx.load(saved)
    assert_same_average(again, fit)
    kind = "parameter" if name.startswith("weights") else "forest"
    assert drawn(again, kind) == drawn(fit, kind)
    assert mx.load(again.save(tmp_path / "again.mfx")).estimates.equals(fit.estimates)
    if fit.clustered and fit.measure:
        pd.testing.assert_frame_equal(again.cluster_effects("COR"), fit.cluster_effects("COR"), check_exact=True)


def test_an_averaged_fit_that_was_read_goes_on_from_its_evidences(labs, tmp_path):
    """Models that a change of priors leaves alone are not computed anew; a check by Stan stays with the fit."""
    fit = quietly(mx.robma, labs.assign(vi=labs["vi"]), bias="PP", measure="SMD")
    table = pd.DataFrame({"value": [1.0], "error": [np.nan]}, index=["log_evidence"])
    fit = replace(fit, checked=table)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    pd.testing.assert_frame_equal(again.checked, table)
    options = {"priors": "effect", "factors": (0.5, 1.0)}
    pd.testing.assert_frame_equal(again.sensitivity(**options), fit.sensitivity(**options), check_exact=True)


COLUMNS = [
    "x", "number", "flag", "ordered", "text", "nullable", "h", "interval", "codes", "floats", "partly", "truth",
    "months", "days", "spans", "arrow", "small", "half", "decimal", "unsigned",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    fixed=st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=3, unique=True),
    joined=st.sampled_from([" + ", " * "]),
    group=st.sampled_from(["g", "h", "g:h", "text:g", "codes", "partly"]),
    slope=st.sampled_from(["1", "1 + x", "0 + flag"]),
)
def test_columns_of_any_type_come_back(tmp_path_factory, data, fixed, joined, group, slope):
    """Formulas over every kind of column; the design is compared to the last number, estimates to rounding."""
    formula = f"y ~ {joined.join(fixed)} + ({slope} | {group})"
    try:
        fit = quietly(mx.lmer, formula, data)
    except mx.errors.MixedfxError:
        return  # as many effects as rows
    again = mx.load(fit.save(tmp_path_factory.mktemp("fit") / "fit.mfx"))
    np.testing.assert_array_equal(again.design.X, fit.design.X)
    assert again.design.fixed_names == fit.design.fixed_names
    assert [t.levels for t in again.design.random] == [t.levels for t in fit.design.random]
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-6)
    new = data.dropna().iloc[:4]
    np.testing.assert_allclose(quietly(again.predict, new), quietly(fit.predict, new), rtol=1e-5, atol=1e-7)


@settings(max_examples=8, deadline=None)
@given(fixed=st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=2, unique=True))
def test_posteriors_over_columns_of_any_type_come_back(tmp_path_factory, data, fixed):
    formula = f"y ~ {' + '.join(fixed)} + (1 | g)"
    fit = quietly(mx.bayes, formula, data, seed=1, draws=20)
    again = mx.load(fit.save(tmp_path_factory.mktemp("fit") / "fit.mfx"))
    np.testing.assert_array_equal(again.design.X, fit.design.X)
    assert again.design.fixed_names == fit.design.fixed_names
    new = data.dropna().iloc[:4]
    np.testing.assert_allclose(quietly(again.predict, new), quietly(fit.predict, new), rtol=1e-12)


def test_what_cannot_be_saved_is_said_before_it_is_sampled(data, tmp_path):
    whole = data.dropna()
    options = {"env": {"double": lambda x: 2 * x}}
    with pytest.warns(UnsavableWarning, match="'double' from env"):
        fit = mx.bayes("y ~ double(x) + (1 | g)", whole, seed=1, draws=20, **options)
    with pytest.raises(OptionError, match="'double' from env"):
        fit.save(tmp_path / "fit.mfx")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        mx.bayes("y ~ x + codes + (1 | g)", whole, seed=1, draws=20)
    assert not [one for one in heard if issubclass(one.category, UnsavableWarning)]


def test_functions_have_no_place_in_a_file(data, tmp_path):
    fit = mx.lmer("y ~ double(x) + (1 | g)", data, env={"double": lambda x: 2 * x})
    with pytest.raises(OptionError, match="'double' from env"):
        fit.save(tmp_path / "fit.mfx")
    assert not list(tmp_path.iterdir())


# --- damage ----------------------------------------------------------------------------------------------------------
def small(data, kind):
    whole = data.dropna().assign(vi=0.3)
    return {
        "posterior": lambda: mx.bayes("y ~ x + (1 | g)", whole, seed=1, draws=40),
        "lmer": lambda: mx.lmer("y ~ x + codes + days + (1 | g)", whole),
        "glmer": lambda: mx.glmer("b ~ x + (1 | g)", whole, "bernoulli", priors="default"),
        "glmer_zi": lambda: mx.glmer(
            "m ~ x + (1 | g)", whole.assign(m=whole["m"] * (whole["x"] > -0.5)), "poisson", zi="~ 1"
        ),
        "rma": lambda: mx.rma("y ~ x", whole),
        "rma_mv": lambda: mx.rma_mv("y ~ x + (1 | g)", whole),
        "robma": lambda: mx.robma(
            whole.iloc[:12],
            "y",
            cluster="h",
            priors=P.ensemble(
                effect=P.normal(0, 1),
                heterogeneity=[P.spike(0), P.half_normal(0.5)],
                bias=[P.no_bias(), P.weight_function("one-sided", 0.05)],
            ),
        ),
        "lmer_weighted": lambda: mx.lmer(
            "y ~ x + (1 | g)", whole, sampling_weights={"row": "w", "g": np.ones(len(whole))},
            replicates=mx.replicates(np.outer(whole["w"], [1.0, 1.2, 0.8]), "jk1"),
        ),
        "glmer_weighted": lambda: mx.glmer(
            "b ~ x + (1 | g)", whole, "bernoulli", nAGQ=3,
            sampling_weights=mx.sampling_weights({"row": "w", "g": np.ones(len(whole))}, strata=whole["g"] < "4"),
        ),
        "pooled": lambda: mx.lmer("[y, s] ~ x + (1 | g)", whole),
    }[kind]()  # fmt: skip


TABLE = {"pooled": "2.mfx"}
"""Kind -> a member that a file needs, if it is not the data."""


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {kind: quietly(small, data, kind).save(folder / kind).read_bytes() for kind in READERS}


def used(path):
    """Load and ask the usual questions; a DataError of the loading is as good."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = mx.load(path)
        except DataError:
            return False
        assert str(fit.summary())
        assert repr(fit)
        fit.tidy()
        if not type(fit).__name__.startswith(("Rma", "Robma")):
            mx.effects(fit, "x")
    return True


def repacked(content, head=None, drop=(), **members):
    """The archive with another head or other members."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        whole = {name: archive.read(name) for name in archive.namelist() if name not in drop}
    whole |= {} if head is None else {HEAD: head if isinstance(head, bytes) else json.dumps(head).encode()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in (whole | members).items():
            archive.writestr(name, data)
    return out.getvalue()


def head_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read(HEAD))


WRONG = [None, "x", -1, 10**30, 1e308, [], {}, [1, "a"], True, 0, "nan", [[0]], {"class": "os.system"}, 2.5]


def places(value, here=()):
    """Every place in a head."""
    yield here
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places(one, (*here, name))
    elif isinstance(value, list):
        for i, one in enumerate(value[:3]):
            yield from places(one, (*here, i))


@pytest.mark.parametrize("kind", list(READERS))
@settings(max_examples=60)
@given(draw=st.data())
def test_a_wrong_value_anywhere_in_the_head_is_a_data_error_or_harmless(files, kind, draw, tmp_path_factory):
    head = head_of(files[kind])
    place = draw.draw(st.sampled_from([p for p in places(head) if p]))
    at = head
    for step in place[:-1]:
        at = at[step]
    if draw.draw(st.booleans()):
        at[place[-1]] = draw.draw(st.sampled_from(WRONG))
    else:
        del at[place[-1]]
    path = tmp_path_factory.mktemp("head") / "fit.mfx"
    path.write_bytes(repacked(files[kind], head))
    used(path)


@settings(max_examples=100)
@given(draw=st.data())
def test_damaged_bytes_are_a_data_error_or_harmless(files, draw, tmp_path_factory):
    """Cut, overwritten or swapped: the archive's checksums see it, or what is read is refused."""
    content = bytearray(files[draw.draw(st.sampled_from(list(READERS)))])
    n = len(content)
    for _ in range(draw.draw(st.integers(1, 4))):
        how, at = draw.draw(st.sampled_from(["cut", "byte", "block", "end"])), draw.draw(st.integers(0, n - 1))
        if how == "cut":
            del content[at:]
        elif how == "end":
            at = max(len(content) - 1 - at % 400, 0)
        if how in ("byte", "end") and at < len(content):
            content[at] ^= draw.draw(st.integers(1, 255))
        elif how == "block":
            content[at : at + 20] = bytes(20)
    path = tmp_path_factory.mktemp("bytes") / "fit.mfx"
    path.write_bytes(bytes(content))
    used(path)


@pytest.mark.parametrize("kind", list(READERS))
def test_missing_tables_and_odd_heads_are_data_errors(files, kind, tmp_path):
    path, table = tmp_path / "fit.mfx", TABLE.get(kind, "data.table")
    deep = b"[" * 100_000 + b"]" * 100_000
    for content in (
        repacked(files[kind], drop=(table,)), repacked(files[kind], drop=(HEAD,)), repacked(files[kind], deep),
        repacked(files[kind], b"[]"), repacked(files[kind], b"\xff"), repacked(files[kind], b""), b"", b"PK\x05\x06",
        repacked(files[kind], {**head_of(files[kind]), "format": FORMAT + 1}),
        repacked(files[kind], {**head_of(files[kind]), "format": FORMAT - 1}),
        repacked(files[kind], {**head_of(files[kind]), "kind": "other"}),
        repacked(files[kind], **{table: b"PK"}),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(DataError):
            mx.load(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(files, method, tmp_path):
    """What `save` writes is stored: a small file cannot hold a member that unpacks to gigabytes."""
    path = tmp_path / "bomb.mfx"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(HEAD, b" " * 10**7)
    with pytest.raises(DataError, match="compressed"):
        mx.load(path)


def test_estimates_of_another_fit_are_refused(files, tmp_path):
    path = tmp_path / "fit.mfx"
    for kind in ("lmer", "glmer", "glmer_zi", "rma_mv", "lmer_weighted", "glmer_weighted"):
        head = head_of(files[kind])
        path.write_bytes(repacked(files[kind], head | {"theta": [2.0 * head["theta"][0] + 1.0]}))
        with pytest.raises(DataError, match="than w"):
            mx.load(path)


def test_evidences_of_another_average_are_refused(files, tmp_path):
    """An evidence has to be that of its nodes, the models those of the priors, priors such as a user could write."""
    path, head = tmp_path / "fit.mfx", head_of(files["robma"])

    def refused(words, **changed):
        path.write_bytes(repacked(files["robma"], head | changed))
        with pytest.raises(DataError, match=words):
            mx.load(path)

    first, *rest = head["models"]
    refused("not that of its nodes", models=[first | {"evidence": [first["evidence"][0] + 1, 0, 0]}, *rest])
    refused("4 models, and it has 3", models=rest)
    refused("its models", models=[first | {"shapes": [[2, 2, 2], [3, 2]]}, *rest])
    (effect,) = head["ensemble"]["effect"]["items"]
    odd = [effect | {"prior": effect["prior"] | {"scale": -1.0}}]
    refused("no distribution", ensemble=head["ensemble"] | {"effect": {"class": "tuple", "items": odd}})
    many = {"class": "tuple", "items": [effect] * 1000}
    every = dict.fromkeys(("effect", "heterogeneity"), many)
    refused("make [0-9]+ models", ensemble=head["ensemble"] | every)
