"""What is known to go wrong before a fit: errors, warnings, and silence where all is well."""

import warnings

import numpy as np
import pandas as pd
import pytest

from mixedfx.design.build import build_design, design
from mixedfx.design.checks import unidentified
from mixedfx.errors import FewLevelsWarning, IdentifiabilityWarning, ModelError, StructureWarning


@pytest.fixture
def classes():
    """Twelve schools of two classes, five pupils in a class; treatments given to whole classes or whole schools."""
    rng = np.random.default_rng(8)
    school = np.repeat(np.arange(12), 10)
    group = np.repeat(np.arange(24), 5)
    return pd.DataFrame(
        {
            "y": rng.normal(size=120),
            "x": rng.normal(size=120),
            "pupil": np.arange(120),
            "school": school,
            "group": group,
            "code": [f"c{(7 * c) % 24}" for c in group],  # another name for each class
            "district": school // 3,
            "by_class": group % 2,
            "by_school": school % 2,
            "size": 10.0 + school % 3,
            "race": np.tile(["a", "b", "c", "d", "e"], 24),
            "month": np.arange(120) % 12,
        }
    )


def findings(formula, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return unidentified(build_design(formula, data, sigma_free=False))


class TestErrors:
    def test_a_constant_response(self, classes):
        with pytest.raises(ModelError, match="the response 'y' is 3 in every row"):
            build_design("y ~ x + (1 | school)", classes.assign(y=3.0))

    def test_a_response_that_is_its_offset_plus_a_constant(self, classes):
        shifted = classes.assign(y=classes["size"] + 1)
        with pytest.raises(ModelError, match="the response 'y' less its offset is 1 in every row"):
            build_design("y ~ x", shifted, offset="size")
        build_design("y ~ x", classes.assign(y=3.0), offset="size")  # here something varies after all

    def test_a_grouping_factor_with_one_level(self, classes):
        with pytest.raises(ModelError, match=r"'town' of \(1 \| town\) has one level, 'Ulm'") as caught:
            build_design("y ~ x + (1 | town)", classes.assign(town="Ulm"))
        assert caught.value.hint == "Leave (1 | town) out."

    def test_as_many_levels_as_rows(self, classes):
        with pytest.raises(ModelError) as caught:
            build_design("y ~ x + (1 | pupil)", classes)
        assert "the grouping factor 'pupil' of (1 | pupil) has 120 levels for 120 rows" in str(caught.value)
        assert "group by a factor with several rows for each level" in str(caught.value)

    def test_as_many_random_effects_as_rows(self, classes):
        with pytest.raises(ModelError) as caught:
            build_design("y ~ x + (0 + race | group)", classes)
        assert "has 120 random effects (5 for each of 24 levels of 'group') for 120 rows" in str(caught.value)
        assert "(1 | group) would have 24" in str(caught.value)
        build_design("y ~ x + (0 + race | school)", classes)

    def test_as_many_fixed_effects_as_rows(self, classes):
        with pytest.raises(ModelError, match="5 rows cannot determine 5 fixed effects"):
            build_design("y ~ race", classes.head(5))

    @pytest.mark.filterwarnings("ignore::mixedfx.errors.IdentifiabilityWarning")
    @pytest.mark.parametrize("formula", ["y ~ x + (1 | pupil)", "y ~ 1 + (1 | town)"])
    def test_these_models_are_legal_where_sigma_is_not_estimated(self, classes, formula):
        build_design(formula, classes.assign(town="Ulm"), sigma_free=False)


class TestFewLevels:
    def test_the_warning_names_the_factors_and_the_way_out(self, classes):
        with pytest.warns(FewLevelsWarning, match=r"'district' \(4\), 'by_school' \(2\)\. .*mx\.bayes"):
            build_design("y ~ x + (1 | district) + (1 | race) + (1 | by_school)", classes)

    def test_five_levels_are_enough(self, classes):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            build_design("y ~ x + (1 | race)", classes)

    def test_not_where_sigma_is_known_to_be_fixed(self, classes):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            build_design("y ~ x + (1 | district)", classes, sigma_free=False)


class TestFixedAndRandom:
    @pytest.mark.parametrize(
        "formula",
        [
            "y ~ race + (1 | race)",
            "y ~ 0 + race + (1 | race)",
            "y ~ C(school) + (1 | school)",
            "y ~ C(school, contr.sum) + x + (1 | school)",
            "y ~ C(group) + (1 | school)",  # classes are within schools: their means hold those of the schools
            "y ~ C(code) + (1 | group)",  # the same classes under another name
            "y ~ C(district)*C(by_school) + (1 | district:by_school)",
        ],
    )
    def test_a_factor_that_is_fixed_and_random(self, classes, formula):
        (message,) = findings(formula, classes)
        assert "and the fixed part say the same" in message
        assert "the random intercept of (1 | " in message

    def test_the_message_names_both_parts(self, classes):
        (message,) = findings("y ~ x + race + (1 | race)", classes)
        assert "the random intercept of (1 | race) and the fixed part say the same" in message
        assert "Intercept, race[b], race[c], race[d], race[e] already give every level of 'race' its own" in message
        assert "x" not in message.split("fixed effects")[1].split("already")[0].replace("Intercept", "")
        assert "Take either (1 | race) or these fixed effects out" in message

    def test_a_slope_that_is_fixed_and_random(self, classes):
        (message,) = findings("y ~ race*x + (0 + x | race)", classes)
        assert "the random slope of x of (0 + x | race)" in message

    @pytest.mark.parametrize(
        "formula",
        [
            "y ~ race + (1 | school)",
            "y ~ C(school) + (1 | group)",  # classes vary within schools
            "y ~ C(district) + (1 | school)",
            "y ~ race*x + (1 | race:school)",
            "y ~ race + (0 + x | race)",  # intercepts fixed, slopes random
            "y ~ by_school + (1 | school)",
            "y ~ race + by_class + (1 | race:by_class)",  # main effects do not exhaust the cells
        ],
    )
    def test_silence(self, classes, formula):
        assert findings(formula, classes) == []


class TestBetweenTerms:
    def test_one_partition_under_two_names(self, classes):
        (message,) = findings("y ~ x + (1 | group) + (1 | code)", classes)
        assert "(1 | group) and (1 | code) both have effects of Intercept" in message
        assert "'group' and 'code' group the rows identically" in message
        assert "Keep one of the two grouping factors" in message

    def test_an_interaction_that_adds_nothing(self, classes):
        (message,) = findings("y ~ x + (1 | group) + (1 | school:group)", classes)
        assert "(1 | group) and (1 | school:group)" in message

    @pytest.mark.parametrize(
        ("formula", "shared"),
        [
            ("y ~ x + (1 | school) + (1 + x | school)", "Intercept"),
            ("y ~ x + (1 + x | school) + (1 | school)", "Intercept"),
            ("y ~ x + (1 + x | school) + (0 + x | school)", "x"),
            ("y ~ x + (1 | school) + (1 | school)", "Intercept"),
            ("y ~ x + (0 + race | school) + (1 | school)", "Intercept"),
            ("y ~ x + (0 + x | school) + (0 + I(3 * x) || school)", "I(3 * x)"),
        ],
    )
    def test_the_same_effects_twice(self, classes, formula, shared):
        (message,) = findings(formula, classes)
        assert f"both have effects of {shared} for the same groups of rows: only the sum" in message
        assert "Write one term for both" in message

    @pytest.mark.parametrize("copies", [3, 60])
    def test_copies_are_said_once_each(self, classes, copies):
        # Against every other copy they would say 1,770 times what 59 sentences say, and take as long to find.
        messages = findings("y ~ x + " + " + ".join(["(1 + x | school)"] * copies), classes)
        assert len(messages) == copies - 1
        assert all("both have effects of Intercept, x for the same groups" in message for message in messages)

    def test_a_term_that_shares_one_effect_with_each_of_two(self, classes):
        intercept, slope = findings("y ~ x + (1 | school) + (0 + x | school) + (1 + x | school)", classes)
        assert "(1 | school) and (1 + x | school) both have effects of Intercept" in intercept
        assert "(0 + x | school) and (1 + x | school) both have effects of x" in slope

    @pytest.mark.parametrize(
        "formula",
        [
            "y ~ x + (1 | school) + (0 + x | school)",
            "y ~ x + (1 | school) + (1 | group)",
            "y ~ x + (1 | school) + (1 | month)",  # as many levels, but other groups
            "y ~ x + (1 | school/group)",
            "y ~ x + (1 | race*school)",
            "y ~ x + (1 | school) + (0 + race || school)",  # a common part and independent ones
            "y ~ x + (x | race) + (x | school) + (1 | race:school)",
        ],
    )
    def test_silence(self, classes, formula):
        assert findings(formula, classes) == []


class TestWithinTerms:
    def test_dependent_columns(self, classes):
        (message,) = findings("y ~ x + (x + I(2 * x) | school)", classes)
        assert "the columns Intercept, x, I(2 * x) of (1 + x + I(2 * x) | school) are linearly dependent" in message
        assert "Take I(2 * x) out of the left side" in message

    def test_dependent_but_independent_variances(self, classes):
        """Without correlation an intercept beside all dummies is a model; a column twice is not."""
        classes["x2"] = 2 * classes["x"]
        assert findings("y ~ x + (x + race || school)", classes) == []
        assert len(findings("y ~ x + (0 + x + x2 || school)", classes)) == 1

    def test_a_slope_that_cannot_vary_within_levels(self, classes):
        """A treatment given to whole classes: each class shows its mean under one treatment only."""
        (message,) = findings("y ~ by_class + (by_class | group)", classes)
        assert "by_class does not vary within the levels of 'group'" in message
        assert "has 3 variances and covariances" in message
        assert "(1 + by_class || group)" in message
        assert findings("y ~ by_class + (by_class || group)", classes) == []
        assert findings("y ~ by_class + (by_class | school)", classes) == []  # both kinds of class in each school

    def test_two_values_determine_two_variances_and_three_determine_three(self, classes):
        """The variance of a level's effect is s0 + 2 c v + s1 v^2 at v: three values of v identify all three."""
        assert len(findings("y ~ x + (by_school | school)", classes)) == 1
        assert findings("y ~ x + (size | school)", classes) == []

    def test_full_dummies_of_a_treatment_between_levels(self, classes):
        """(0 + factor | level) with each level in one arm: the covariance between the arms is never seen."""
        classes["arm"] = np.where(classes["by_school"] == 1, "new", "old")
        assert len(findings("y ~ arm + (0 + arm | school)", classes)) == 1
        assert findings("y ~ arm + (0 + arm || school)", classes) == []


def test_findings_are_warnings_of_one_class_pointing_at_the_caller(classes):
    with pytest.warns(IdentifiabilityWarning) as caught:
        design("y ~ race + (1 | race)", classes)
    assert {w.category for w in caught} == {IdentifiabilityWarning}


def test_looking_at_a_design_refuses_nothing_that_only_a_fit_would(classes):
    shown = design("y ~ x + (1 | pupil)", classes.assign(y=3.0))
    assert shown.random[0].n_levels == 120


def test_a_factor_that_is_almost_in_the_fixed_part_is_not_in_it(classes):
    """Only what holds exactly is reported: here 1e-4 of the factor's columns is left over."""
    half = classes["pupil"] % 2
    noise = np.random.default_rng(4).normal(size=120)
    assert len(findings("y ~ z + (1 | half)", classes.assign(half=half, z=half))) == 1
    assert findings("y ~ z + (1 | half)", classes.assign(half=half, z=half + 1e-4 * noise)) == []


def test_a_factor_in_an_ill_conditioned_fixed_part_is_found(classes):
    noise = np.random.default_rng(4).normal(size=120)
    half = classes["pupil"] % 2
    badly = classes.assign(half=half, z=half + 1e6, w=noise, w2=noise + 1e-6 * noise**2)
    assert len(findings("y ~ z + w + w2 + (1 | half)", badly)) == 1


def test_the_classic_models_pass_in_silence(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for formula in [
            "y ~ x + (x | g)",
            "y ~ x + (1 | g) + (1 | h)",
            "y ~ race*x + (1 + x | g) + (1 | h)",
            "y ~ x + (1 | g/race)",
            "y ~ x + (1 | race:gender)",
            "y ~ b + (b || g) + (1 | h)",
        ]:
            build_design(formula, data)


FAR = [
    ("y ~ when + x + (when | pupil)", 0),
    ("y ~ when + (1 | school) + (0 + when | school)", 0),
    ("y ~ when + (1 + when || school)", 0),
    ("y ~ level_year + (level_year | school)", 0),  # constant in a school, but three products of z are seen
    ("y ~ arm + when + (when | arm)", 1),  # the fixed part has the intercepts of the arms, and not their slopes
    ("y ~ arm * when + (when | arm)", 2),
    ("y ~ when + (when | school) + (1 | school)", 1),
    ("y ~ when + (when | school) + (0 + other | school)", 1),  # other is a line in when
]


@pytest.mark.parametrize("shift", [0.0, 2017.0, 1e6])
@pytest.mark.parametrize(("formula", "count"), FAR)
def test_findings_do_not_depend_on_where_a_covariate_has_its_zero(classes, formula, count, shift):
    rng = np.random.default_rng(7)
    when = rng.normal(size=len(classes)) + shift
    year = rng.normal(size=12)[classes["school"]] + shift
    arm = np.where(np.arange(len(classes)) % 2 == 0, "new", "old")
    frame = classes.assign(when=when, other=3 * when - 5, level_year=year, arm=arm)
    assert len(findings(formula, frame)) == count


def _structured(formula):
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 9), "time": np.tile([0.0, 1.0, 2.0], 60)})
    data["y"] = rng.normal(size=180)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_design(formula, data)
    return [str(w.message) for w in caught if issubclass(w.category, StructureWarning)]


@pytest.mark.parametrize("structure", ["cs", "homcs", "ar1", "hetar1"])
def test_a_structure_over_a_number_asks_for_a_factor(structure):
    """As metafor's ~ inner | outer takes any inner column for a factor, and this language does not."""
    (message,) = _structured(f"y ~ 1 + {structure}(0 + time | g)")
    assert f"{structure}(0 + factor(time) | g)" in message
    assert _structured(f"y ~ 1 + {structure}(0 + factor(time) | g)") == []


@pytest.mark.parametrize("structure", ["id", "homcs", "ar1"])
def test_one_standard_deviation_for_numbers_of_two_units_is_said(structure):
    (message,) = _structured(f"y ~ 1 + {structure}(1 + time | g)")
    assert "depend on the unit" in message
    assert _structured(f"y ~ 1 + {structure}(0 + factor(time) | g)") == []
    assert _structured("y ~ 1 + cs(1 + time | g)") == _structured("y ~ 1 + diag(1 + time | g)") == []


def test_columns_that_are_not_one_after_the_other_have_no_serial_correlation():
    """An intercept beside differences, or a slope, is no occasion."""
    for left in ("time", "factor(time)"):
        (message,) = _structured(f"y ~ 1 + hetar1(1 + {left} | g)")
        assert "one occasion after the other" in message
        assert "hetar1(0 + occasion | g)" in message
