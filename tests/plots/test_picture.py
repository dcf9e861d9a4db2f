"""Every plotting method returns one kind of object, which shows itself, saves itself and leaves nothing behind."""

import gc
import inspect
import pkgutil
import weakref
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, OptionError
from mixedfx.learn.explaining import Explanation
from mixedfx.plots.picture import FORMATS, Picture

NESTED = "yi ~ 1 + (1 | district/school)"
PNG, SVG, PDF = b"\x89PNG", b"<?xml", b"%PDF"


@pytest.fixture(scope="module")
def fit():
    return mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed"))


@pytest.fixture(scope="module")
def pictures(fit):
    """One picture of every plotting method there is, by class and name."""
    posterior = mx.bayes(
        "score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed"), seed=1, draws=400
    )
    trials = mx.rma("yi ~ 1", pd.DataFrame({"yi": [0.5, 0.1, 0.9, 0.4], "vi": [0.04, 0.09, 0.06, 0.02]}))
    schools = mx.datasets.load("school_calendars")
    reported = mx.subgroup_effects(pd.DataFrame({"sex": ["m", "f"], "yi": [0.3, 0.1], "vi": [0.02, 0.03]}), by=["sex"])
    classes = mx.datasets.load("flipped_classroom", plan="crossed")
    classes = classes.assign(passed=(classes["score"] > 60).astype(int))
    review = mx.datasets.simulate_review(1, studies=30, effects=80)[0]
    forest = mx.metaforest("yi ~ weeks + measure", review, cluster="study", n_trees=20, seed=1)
    people = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 1.0, 0.0, 1.0]})
    effect, score = [3.0, 2.0, 1.0, 0.0], [4.0, 2.0, 0.0, -2.0]
    return {
        "MetaForest.plot": forest.plot(),
        "PartialDependence.plot": forest.partial_dependence("weeks").plot(),
        "MetaCart.plot": mx.metacart("yi ~ weeks + measure", review, seed=1).plot(),
        "Targeting.plot": mx.targeting(effect, score, [0.25, 0.5], n_boot=10, cross_fitted=True).plot(),
        "Calibration.plot": mx.calibration(effect, score, bins=2, cross_fitted=True).plot(),
        "Explanation.plot": Explanation(people.to_numpy() / 10, np.zeros(4), people).plot(),
        "LmerFit.plot": fit.plot("caterpillar"),
        "CheckReport.plot": fit.check().plot(),
        "EffectsPictures.plot": mx.effects(fit, "style").plot(),
        "MarginalMeans.plot": mx.emmeans(fit, "style").plot(),
        "Profile.plot": fit.profile("sigma").plot(),
        "Power.plot": mx.power(fit, "style[No Flipped]", n_sim=4, seed=1, n_groups=[10, 20]).plot(),
        "PosteriorFit.ppc": posterior.ppc(5),
        "RmaFit.plot": trials.plot(),
        "RmaMvFit.plot": mx.rma_mv(NESTED, schools).plot(group="district"),
        "RhoSensitivity.plot": mx.rho_sensitivity(NESTED, schools, cluster="district", rhos=(0.0, 0.5)).plot(),
        "Gosh.plot": trials.gosh().plot(out="2"),
        "SelectionFit.plot": mx.selmodel("yi ~ 1", schools).plot(),
        "RobmaFit.plot": mx.bma(schools.iloc[:12], measure="SMD").plot("models"),
        "SubgroupAnalysis.plot": reported.plot(),
        "GlmerCriticism.plot": mx.glmer("passed ~ style + (1 | professor)", classes, family="bernoulli").plot(
            "observed"
        ),
    }


def plotting_methods():
    """Methods called `plot`, and those annotated to return a picture."""
    found = set()
    for module in pkgutil.walk_packages(mx.__path__, "mixedfx."):
        if module.name.endswith("__main__"):
            continue
        for owner in vars(import_module(module.name)).values():
            if inspect.isclass(owner) and owner.__module__ == module.name:
                for name, method in vars(owner).items():
                    if inspect.isfunction(method) and (
                        (name == "plot" or method.__annotations__.get("return") == "Picture")
                        and method.__annotations__.get("return") != "NoReturn"
                    ):
                        found.add(f"{owner.__name__}.{name}")
    return found


def test_every_plotting_method_returns_a_picture_that_shows_itself(pictures):
    assert plotting_methods() == set(pictures)
    for name, picture in pictures.items():
        assert isinstance(picture, Picture), name
        content, size = picture._repr_png_()
        assert content.startswith(PNG)
        assert size["width"] == int(100 * picture.figure.get_size_inches()[0])


def test_pyplot_lists_no_picture_and_nothing_keeps_one(fit):
    before = plt.get_fignums()
    seen = weakref.ref(fit.plot("caterpillar").figure)
    gc.collect()
    assert plt.get_fignums() == before
    assert seen() is None


def test_axes_of_the_caller_are_shown_once_by_pyplot(fit):
    figure, axes = plt.subplots()
    try:
        picture = fit.plot("caterpillar", ax=axes)
        assert picture.ax is axes
        assert picture.figure is figure
        assert picture._repr_png_() is None
    finally:
        plt.close(figure)


@pytest.mark.parametrize(("ending", "start"), list(zip(FORMATS, (PNG, SVG, PDF), strict=True)))
def test_saving(fit, tmp_path, ending, start):
    path = fit.plot("caterpillar").save(tmp_path / f"a{ending}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [f"a{ending}"]


def test_dots_per_inch(fit, tmp_path):
    picture = fit.plot("caterpillar")
    image = plt.imread(picture.save(tmp_path / "a.png", dpi=50))
    assert image.shape[1] == round(50 * picture.figure.get_size_inches()[0])


def test_other_endings_and_places_are_refused_in_words(fit, tmp_path):
    picture = fit.plot("caterpillar")
    with pytest.raises(OptionError, match=r"End it in \.png, \.svg, \.pdf"):
        picture.save(tmp_path / "a.docx")
    with pytest.raises(DataError, match="there is no folder"):
        picture.save(tmp_path / "nowhere" / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_panels(fit):
    page = fit.plot()
    assert len(page.axes) > 1
    assert page.ax is page.axes[0]
    assert repr(page).startswith(f"<Picture: {len(page.axes)} panels")
