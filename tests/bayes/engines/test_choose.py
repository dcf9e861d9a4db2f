"""The rule of engine="auto", over all that it depends on."""

import pytest

from mixedfx.bayes.engines import registry
from mixedfx.errors import MissingPackageError, OptionError

SMALL = registry.LARGE - 1
LARGE = registry.LARGE


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
    for name, engine in registry.ENGINES.items():
        reason = None if name in installed else "missing\ncommand"
        monkeypatch.setattr(type(engine), "available", lambda self, reason=reason: reason)
    assert registry.choose(numbers, threads) == chosen


def test_an_approximation_needs_cmdstan(monkeypatch):
    monkeypatch.setattr(type(registry.ENGINES["cmdstan"]), "available", lambda self: "no CmdStan\ninstall it")
    with pytest.raises(MissingPackageError, match="no CmdStan\ninstall it"):
        registry.choose(SMALL, algorithm="laplace")


def test_a_misspelt_algorithm_is_no_missing_package():
    with pytest.raises(OptionError, match="algorithm='lapalce' is not known\nUse 'nuts', 'pathfinder'"):
        registry.choose(SMALL, algorithm="lapalce")


def test_nothing_is_chosen_where_nothing_is_installed(monkeypatch):
    for name, engine in registry.ENGINES.items():
        monkeypatch.setattr(type(engine), "available", lambda self, name=name: f"no {name}\ninstall {name}")
    with pytest.raises(MissingPackageError, match="no stanli\ninstall stanli"):
        registry.choose(SMALL)
