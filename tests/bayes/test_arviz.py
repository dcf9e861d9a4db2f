"""ArviZ that is missing, broken or of another age is named, with the line that mends it."""

import sys
import types

import pytest

from mixedfx.errors import MissingPackageError


class Broken:
    """A finder under which one package fails as those do that their own dependencies have left behind."""

    def find_spec(self, name, path=None, target=None):
        if name == "arviz":
            raise AttributeError("module 'matplotlib.style' has no attribute 'core'")


@pytest.mark.parametrize("verb", ["to_arviz", "loo", "waic"])
def test_an_arviz_that_cannot_be_imported_is_told_apart_from_a_missing_one(sleep_fit, monkeypatch, verb):
    for name in [n for n in sys.modules if n == "arviz" or n.startswith("arviz.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingPackageError, match=r"cannot be imported: AttributeError: module 'matplotlib\.style'"):
        getattr(sleep_fit, verb)()
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[1:])
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(MissingPackageError, match="ArviZ is not installed"):
        getattr(sleep_fit, verb)()


@pytest.mark.parametrize("verb", ["to_arviz", "loo", "waic"])
def test_an_arviz_with_another_interface_is_refused_before_it_is_called(sleep_fit, monkeypatch, verb):
    later = types.ModuleType("arviz")
    later.__version__ = "1.3.0"
    monkeypatch.setitem(sys.modules, "arviz", later)
    with pytest.raises(MissingPackageError, match=r"ArviZ 1\.3\.0 has another interface[\s\S]*arviz<1"):
        getattr(sleep_fit, verb)()
