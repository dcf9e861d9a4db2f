"""ArviZ that is missing, broken or of another age is named, with the line that mends it."""

import sys
import types

import numpy as np
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


def later_arviz():
    """A stand-in with the signatures of ArviZ 1.3, whose results say what they were given."""
    later = types.ModuleType("arviz")

    def from_dict(data, *, name=None, sample_dims=None, save_warmup=None, attrs=None, coords=None, dims=None):
        return types.SimpleNamespace(groups=data, coords=coords, dims=dims)

    def loo(data, pointwise=None, var_name=None, reff=None, log_weights=None, pareto_k=None):
        ((name, values),) = data.groups["log_likelihood"].items()
        assert data.dims == {name: ["row"]}
        assert pointwise
        size = values.shape[-1]
        k = PointwiseK(np.zeros(size))
        return types.SimpleNamespace(elpd=values.mean(axis=(0, 1)).sum(), pareto_k=k, good_k=0.7, warning=None)

    later.__version__, later.from_dict, later.loo = "1.3.0", from_dict, loo
    return later


class PointwiseK:
    """As much of a DataArray as is asked of k-hats."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values

    def max(self):
        return self.values.max()


def test_arviz_from_1_on_gets_groups_as_one_mapping(sleep_fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", later_arviz())
    found = sleep_fit.to_arviz(posterior_predictive=True)
    assert {"posterior", "observed_data", "log_likelihood", "posterior_predictive"} <= set(found.groups)
    assert found.groups["posterior"]["beta"].shape[-1] == len(found.coords["coefficient"])
    assert found.dims["beta"] == ["coefficient"]
    assert sleep_fit.loo().warning is False


def test_arviz_without_waic_says_what_to_ask_instead(sleep_fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", later_arviz())
    with pytest.raises(MissingPackageError, match=r"ArviZ 1\.3\.0 has no WAIC[\s\S]*fit\.loo\(\)"):
        sleep_fit.waic()
