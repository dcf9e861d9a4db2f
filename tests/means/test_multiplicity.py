"""Adjusted p values and critical values against theory and published tables."""

import numpy as np
import pytest
from scipy import stats

from mixedfx.errors import OptionError
from mixedfx.means.contrast_families import contrast_family
from mixedfx.means.multiplicity import adjusted_p_values, check_adjust, critical_values, max_abs_t_cdf


def correlation(K):
    C = K @ K.T
    d = np.sqrt(np.diag(C))
    return C / np.outer(d, d)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("df", [4.5, 30.0, np.inf])
def test_mvt_of_all_pairs_of_independent_means_is_the_studentised_range(k, df):
    """Rank k - 1 of k (k - 1) / 2 contrasts, in any order and basis. The integration error is stated as about 1e-4."""
    _, K = contrast_family("pairwise", list("abcde"[:k]))
    rng = np.random.default_rng(k)
    for limit in (1.0, 2.5, 4.0):
        expected = stats.studentized_range.cdf(limit * np.sqrt(2), k, df if np.isfinite(df) else 1e6)
        assert max_abs_t_cdf(limit, correlation(K), df) == pytest.approx(expected, abs=1e-4)
        # All eigenvalues but zero are equal: the basis they are integrated in is a matter of rounding.
        mixed = K[rng.permutation(len(K))] * rng.choice([-1.0, 1.0], len(K))[:, None]
        assert max_abs_t_cdf(limit, correlation(mixed), df) == pytest.approx(expected, abs=1e-4)


def test_dunnett():
    """Two-sided 5 % points of Dunnett (1964, Biometrics 20:482, table II), two decimals."""
    for others, df, published in ((2, 10, 2.57), (3, 20, 2.54), (5, 20, 2.73), (4, 60, 2.51)):
        _, K = contrast_family("trt.vs.ctrl", list("abcdefg"[: others + 1]))
        found = critical_values(np.full(others, float(df)), "mvt", 0.95, means=others + 1, correlation=correlation(K))
        np.testing.assert_allclose(found, published, atol=0.006)


@pytest.mark.parametrize("adjust", ["tukey", "mvt", "bonferroni", "sidak", "none"])
def test_p_values_and_intervals_agree(adjust):
    """A statistic at the critical value has a p value of 1 - level."""
    _, K = contrast_family("pairwise", list("abc"))
    df = np.full(3, 17.3)
    critical = critical_values(df, adjust, 0.9, means=3, correlation=correlation(K))
    p = adjusted_p_values(critical, df, adjust, means=3, correlation=correlation(K))
    np.testing.assert_allclose(p, 0.1, atol=2e-4)


@pytest.mark.parametrize("df", [20.0, 300.0, np.inf])
@pytest.mark.parametrize("adjust", ["tukey", "mvt"])
def test_far_out_no_adjusted_p_value_is_below_its_own(adjust, df):
    """And none above Bonferroni's over the six pairs, however small; the larger of two is never the smaller one."""
    t = np.array([2.0, 6.0, 9.0, 12.0, 20.0, 30.0])
    _, K = contrast_family("pairwise", list("abcd"))
    p = adjusted_p_values(t, np.full(6, df), adjust, means=4, correlation=correlation(K))
    own = 2 * stats.t.sf(t, df)
    assert (p >= own).all()
    assert (p <= 6 * own * (1 + 1e-12)).all()
    assert (np.diff(p) < 0).all()


def test_holm_by_hand():
    t = stats.t.isf(np.array([0.01, 0.04, 0.03]) / 2, 9)
    p = adjusted_p_values(t, np.full(3, 9.0), "holm", means=3)
    np.testing.assert_allclose(p, [0.03, 0.06, 0.06])


def test_what_cannot_be_estimated_is_no_part_of_the_family():
    t, df = np.array([2.0, np.nan, 2.5]), np.array([12.0, np.nan, 12.0])
    p = adjusted_p_values(t, df, "bonferroni", means=3)
    assert np.isnan(p[1])
    np.testing.assert_allclose(p[[0, 2]], 2 * 2 * stats.t.sf(t[[0, 2]], 12))


def test_adjustments_that_do_not_fit():
    with pytest.raises(OptionError, match="pairwise"):
        check_adjust("tukey", pairwise=False)
    with pytest.raises(OptionError, match="two-sided"):
        check_adjust("mvt", pairwise=False, side="greater")
    with pytest.raises(OptionError, match="'holm'"):
        check_adjust("fdr", pairwise=True)


@pytest.mark.parametrize("k", range(2, 9))
def test_polynomials_are_orthogonal_to_each_other_and_to_the_mean(k):
    names, K = contrast_family("poly", [str(i) for i in range(k)])
    assert len(names) == min(k - 1, 6)
    np.testing.assert_allclose(K @ np.ones(k), 0, atol=1e-12)
    G = K @ K.T
    np.testing.assert_allclose(G, np.diag(np.diag(G)), atol=1e-9)
    assert (K.round() == K).all()
    assert (K[:, -1] > 0).all()
