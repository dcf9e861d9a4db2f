"""The rule of engine="auto", over all that it depends on."""

import pytest

from mixedfx.bayes.choice import LARGE, choose_among
from mixedfx.bayes.samplers import SAMPLERS, stan_engines
from mixedfx.errors import MissingPackageError, OptionError

SMALL = LARGE - 1
ABLE = [SAMPLERS[name] for name in stan_engines()]


@pytest.mark.parametrize(
    ("numbers", "threads", "installed", "chosen"),
    [
        (SMALL, 1, {"stanli", "cmdstan"}, "stanli"),
        (SMALL, 4, {"stanli", "cmdstan"}, "stanli"),
        (LARGE, 1, {"stanli", "cmdstan"}, "stanli"),
        (LARGE, 4, {"stanli", "cmdstan"}, "cmdstan"),
        (LARGE, 4, {"stanli"}, "stanli"),
        (SMALL, 1, {"cmdstan"}, "cmdstan"),
    ],
)
def test_the_rule(monkeypatch, numbers, threads, installed, chosen):
    for name, engine in stan_engines().items():
        reason = None if name in installed else "missing\ncommand"
        monkeypatch.setattr(type(engine), "available", lambda self, reason=reason: reason)
    assert choose_among(ABLE, numbers, threads).name == chosen
    assert choose_among(ABLE, numbers, threads, "nuts").name == chosen


def test_an_approximation_needs_cmdstan(monkeypatch):
    monkeypatch.setattr(type(stan_engines()["cmdstan"]), "available", lambda self: "no CmdStan\ninstall it")
    with pytest.raises(MissingPackageError, match="no CmdStan\ninstall it"):
        choose_among(ABLE, SMALL, algorithm="laplace")


def test_a_misspelt_algorithm_is_no_missing_package():
    with pytest.raises(OptionError, match="algorithm='lapalce' is not known\nUse 'nuts', 'pathfinder'"):
        choose_among(ABLE, SMALL, algorithm="lapalce")


def test_nothing_is_chosen_where_nothing_is_installed(monkeypatch):
    for name, engine in stan_engines().items():
        monkeypatch.setattr(type(engine), "available", lambda self, name=name: f"no {name}\ninstall {name}")
    with pytest.raises(MissingPackageError, match="no stanli\ninstall stanli"):
        choose_among(ABLE, SMALL)
