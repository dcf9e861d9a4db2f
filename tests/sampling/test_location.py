"""Where a covariate has its zero, and in which unit it is counted, changes nothing under the default priors.

Densities at corresponding points, without sampling: of the kind of terms that says so, those with an intercept and
correlations, whose covariates stand in no product. Shifts go to a million standard deviations.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx import priors
from mixedfx.bayes.collapsed.prior_draws import prior_sample
from mixedfx.covariance.unconstrained import Layout, coordinates_of, log_one_minus_square
from mixedfx.design.build import build_design
from mixedfx.errors import MixedfxWarning
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.target import build_target

FORMULAS = [
    "y ~ x + (1 + x | g)",
    "y ~ x + w + (1 + x + w | g) + (1 | h)",
    "y ~ x + f + (1 + f + x | g)",
    "y ~ w + (1 + w | g) + (1 + x | h) + (0 + w | f)",
    "y ~ x + w + (1 + w | g) + (1 + x || h)",  # x's own term is independent: only w may move, see `moving`
]


def frame(seed, rows=60):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=rows), "w": rng.gamma(2.0, size=rows), "e": rng.normal(size=rows)})
    for name, levels in (("g", "abcdefgh"), ("h", "stuvw"), ("f", "klm")):
        data[name] = rng.permutation(np.resize(list(levels), rows))
    slope = data["g"].map(dict(zip("abcdefgh", rng.normal(size=8), strict=True)))
    data["y"] = 3 + data["x"] * (0.5 + slope) + data["w"] + data["e"]
    data["weight"] = rng.gamma(3.0, size=rows)
    return data


def target_of(formula, data, given=None, weights=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        design = build_design(formula, data, weights=weights)
    return build_target(design, resolve(prior_set(given), scales_of(design)))


def moved_factors(design, factors, x, a, b):
    """Factors of the same lines where x is counted as a + b x: u_0 - (a / b) u_x and u_x / b."""
    out = []
    for term, F in zip(design.random, factors, strict=True):
        M = np.eye(term.n_columns)
        if x in term.columns:
            j = term.columns.index(x)
            M[j, j] = 1 / b
            if "Intercept" in term.columns:
                M[term.columns.index("Intercept"), j] = -a / b
        out.append(M @ F)
    return out


MOVES = st.tuples(
    st.floats(-6, 6).map(lambda e: np.sign(e) * 10 ** abs(e)),
    st.floats(-3, 3).map(lambda e: 10**e),
    st.sampled_from([-1.0, 1.0]),
)


@given(
    formula=st.sampled_from(FORMULAS), move=MOVES, seed=st.integers(0, 50), weighted=st.booleans(), pooled=st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_the_default_posterior_is_the_same_from_wherever_a_covariate_is_counted(formula, move, seed, weighted, pooled):
    """The density itself, not up to a constant: phi is in log sds and correlations at the means.

    A shift of d standard deviations leaves the covariate 16 - log10(d) digits, and about as many to the variances at
    zero from which the corresponding point is found here: 1e-5 of a log density of some hundred, at a million.
    """
    shift, scale, sign = move
    moving = "w" if "(1 + x || h)" in formula else "x"
    a, b = shift * scale, scale * sign
    data = frame(seed)
    there = data.assign(**{moving: a + b * data[moving]})
    given = priors.pooled_interactions() if pooled else None
    one, other = (target_of(formula, d, given, "weight" if weighted else None) for d in (data, there))
    phi = 0.4 * np.random.default_rng(seed).normal(size=(3, one.size))
    at, design = one.coordinates.variances(phi), one.collapsed.design
    moved = np.empty_like(phi)
    for d in range(len(phi)):
        factors = [at.factors(t)[d] for t in range(len(design.random))]
        factors = moved_factors(design, factors, moving, a, b)
        moved[d] = other.coordinates.from_factors(at.sigma[d], factors, least=1e-12, steepest=40.0)
    np.testing.assert_allclose(other.log_density(moved), one.log_density(phi), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shift", [0.0, 30.0, -1e6])
def test_default_coordinates_do_not_see_a_shift_at_all(shift):
    """The point itself is the same, and its gradient; nine digits are what the covariate has left."""
    data = frame(3)
    one, other = (target_of(FORMULAS[1], d) for d in (data, data.assign(x=data["x"] + shift)))
    phi = 0.4 * np.random.default_rng(1).normal(size=one.size)
    (value, gradient), (there, moved) = one.value_and_gradient(phi), other.value_and_gradient(phi)
    assert there == pytest.approx(value, abs=1e-7)
    np.testing.assert_allclose(moved, gradient, rtol=0, atol=1e-6)


def named(intercept=None):
    """brms's priors; with a normal intercept where that must integrate out."""
    base = priors.brms()
    entries = base.entries if intercept is None else {**base.entries, "intercept": intercept}
    return priors.PriorSet("zero", entries, base.unit, varying_intercepts="zero")


@pytest.mark.parametrize("given", ["rstanarm", "brms", None], ids=str)
@pytest.mark.parametrize("shift", [0.0, 3.0, 40.0, 2e3, 1e6])
def test_the_gradient_is_exact_at_every_shift(shift, given):
    data = frame(4)
    data["x"] += shift
    target = target_of("y ~ x + w + (1 + x + w | g) + (1 | h)", data, given)
    phi = target.coordinates.even(1.0, 0.5)
    phi += 0.2 * np.random.default_rng(2).normal(size=target.size)
    value, gradient = target.value_and_gradient(phi)
    assert np.isfinite(value)
    assert target.log_density(phi[None])[0] == pytest.approx(value, rel=1e-11)
    h = 1e-5 * np.eye(target.size)
    numeric = (target.log_density(phi + h) - target.log_density(phi - h)) / 2e-5
    # named priors hold a term the size of (shift sd of the slopes)^2 / (3 + ...): its logarithm is smooth, so that the
    # differences keep their eight digits of the largest derivative
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=2e-6 * max(1.0, np.abs(gradient).max()))


@pytest.mark.parametrize("given", ["rstanarm", "brms", None], ids=str)
@pytest.mark.parametrize("shift", [0.0, 4.0, 1e4])
def test_prior_draws_are_the_same_whatever_is_sampled(shift, given):
    """Draws of the prior are those of its definition: sds half-normal, half-t or decov where the set says they hold."""
    data = frame(5)
    data["x"] += shift
    if given == "brms":
        given = named(priors.normal(0.0, 3.0))
        given = priors.PriorSet(
            "zero", {**given.entries, "coef": priors.normal(0, 1)}, "mad", varying_intercepts="zero"
        )
    target = target_of(FORMULAS[0], data, given)
    found = prior_sample(target, 4000, np.random.default_rng(6))
    at = target.coordinates.variances(found.phi)
    C = np.eye(2)
    if given is None:
        C[0, 1] = target.collapsed.design.random[0].z[:, 1].mean()
    F = C @ at.factors(0)
    sd = np.sqrt((F**2).sum(axis=2))
    rng = np.random.default_rng(6)
    # the same random numbers, by hand: sigma, then the sds column by column
    sigma = target.coordinates.priors.sigma.draw(rng, 4000, positive=True)
    prior = target.coordinates.priors.terms[0]
    if given == "rstanarm":
        tau, share = rng.gamma(1.0, 1.0, 4000), rng.dirichlet([1.0, 1.0], 4000)
        expected = (tau * sigma)[:, None] * np.sqrt(2 * share)
    else:
        expected = np.column_stack([one.draw(rng, 4000, positive=True) for one in prior.sd])
    np.testing.assert_allclose(sd, expected, rtol=1e-6)
    rho = np.einsum("da,da->d", F[:, 0], F[:, 1]) / sd.prod(axis=1)
    a = prior.eta
    np.testing.assert_allclose(rho, 2 * rng.beta(a, a, (4000, 1))[:, 0] - 1, rtol=0, atol=1e-6)


def test_points_from_covariances_and_back():
    """Named factors, used factors and phi are one; what is singular comes inside."""
    data = frame(7)
    data["x"] += 50.0
    for prior in (None, "brms"):
        coordinates = target_of(FORMULAS[1], data, prior).coordinates
        phi = 0.5 * np.random.default_rng(8).normal(size=(1, coordinates.size))
        at = coordinates.variances(phi)
        factors = [at.factors(t)[0] for t in range(2)]
        phi[:, coordinates.mixing_first :] = 0.0
        np.testing.assert_allclose(coordinates.from_factors(at.sigma[0], factors), phi[0], rtol=0, atol=1e-9)
        used = [T[0] for T in coordinates.relative_factors(at)]
        np.testing.assert_allclose(coordinates.from_used(at.sigma[0], used), phi[0], rtol=0, atol=1e-10)
        zero = coordinates.from_factors(2.0, [np.zeros((3, 3)), np.zeros((1, 1))])
        assert np.isfinite(zero).all()
        np.testing.assert_allclose(zero, coordinates.even(2.0, 1e-3), rtol=0, atol=1e-12)


def test_the_natural_density_is_that_of_the_sampled_one_times_the_jacobian():
    """Under brms's priors at a shift of 40 sds, where the slope's column gives way to its residual."""
    data = frame(9)
    data["x"] += 40.0
    target = target_of(FORMULAS[0], data, "brms")
    term = target.coordinates.terms[0]
    assert term.prior.across is not None
    phi = target.coordinates.even(1.0, 0.5)[None]
    at = target.coordinates.variances(phi)
    log_sd, y = coordinates_of(at.factors(0))
    own = term.prior.prior
    plain = sum(p.log_positive(np.exp(log_sd[:, c])) + log_sd[:, c] for c, p in enumerate(own.sd))
    layout = Layout(2)
    plain = plain + log_one_minus_square(y) @ layout.beta_shapes(own.eta) - layout.log_lkj_constant(own.eta)
    moved = layout.log_volume(phi[:, term.sds], log_one_minus_square(phi[:, term.partials])) - layout.log_volume(
        log_sd, log_one_minus_square(y)
    )
    found = term.prior.log_density(phi[:, term.sds], phi[:, term.partials], at.sampled[0], np.log(at.sigma))
    np.testing.assert_allclose(found, plain + moved, rtol=0, atol=1e-9)


def test_the_basis_of_the_prior_is_another_way_to_the_same_posterior():
    """The density there is that here times the Jacobian of the translation, by differences; and the way back."""
    data = frame(10)
    data["x"] += 9.0
    target = target_of(FORMULAS[0], data, "rstanarm")
    other = target.as_stated
    assert other is not None
    assert other.as_stated is None
    phi = target.coordinates.even(1.0, 0.5)[None] + 0.1
    there = other.coordinates.translated(phi, target.coordinates)
    np.testing.assert_allclose(target.coordinates.translated(there, other.coordinates), phi, rtol=0, atol=1e-11)
    steps = 1e-5 * np.eye(target.size)
    J = [other.coordinates.translated(phi + s * steps, target.coordinates) for s in (1, -1)]
    jacobian = np.linalg.slogdet((J[0] - J[1]) / 2e-5)[1]
    assert target.log_density(phi)[0] == pytest.approx(other.log_density(there)[0] + jacobian, abs=1e-6)
    assert target_of(FORMULAS[0], data).as_stated is None
