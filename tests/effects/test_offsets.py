"""An offset is an offset however it was given: in the formula, as a column, as numbers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.effects.effects import effects
from mixedfx.errors import DataError
from mixedfx.families.registry import find_family
from tests.effects.drawn_fit import DrawnFit

RIGHT = "z * race + (1 + z | school)"
FAMILIES = ("gaussian", "poisson", "bernoulli")


def people(seed: int = 0, n: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {"z": rng.integers(0, 2, n), "race": rng.choice(list("AB"), n), "school": rng.choice(list("nse"), n)}
    )
    data["exposure"], data["y"] = rng.normal(size=n).round(1), rng.integers(0, 2, n) + 0.0
    return data


def fits(data: pd.DataFrame, family: str) -> dict[str, DrawnFit]:
    """One set of draws, the offset given in each of the three ways."""
    forms = {
        "formula": (f"y ~ {RIGHT} + offset(exposure)", {}),
        "column": (f"y ~ {RIGHT}", {"offset": "exposure"}),
        "numbers": (f"y ~ {RIGHT}", {"offset": data["exposure"].sample(frac=1, random_state=1)}),
    }
    out = {}
    for name, (formula, options) in forms.items():
        design = build_design(formula, data, sigma_free=False, family=family, **options)
        sample = 0.4 * np.random.default_rng(3).normal(size=(20, design.X.shape[1] + design.n_random))
        out[name] = DrawnFit(design, sample, (0.5 * np.tile(np.eye(2), (20, 1, 1)),), find_family(family))
    return out


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
@given(seed=st.integers(0, 500), family=st.sampled_from(FAMILIES), data=st.data())
@settings(max_examples=12, deadline=None)
def test_three_ways_to_give_an_offset_are_one(seed, family, data):
    frame = people(seed)
    options = {
        "by": data.draw(st.sampled_from([None, "race", ["race", "school"]])),
        "scale": data.draw(st.sampled_from(["response", "link"])),
        "groups": data.draw(st.sampled_from(["fitted", "average", "integrate"])),
    }
    if data.draw(st.booleans()):
        options["newdata"] = frame.sample(40, random_state=seed)
    outcomes = data.draw(st.booleans())
    found = {}
    for name, fit in fits(frame, family).items():
        own = name == "numbers" and "newdata" in options
        cancels = not outcomes and (family == "gaussian" or options["scale"] == "link")
        if own and not cancels:  # other rows have no such numbers
            with pytest.raises(DataError, match="offset given as numbers"):
                _ = ask(fit, outcomes, options)
            continue
        found[name] = ask(fit, outcomes, options).table
    for table in found.values():
        pd.testing.assert_frame_equal(table, found["formula"], rtol=1e-9)


def ask(fit, outcomes, options):
    if not outcomes:
        return effects(fit, "z", **options)
    rest = {k: v for k, v in options.items() if k != "newdata"}
    return mx.poststratify(fit, options.get("newdata"), **rest)


def test_by_hand_off_the_identity_link():
    data = people()
    fit = fits(data, "poisson")["column"]
    X0, X1 = (fit.design.spec.replay(data.assign(z=z)).X for z in (0, 1))
    u = fit.sample[:, 4:].reshape(20, 3, 2)[:, data["school"].map("ens".index).to_numpy()]
    eta = [
        fit.sample[:, :4] @ X.T + data["exposure"].to_numpy() + u[..., 0] + z * u[..., 1] for z, X in ((0, X0), (1, X1))
    ]
    by_hand = (np.exp(eta[1]) - np.exp(eta[0])).mean(axis=1)
    np.testing.assert_allclose(effects(fit, "z").draws()[:, 0], by_hand, rtol=1e-10)


def test_new_rows_bring_the_column_of_their_offset():
    data = people()
    fit = fits(data, "poisson")["column"]
    longer = data.assign(exposure=data["exposure"] + np.log(2))
    twice = effects(fit, "z", newdata=longer).table["estimate"].item()
    assert twice == pytest.approx(2 * effects(fit, "z", newdata=data).table["estimate"].item(), rel=1e-10)
    with pytest.raises(DataError, match="the model needs 'exposure'"):
        effects(fit, "z", newdata=data.drop(columns="exposure"))
    link = effects(fit, "z", newdata=data.drop(columns="exposure"), scale="link")  # where it cancels
    pd.testing.assert_frame_equal(link.table, effects(fit, "z", newdata=data, scale="link").table)


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_the_advice_that_numbers_are_given_leads_out():
    data = people()
    fit = mx.lmer("y ~ z + (1 | school)", data, offset=data["exposure"].to_numpy())
    assert fit.predict() is not None
    with pytest.raises(DataError, match="belong to its own rows") as caught:
        fit.predict(data)
    assert "offset='log_exposure'" in caught.value.hint
    named = mx.lmer("y ~ z + (1 | school)", data, offset="exposure")
    written = mx.lmer("y ~ z + (1 | school) + offset(exposure)", data)
    np.testing.assert_allclose(named.predict(data), fit.predict(), rtol=1e-9)
    np.testing.assert_allclose(written.predict(data), fit.predict(), rtol=1e-9)
    assert "(offset)" not in fit.augment().columns
    assert fit.augment()[".offset"].tolist() == data["exposure"].tolist()


def test_a_column_that_is_called_like_the_offset_given_as_numbers():
    data = people().rename(columns={"race": "(offset)"})
    design = build_design("y ~ z + `(offset)`", data, sigma_free=False, offset=data["exposure"].to_numpy())
    assert design.offset.tolist() == data["exposure"].tolist()
    assert design.fixed_names == ("Intercept", "z", "(offset)[B]")
