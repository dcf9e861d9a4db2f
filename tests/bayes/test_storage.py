"""A fit comes back from a file as it was: draws, design, priors, diagnostics; and a file never runs anything."""

import json
import pickle
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes.posterior import storage
from mixedfx.errors import DataError, MixedfxWarning, OptionError, UnseenLevelsWarning
from mixedfx.priors import plain_values

OPTIONS = {"draws": 40, "chains": 2, "warmup": 60, "seed": 1, "progress": False, "engine": "stanli"}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    n = 120
    data = pd.DataFrame({"x": rng.normal(size=n), "a b": rng.integers(3, size=n), "g": rng.choice(list("abcdef"), n)})
    data["h"] = pd.Categorical(rng.choice(["lo", "hi", "mid"], n), ["lo", "mid", "hi"], ordered=True)
    data["flag"] = rng.random(n) < 0.5
    data["y"] = data["x"] + 2.0 * (data["h"] == "hi") + rng.normal(size=n)
    data["m"] = rng.integers(1, 5, n)
    data["k"] = rng.binomial(data["m"], 0.4)
    data["o"] = pd.cut(data["y"], [-9, 0, 1, 9], labels=["low", "some", "much"])
    data["cat"] = rng.choice(["A", "B", "C"], n)
    data["exposure"] = rng.uniform(1, 2, n)
    data.loc[[4, 9], "x"] = np.nan
    data.index = data.index + 1000
    return data


CASES = {
    "collapsed": ("y ~ center(x) + h + (1 + x | g) + (1 | h:g)", {"seed": 1, "draws": 400}),
    "weights": ("y ~ poly(x, 2) + flag + (1 | g)", {"weights": "exposure", "contrasts": {"h": "sum"}}),
    "binomial": ("k | trials(m) ~ x * h + (1 + x || g)", {"family": "binomial", "offset": "exposure"}),
    "probit": ("flag ~ x + `a b`", {"family": mx.families.bernoulli(link="probit")}),
    "ordered": ("o ~ x + (1 | g)", {"family": "cumulative", "priors": {"coef": priors.student_t(4, 0, 1)}}),
    "nominal": ("cat ~ x + (1 | g)", {"family": "categorical"}),
    "count": ("k ~ x + offset(log(m)) + (1 | g)", {"family": "poisson", "offset": np.linspace(0, 1, 120)}),
    "sparse": ("y ~ x + flag + (1 | g)", {"priors": {"coef": priors.horseshoe()}}),
    "constant": ("y ~ I(x * scale_of) + (1 | g)", {"env": {"scale_of": 2.5}}),
}


def _relation(data):
    """Correlations of the levels of g and of one that the data do not have, in another order."""
    levels = ["z", *sorted(set(data["g"]), reverse=True)]
    A = np.exp(-np.abs(np.subtract.outer(range(7), range(7))) / 2.0)
    return pd.DataFrame(A, index=levels, columns=levels)


def test_known_correlations_of_levels_come_back(data, tmp_path):
    """Levels named like the columns of the file's own table, and two matrices of other levels, included."""
    A = _relation(data)
    B = pd.DataFrame(np.eye(3) + 0.2, index=["lo", "hi", "mid"], columns=["lo", "hi", "mid"])
    renamed = {"a": "row", "b": "matrix", "c": "of row"}
    data = data.assign(g=data["g"].replace(renamed))
    A = A.rename(index=renamed, columns=renamed)
    formula = "y ~ x + (1 | gr(g, cov=A)) + (1 | gr(h, cov=B))"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.bayes(formula, data, env={"A": A, "B": B}, seed=1, draws=100)
    again = mx.load(fit.save(tmp_path / "fit.mfx"))
    for one, other in zip(fit.design.random, again.design.random, strict=True):
        np.testing.assert_array_equal(one.relation, other.relation)
    np.testing.assert_array_equal(fit.apply(fit.design_for()).mean, again.apply(again.design_for()).mean)


def _fit(data, name):
    formula, options = CASES[name]
    if name != "collapsed":
        options = OPTIONS | options
    if name == "weights":
        formula += " + (0 + h | g)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.bayes(formula, data, **options)


@pytest.mark.parametrize("name", CASES)
def test_a_fit_comes_back_as_it_was(data, name, tmp_path):
    fit = _fit(data, name)
    path = fit.save(tmp_path / "fit.mfx")
    again = mx.load(path)
    assert again.draws().names == fit.draws().names
    assert np.array_equal(again.draws().array, fit.draws().array)
    assert (str(again), repr(again), again.family) == (str(fit), repr(fit), fit.family)
    assert again.diagnostics().text() == fit.diagnostics().text()
    assert again.prior_summary().text() == fit.prior_summary().text()
    new = data.dropna().iloc[:6].drop(columns=["y", "k", "o", "cat"])
    if name == "count":  # its offset was given as numbers, which no other rows have
        for one in (fit, again):
            with pytest.raises(DataError, match="offset given as numbers"):
                one.predict(new)
    else:
        pd.testing.assert_frame_equal(again.predict(new, se=True), fit.predict(new, se=True))
    pd.testing.assert_frame_equal(again.predict(se=True), fit.predict(se=True))
    pd.testing.assert_frame_equal(again.simulate(3, seed=1), fit.simulate(3, seed=1))
    assert again.design.rows.used.tolist() == fit.design.rows.used.tolist()
    assert again.design.rows.dropped_missing == 2 or name in ("probit",)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.mfx"]
    assert (again.transitions is None) == (fit.transitions is None) == (name == "collapsed")
    for what, values in (fit.transitions or {}).items():
        assert np.array_equal(again.transitions[what], values)
    if fit.design.random and name not in ("nominal", "count"):
        unseen = new.assign(g="new")
        with pytest.warns(UnseenLevelsWarning):
            assert again.linpred(unseen, "sample") == pytest.approx(fit.linpred(unseen, "sample"))


def test_effects_and_evidence_of_a_loaded_fit(data, tmp_path):
    fit = _fit(data, "collapsed")
    again = mx.load(fit.save(tmp_path / "a"))
    pd.testing.assert_frame_equal(mx.effects(again, "x").table, mx.effects(fit, "x").table)
    with pytest.warns(MixedfxWarning):
        assert float(again.log_evidence) == float(fit.log_evidence)
    assert again.variances.sigma == pytest.approx(fit.variances.sigma)


@pytest.mark.parametrize("name", ["binomial", "count", "weights"])
def test_offsets_weights_and_labels_of_rows_come_back(data, name, tmp_path):
    fit = _fit(data, name)
    again = mx.load(fit.save(tmp_path / "a"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        # Off the identity link an offset matters for effects; counts of people go to the rows of their labels.
        people = pd.Series(np.arange(120.0), index=data.index).sample(frac=1, random_state=1)
        for options in ({}, {"weights": people}, {"scale": "link"}):
            table = mx.effects(again, "x", **options).table
            pd.testing.assert_frame_equal(table, mx.effects(fit, "x", **options).table)
        by_position = mx.effects(again, "x", weights=np.arange(120.0)).table
    pd.testing.assert_frame_equal(mx.effects(again, "x", weights=people).table, by_position)
    if name == "weights":
        new = data.dropna().iloc[:6]
        ours, theirs = (one.predict(new, kind="predictive", seed=3) for one in (fit, again))
        pd.testing.assert_frame_equal(ours, theirs)
        # The draws of a row are sigma / sqrt(w): those of its own column, not of weight 1.
        heavy = again.predict(new.assign(exposure=1e12), kind="predictive", seed=3)
        assert (heavy["se"] < 0.95 * theirs["se"]).all()


def test_functions_of_the_caller_have_no_place_in_a_file(data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.bayes("y ~ double(x) + (1 | g)", data, env={"double": lambda x: 2 * x}, draws=100, seed=1)
    with pytest.raises(OptionError, match="'double' from env, a function"):
        fit.save(tmp_path / "fit.mfx")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(data, tmp_path, monkeypatch):
    fit = _fit(data, "probit")
    path = fit.save(tmp_path / "fit.mfx")
    before = path.read_bytes()

    write = zipfile.ZipFile.writestr

    def broken(self, *content, **options):
        if self.filename is not None:  # tables are packed in memory, which is not full
            raise OSError("disk full")
        write(self, *content, **options)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", broken)
    with pytest.raises(DataError, match=r"cannot be written \(disk full\)"):
        fit.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit.mfx"]


def _with_head(path, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    head = json.loads(members["fit.json"])
    change(head)
    members["fit.json"] = json.dumps(head).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def saved(data, tmp_path):
    return _fit(data, "probit").save(tmp_path / "fit.mfx")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda head: head.update(format=99), "later format"),
        (lambda head: head.pop("formula"), "damaged"),
        (lambda head: head["priors"].update({"class": "os.system"}), "unknown class"),
        (lambda head: head["design"]["fingerprint"].update(fixed=["Intercept"]), "another design"),
        (lambda head: head.update(formula="flag ~ __import__('os').getcwd()"), "not|cannot|may"),
    ],
)
def test_files_that_are_not_what_was_written_are_refused(saved, change, words):
    with pytest.raises(mx.errors.MixedfxError, match=words):
        mx.load(_with_head(saved, change))


def test_what_is_no_fit_is_refused(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(DataError, match="no file"):
        mx.load(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match="no saved fit"):
        mx.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fit.json", "{}")
    with pytest.raises(DataError, match="no saved fit"):
        mx.load(path)


def test_values_of_unknown_classes_have_no_place_in_a_file():
    with pytest.raises(TypeError, match="Path"):
        plain_values.encode(storage.Path("x"))
