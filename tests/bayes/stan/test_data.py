"""The data of a program are what it declares, and what the design holds."""

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.bayes.samplers import stan_engines
from mixedfx.errors import ModelError
from tests.bayes.stan.models import DATA
from tests.bayes.stan.programs import CASES, FOLDER

OUTPUT = ("log_lik", "y_rep")


def data_of(name, **more):
    """Data of a case."""
    given = {key: value for key, value in CASES[name].items() if key not in OUTPUT}
    return mx.stan_data(data=DATA, **given, **more)


def declared(name):
    """Declarations in the data block of a case: name -> the text before it."""
    text = (FOLDER / f"{name}.stan").read_text(encoding="utf-8")
    block = text.split("\ndata {\n")[1].split("\n}")[0]
    lines = [line.split("//")[0].strip().rstrip(";") for line in block.split("\n")]
    return {line.rsplit(" ", 1)[1]: line.rsplit(" ", 1)[0] for line in lines if line}


def dimensions(kind, data):
    """Sizes that a declaration asks for, by the numbers in the data."""
    inside = [part.split("]")[0] for part in kind.split("[")[1:]]
    return tuple(int(data.get(size, 0)) if size in data else int(size) for part in inside for size in part.split(", "))


@pytest.mark.parametrize("name", CASES)
def test_names_and_sizes_are_those_declared(name):
    data, known = data_of(name), declared(name)
    assert set(data) == set(known)
    for variable, kind in known.items():
        value = np.asarray(data[variable])
        assert value.shape == dimensions(kind, data), variable
        assert np.isfinite(value).all(), variable
        if "int" in kind.replace("<", " ").split():
            assert value.dtype.kind == "i", variable
        if "lower=1" in kind:
            assert (value >= 1).all()
        if "lower=0" in kind:
            assert (value >= 0).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:.*interpreter.*generated quantities:RuntimeWarning")  # counts drawn one by one
@pytest.mark.filterwarnings("ignore::mixedfx.errors.StructureWarning")
@pytest.mark.filterwarnings("error")
def test_the_engine_takes_them(name):
    """And says nothing: it warns of functions that it has to interpret one by one."""
    text = (FOLDER / f"{name}.stan").read_text(encoding="utf-8")
    engine = stan_engines()["stanli"]
    with pytest.raises(ModelError, match="unconstrained parameters"):  # the program and its data were accepted
        engine.log_density(text, data_of(name), np.zeros((1, 0)))


def test_predictors_leave_the_constant_out_and_indices_count_from_one():
    data = data_of("gaussian_correlated")
    design = mx.design("real ~ x + w + (1 + x | g)", DATA)
    np.testing.assert_array_equal(data["X"], design.X[:, 1:])
    np.testing.assert_array_equal(data["Z_1"], design.random[0].z)
    np.testing.assert_array_equal(data["g_1"], design.random[0].codes + 1)
    assert (data["N"], data["K"], data["J_1"], data["M_1"]) == (30, 2, 5, 2)


def test_categories_count_from_one_and_trials_stand_beside_successes():
    ordinal = data_of("cumulative")
    np.testing.assert_array_equal(ordinal["y"], DATA["grade"])
    assert ordinal["C"] == 4
    nominal = data_of("categorical")
    np.testing.assert_array_equal(nominal["y"], DATA["mood"].map({"calm": 1, "happy": 2, "sad": 3}))
    counts = data_of("binomial")
    np.testing.assert_array_equal(counts["trials"], DATA["m"])
    np.testing.assert_array_equal(counts["y"], DATA["count"])


def test_what_is_known_of_rows_goes_in_as_it_is():
    np.testing.assert_array_equal(data_of("gaussian_offset")["offsets"], DATA["s"])
    np.testing.assert_array_equal(data_of("gaussian_weights")["weights"], DATA["s"])
    np.testing.assert_array_equal(data_of("gaussian_meta_analysis")["se"], DATA["s"])


def test_priors_of_several_kinds_find_their_parameters():
    data = mx.stan_data(
        "real ~ x + w + m + (1 + x + w | g)",
        DATA,
        priors={
            ("coef", "w"): mx.priors.flat(),
            ("coef", "m"): mx.priors.student_t(4, 1, 2),
            "coef": mx.priors.normal(5, 6),
            ("sd", "g", "x"): mx.priors.exponential(7),
            "sd": mx.priors.half_normal(8),
        },
    )
    assert data["prior_beta_normal_at"].tolist() == [1]
    assert data["prior_beta_t_at"].tolist() == [3]
    assert (data["prior_beta_t_df"], data["prior_beta_t_loc"], data["prior_beta_t_scale"]) == (4, 1, 2)
    assert data["prior_sd_1_exponential_at"].tolist() == [2]
    assert data["prior_sd_1_normal_at"].tolist() == [1, 3]
    assert data["prior_sd_1_normal_scale"].tolist() == [8, 8]


def test_units_of_the_joint_prior_are_coefficients_then_terms():
    """sd(y) / sd(x) for the horseshoe, 1 / sd(x) for R2D2; those with a prior of their own are left out."""
    sd, y = DATA[["x", "w"]].std(), DATA["real"].std()
    right = "real ~ x + w + (1 + x | g) + (1 | h)"
    both = {"coef": mx.priors.horseshoe(), "sd": mx.priors.horseshoe()}
    data = mx.stan_data(right, DATA, priors=both)
    np.testing.assert_allclose(data["unit"], [y / sd["x"], y / sd["w"], y, y / sd["x"], y])
    assert (data["S"], data["first_1"], data["first_2"]) == (5, 3, 5)
    some = {
        "coef": mx.priors.r2d2(),
        ("coef", "x"): mx.priors.normal(),
        "sd": mx.priors.r2d2(),
        ("sd", "g", "Intercept"): mx.priors.half_normal(),
    }
    data = mx.stan_data(right, DATA, priors=some)
    np.testing.assert_allclose(data["unit"], [1 / sd["w"], 1 / sd["x"], 1])
    assert data["at_share"].tolist() == [2]
    assert data["at_own"].tolist() == [1]
    assert data["at_share_1"].tolist() == [2]
    assert (data["first_1"], data["first_2"]) == (2, 3)
    plain = {"coef": mx.priors.horseshoe(autoscale=False, par_ratio=0.5)}
    data = mx.stan_data(right, DATA, priors=plain)
    assert data["unit"].tolist() == [1, 1]
    assert data["horseshoe_scale_global"] == 0.5 / 30**0.5


def test_prior_only_and_slices():
    assert data_of("gaussian", prior_only=True)["prior_only"] == 1
    assert data_of("gaussian")["prior_only"] == 0
    assert 1 <= data_of("gaussian_threads")["grainsize"] <= 30
