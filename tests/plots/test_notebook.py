"""In a notebook a picture is seen where the last line of a cell is a plot: once, whatever pyplot is doing."""

import nbformat
import pytest
from nbclient import NotebookClient

SETUP = """
import warnings
warnings.simplefilter("ignore")
import mixedfx as mx
course = mx.datasets.load("flipped_classroom", plan="crossed")
fit = mx.lmer("score ~ style + (1 | professor)", course)
posterior = mx.bayes("score ~ style + (1 | professor)", course, seed=1, draws=400)
eff = mx.effects(fit, "style")
schools = mx.datasets.load("school_calendars")
nested = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools)
flat = mx.rma("yi ~ 1", schools)
review, _ = mx.datasets.simulate_review(1, studies=30, effects=80)
forest = mx.metaforest("yi ~ weeks + measure", review, cluster="study", n_trees=20, seed=1)
binary = mx.glmer("passed ~ style + (1 | professor)", course.assign(passed=course["score"] > 60), "bernoulli")
ranked = mx.targeting([3.0, 2.0, 1.0, 0.0], [4.0, 2.0, 0.0, -2.0], [0.25, 0.5], n_boot=10, cross_fitted=True)
power = mx.power(fit, "style[No Flipped]", n_sim=4, seed=1, n_groups=[10, 20])
"""
PLOTS = (
    'fit.plot("caterpillar")',
    "fit.plot()",
    "fit.check().plot()",
    'fit.profile("sigma").plot()',
    "eff.plot()",
    'mx.emmeans(fit, "style").plot()',
    "power.plot()",
    "posterior.ppc(5)",
    "flat.plot()",
    'flat.plot("baujat")',
    "flat.gosh(200, seed=1).plot()",
    'nested.plot(group="district")',
    'nested.plot("funnel")',
    "nested.profile().plot()",
    "forest.plot()",
    'forest.partial_dependence("weeks").plot()',
    'mx.metacart("yi ~ weeks + measure", review, seed=1).plot()',
    'binary.plot("quantile residuals")',
    "ranked.plot()",
    'mx.rho_sensitivity("yi ~ 1 + (1 | district/school)", schools, cluster="district", rhos=(0.0, 0.5)).plot()',
)
OWN_AXES = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\nfit.plot('caterpillar', ax=axes)"


@pytest.fixture(scope="module")
def cells():
    """Outputs of each cell of one notebook, executed by a kernel."""
    sources = [SETUP, *PLOTS, "%matplotlib inline\n" + PLOTS[0], OWN_AXES]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    return {source: cell.outputs for source, cell in zip(sources, notebook.cells, strict=True)}


def images(outputs):
    return [out.data["image/png"] for out in outputs if "image/png" in out.get("data", {})]


def test_every_plotting_method_shows_one_picture(cells):
    for source, outputs in list(cells.items())[1:]:
        assert len(images(outputs)) == 1, source
