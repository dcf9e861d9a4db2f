"""Progress is one protocol: in a terminal, in a notebook, to a function, and nowhere else; and it costs nothing."""

import inspect
import io
import sys
import threading
import time

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import mixedfx as mx
from mixedfx.errors import OptionError
from mixedfx.glmm.fit import GlmerFit
from mixedfx.meta.averaging.fit import RobmaFit
from mixedfx.progress import Progress, Report, is_shown
from mixedfx.reml.fit import LmerFit


class Terminal(io.StringIO):
    """A terminal that keeps what was written to it."""

    def isatty(self):
        return True


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


def on_a_terminal(monkeypatch):
    """Standard error as a terminal that keeps what it shows; to be called in the test, for pytest sets its own."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    return screen


@pytest.fixture(scope="module")
def fit():
    return mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom", plan="crossed"))


def test_it_is_shown_where_somebody_looks_or_asks(monkeypatch):
    on_a_terminal(monkeypatch)
    assert [is_shown(asked) for asked in (None, True, False, print)] == [True, True, False, True]
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert [is_shown(asked) for asked in (None, True, False, print)] == [False, True, False, True]


def test_quick_work_shows_nothing_unless_asked(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    clock = Clock()
    with Progress(None, "weighing", 100, "points", clock=clock) as report:
        for clock.now in (0.0, 0.5, 0.99):
            report(10)
    assert terminal.getvalue() == ""
    with Progress(True, "weighing", 100, "points", clock=clock) as report:
        report(10)
    assert "10/100 points" in terminal.getvalue()


def test_slow_work_shows_how_far_it_is_and_goes_away(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    clock = Clock()
    with Progress(None, clock=clock) as report:
        for clock.now, what, done, total in (
            (1.2, "searching for modes", 0, 0),
            (1.25, "NUTS, warm-up", 30, 1300),  # another stage is shown at once
            (1.26, "NUTS, warm-up", 31, 1300),  # the next iteration is not
            (1.4, "NUTS, warm-up", 77, 1300),
        ):
            report(done, total, what=what)
        said = terminal.getvalue()
    assert "searching for modes" in said
    assert "2%" in said
    assert "6%" in said
    after = terminal.getvalue()[len(said) :]
    assert "\x1b[2K" in after  # the line is cleared


def test_several_lines_of_work_stand_below_each_other(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with Progress(True, ["chain 1", "chain 2", "chain 3"], 100, "iterations") as report:
        report(30, note="warmup", line=0)
        report(20, note="sampling", line=2)
        report(5, note="nowhere", line=8)  # there is no such line
    said = terminal.getvalue()
    assert "chain 1" in said
    assert "30/100 iterations warmup" in " ".join(said.split())
    assert "20/100 iterations sampling" in " ".join(said.split())
    assert "nowhere" not in said


class Slow:
    """A display that takes its time and counts who shows at once, and how many displays there are."""

    made = most = inside = 0

    def __init__(self):
        time.sleep(0.01)
        Slow.made += 1

    def show(self, reports):
        Slow.inside += 1
        Slow.most = max(Slow.most, Slow.inside)
        time.sleep(0.002)
        Slow.inside -= 1

    def close(self):
        pass


def test_lines_told_from_threads_of_their_own_share_one_display(monkeypatch):
    monkeypatch.setattr("mixedfx.progress._Terminal", Slow)
    together = threading.Barrier(8)
    with Progress(True, [f"chain {i}" for i in range(8)], 20, "iterations") as report:

        def chain(line):
            together.wait()
            for done in range(21):
                report(done, line=line, note=str(done))

        chains = [threading.Thread(target=chain, args=(line,)) for line in range(8)]
        for each in chains:
            each.start()
        for each in chains:
            each.join()
    assert (Slow.made, Slow.most) == (1, 1)
    assert [line.done for line in report.reports] == [20] * 8


def test_in_a_file_it_is_the_last_state_and_only_if_asked(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with Progress(None, "refits", 3, "fits") as report:
        report(3)
    assert file.getvalue() == ""
    with Progress(True, "refits", 3, "fits") as report:
        for done in (1, 2, 3):
            report(done)
    assert file.getvalue().count("refits") == 1
    assert "3/3 fits" in file.getvalue()


def test_items_are_counted_by_their_size():
    seen = []
    with Progress(seen.append, "averaging cells", 4) as report:
        assert list(report.over([1, 1, 2], size=float)) == [1, 1, 2]
    assert [one.count for one in seen] == ["0%", "25%", "50%"]


def test_nonsense_is_refused(fit):
    with pytest.raises(OptionError, match=r"progress='yes'\nUse True, False, None"):
        fit.bootstrap(2, progress="yes")


def interrupted(report):
    with report:
        report(5)
        raise KeyboardInterrupt


def test_an_interrupt_passes_and_ends_the_display(monkeypatch):
    on_a_terminal(monkeypatch)
    report = Progress(True, "NUTS", 10)
    with pytest.raises(KeyboardInterrupt):
        interrupted(report)
    assert report.display is None


LONG = {
    "bootstrap": (lambda fit, told: fit.bootstrap(60, seed=1, progress=told), 60),
    "bootstrap of a statistic": (
        lambda fit, told: fit.bootstrap(12, statistic=lambda f: f.sigma, seed=1, progress=told), 12),
    "confint": (lambda fit, told: fit.confint("boot", n=60, seed=1, progress=told), 60),
    "power": (lambda fit, told: mx.power(fit, "style[No Flipped]", n_sim=60, seed=1, progress=told), 60),
    "ranova": (lambda fit, told: fit.ranova(simulate=60, seed=1, progress=told), 60),
    "refits": (lambda fit, told: fit.refits(fit.simulate(60, seed=1), progress=told), 60),
    "influence": (lambda fit, told: fit.influence("professor", refit=True, progress=told), 15),
    "profile": (lambda fit, told: fit.profile(progress=told), 5),
}  # fmt: skip


def _of_counts(fit):
    """The same model of tens of points, since a yes/no response has no dispersion."""
    data = fit.call.data
    return fit.update("tens ~ .", data=data.assign(tens=(data["score"] // 10).astype(int)), family="poisson")


LONG_GLMM = {
    "bootstrap": (lambda fit, told: fit.bootstrap(40, seed=1, progress=told), 40),
    "bootstrap of a statistic": (
        lambda fit, told: fit.bootstrap(40, statistic=lambda f: f.criterion, seed=1, progress=told), 40),
    "confint": (lambda fit, told: fit.confint("boot", n=40, seed=1, progress=told), 40),
    "drop1": (lambda fit, told: fit.drop1(progress=told), 1),
    "ranova": (lambda fit, told: fit.ranova(simulate=10, seed=1, progress=told), 10),
    "refits": (lambda fit, told: fit.refits(fit.simulate(10, seed=1), progress=told), 10),
    "profile": (lambda fit, told: fit.profile(progress=told), 4),
    "dispersion_test": (lambda fit, told: _of_counts(fit).dispersion_test(n=30, seed=1, progress=told), 30),
    "influence": (lambda fit, told: fit.influence("professor", refit=True, progress=told), 15),
    "anova": (lambda fit, told: mx.anova(fit, fit.update(". ~ . - style"), bootstrap=30, seed=1, progress=told), 30),
    "vcov_robust": (lambda fit, told: fit.update(nAGQ=5).vcov_robust(progress=told), 15),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_whatever_refits_many_times_tells_how_many_are_done(name, fit):
    seen: list[Report] = []
    ask, total = LONG[name]
    ask(fit, seen.append)
    assert seen
    assert {one.total for one in seen} == {total}
    done = [one.done for one in seen]
    assert done == sorted(done)
    assert done[0] >= 0
    assert done[-1] in (total - 1, total)
    assert all(one.what and one.unit for one in seen)


@pytest.fixture(scope="module")
def general():
    course = mx.datasets.load("flipped_classroom", plan="crossed")
    course["passed"] = (course["score"] > 60).astype(int)
    return mx.glmer("passed ~ style + (1 | professor)", course, "bernoulli")


@pytest.mark.parametrize("name", LONG_GLMM)
def test_so_does_what_refits_generalised_models(name, general):
    seen: list[Report] = []
    ask, total = LONG_GLMM[name]
    ask(general, seen.append)
    assert seen
    assert {one.total for one in seen} == {total}
    assert seen[-1].done in (total - 1, total)
    assert all(one.what and one.unit for one in seen)


def learnt(told, ask):
    """Work of learners on a small trial."""
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    X, w = pd.DataFrame({"x": rng.standard_normal(200)}), np.arange(200) % 2
    models = {"outcome": LinearRegression(), "propensity": 0.5}
    return ask(X, X["x"] * w + rng.standard_normal(200), w, models, told)


def shuffled(X, y, w, models, told):
    fit = mx.cate("T", X, y, w, progress=False, **models)
    return mx.permutation_importance(fit, mx.dr_scores(X, y, w, progress=False, **models), progress=told)


def ranked(X, y, w, models, told):
    tau = np.random.default_rng(1).standard_normal(200)
    return mx.targeting(tau, mx.dr_scores(X, y, w, progress=False, **models), cross_fitted=True, progress=told)


LONG_LEARN = {
    "cate": (lambda X, y, w, models, told: mx.cate("T", X, y, w, progress=told, **models), 10),
    "dr_scores": (lambda X, y, w, models, told: mx.dr_scores(X, y, w, progress=told, **models), 10),
    "tune_cate": (lambda X, y, w, models, told: mx.tune_cate(
        {"T": {"outcome": [models["outcome"]]}}, X, y, w, progress=told, **models), 1),
    "targeting": (ranked, 1000),
    "permutation_importance": (shuffled, 5),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG_LEARN)
def test_so_do_learners(name):
    seen: list[Report] = []
    ask, total = LONG_LEARN[name]
    learnt(seen.append, ask)
    assert {one.total for one in seen} == {total}
    assert seen[-1].done == total
    assert all(one.what and one.unit for one in seen)


@pytest.mark.parametrize("engine", ["collapsed", "nuts", "stanli"])
def test_samplers_tell_it_too(engine):
    seen: list[Report] = []
    data = mx.datasets.load("flipped_classroom", plan="crossed")
    few = {"draws": 80, "warmup": 60, "chains": 2, "seed": 1}
    with pytest.warns(mx.errors.SamplingWarning):
        fit = mx.bayes("score ~ style + (1 | professor)", data, engine=engine, progress=seen.append, **few)
    lines = {one.line for one in seen}
    assert lines == ({0, 1} if engine == "stanli" else {0})
    assert any("chain 2" in one.what if engine == "stanli" else "modes" in one.what for one in seen)
    seen.clear()
    fit.logo("professor", progress=seen.append)
    assert [one.done for one in seen] == list(range(15))


def test_averages_over_models_tell_how_many_have_their_evidence():
    seen: list[Report] = []
    data = mx.datasets.load("school_calendars").iloc[:12]
    mx.robma(data, measure="SMD", bias="2w", progress=seen.append)
    assert {one.total for one in seen} == {12}
    done = [one.done for one in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 12)
    assert all(one.unit == "models" for one in seen)


def test_other_priors_tell_how_many_are_done():
    seen: list[Report] = []
    fit = mx.bma(mx.datasets.load("school_calendars").iloc[:12], measure="SMD")
    fit.sensitivity(factors=(0.5, 1.0, 2.0), progress=seen.append)
    assert [one.done for one in seen] == list(range(6))  # of two priors
    assert {(one.total, one.unit) for one in seen} == {(6, "settings")}


def test_every_progress_argument_can_be_left_out():
    for ask in (mx.bayes, mx.power, mx.robma, mx.bma, RobmaFit.sensitivity, *(getattr(LmerFit, name) for name in (
        "bootstrap", "ranova", "refits", "influence", "profile")), *(getattr(GlmerFit, name) for name in (
        "bootstrap", "drop1", "ranova", "refits", "profile", "vcov_robust"))):  # fmt: skip
        assert inspect.signature(ask).parameters["progress"].default is None


def cost(progress, calls=20_000):
    begin = time.perf_counter()
    with Progress(progress, "work", calls, "steps") as report:
        for done in range(calls):
            report(done)
    return (time.perf_counter() - begin) / calls


def test_a_report_costs_next_to_nothing(monkeypatch):
    """A step that reports takes a millisecond and more: refits, iterations of NUTS, blocks of cells."""
    on_a_terminal(monkeypatch)
    assert min(cost(False) for _ in range(3)) < 2e-6
    assert min(cost(None) for _ in range(3)) < 2e-5  # on a terminal, before and between displays


NOTEBOOK = """
import time
import mixedfx as mx
from mixedfx.progress import Progress, in_notebook
assert in_notebook()
with Progress(True, "refits", 3, "fits") as report:
    for done in (1, 2, 3):
        report(done, note="warm")
        time.sleep(0.12)
"""


def test_a_notebook_has_one_display_that_is_updated_in_place_and_emptied():
    """The front end is sent one display, then changes of it: 1, 2 and 3 of 3, the last state, nothing."""
    sent = []
    cells = [NOTEBOOK, "with Progress(None, 'quick', 1) as report:\n    report(1)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])

    class Client(NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("display_data", "update_display_data"):
                sent.append((msg["msg_type"], msg["content"]))
            return super().process_message(msg, cell, cell_index)

    Client(notebook, timeout=120, kernel_name="python3").execute()
    kinds = [kind for kind, _ in sent]
    assert kinds == ["display_data", *["update_display_data"] * 4]
    assert len({content["transient"]["display_id"] for _, content in sent}) == 1
    texts = [content["data"]["text/plain"] for _, content in sent]
    assert [text.rsplit(",", 1)[0] for text in texts[:3]] == [f"refits, {n}/3 fits, warm" for n in (1, 2, 3)]
    assert '<progress value="2" max="3">' in sent[1][1]["data"]["text/html"]
    assert texts[-1] == ""
    outputs = notebook.cells[0].outputs
    assert len(outputs) == 1
    assert outputs[0]["data"]["text/html"] == ""  # what is left in the file
    assert notebook.cells[1].outputs == []  # quick work shows nothing


def test_numbers_do_not_hang_on_who_looks(fit, monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    alone = fit.bootstrap(20, seed=1, progress=False).replicates
    np.testing.assert_array_equal(alone, fit.bootstrap(20, seed=1, progress=True).replicates)
    assert "20/20 replicates" in terminal.getvalue()
