"""Generated programs are those in the folder stan, which the compiler accepts; they hang on the shape alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.bayes.samplers import stan_engines
from mixedfx.bayes.stan.chunks import Blocks, chunk
from mixedfx.bayes.stan.program import program_text
from mixedfx.bayes.stan.shape import model_shape
from mixedfx.errors import ModelError, OptionError
from mixedfx.families.registry import FAMILIES
from tests.bayes.stan.models import DATA, RESPONSE, modelled
from tests.bayes.stan.programs import CASES, FOLDER, program, readme

SIZES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "n": st.integers(48, 80),
        "levels": st.integers(2, 8),
        "predictors": st.integers(1, 4),
        "scale": st.floats(1e-3, 1e3),
        "eta": st.floats(0.5, 5.0),
    }
)


@pytest.mark.parametrize("name", CASES)
def test_a_program_is_the_one_that_was_read_and_kept(name):
    """After a change that is meant: python -m tests.bayes.stan.programs, and read the difference."""
    assert program(name) == (FOLDER / f"{name}.stan").read_text(encoding="utf-8")


def test_every_file_has_its_case():
    assert {path.stem for path in FOLDER.glob("*.stan")} == set(CASES)


def test_the_readme_says_what_each_program_is_of():
    assert readme() == (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_family_has_programs():
    assert {f for name in CASES for f in FAMILIES if f"{name}_".startswith(f"{f}_")} == set(FAMILIES)


@pytest.mark.parametrize("name", CASES)
def test_the_compiler_accepts_it(name):
    stan_engines()["stanli"].check((FOLDER / f"{name}.stan").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_it_is_laid_out_for_readers(name):
    lines = program(name).split("\n")
    assert [line for line in lines if len(line) > 120 or line != line.rstrip() or "\t" in line] == []
    assert [line for line in lines if "$" in line or "@" in line or "#" in line] == []
    depth = 0
    for line in lines:
        body = line.split("//")[0].strip()
        depth -= body.startswith("}")
        if body and line.lstrip()[0] not in "+=.":
            assert len(line) - len(line.lstrip()) in (2 * depth, 2 * depth + 4), line
        depth += body.endswith("{")
    assert depth == 0


@pytest.mark.parametrize("family", FAMILIES)
@given(sizes=SIZES)
@settings(max_examples=12)
def test_sizes_and_numbers_are_data(family, sizes):
    rng, n = np.random.default_rng(sizes["seed"]), sizes["n"]
    data = pd.DataFrame(rng.normal(sizes["scale"], 1, (n, 5)), columns=list("abcde"))
    data["g"] = np.resize(np.arange(sizes["levels"]), n).astype(str)
    data["h"] = np.resize(np.repeat(list("uvwxyz")[: max(2, sizes["levels"] // 2)], 3), n)
    data["y"] = {
        "real": sizes["scale"] * rng.normal(size=n),
        "positive": sizes["scale"] * rng.gamma(2.0, size=n),
        "unit": rng.beta(2, 3, n),
        "nonnegative": sizes["scale"] * rng.poisson(1.0, n),
        "positive count": 1 + rng.poisson(sizes["levels"], n),
        "count": rng.poisson(sizes["levels"], n),
        "binary": np.resize([0, 1], n),
        "trials": rng.binomial(sizes["levels"], 0.4, n),
        "ordered": np.resize(np.arange(sizes["levels"] + 1), n),
        "nominal": np.resize(list("ABCDEFGHIJ")[: sizes["levels"] + 1], n),
    }[FAMILIES[family].outcome]
    fixed = " + ".join("abcde"[: sizes["predictors"]])
    left = f"y | trials({sizes['levels']})" if FAMILIES[family].outcome == "trials" else "y"
    priors = {
        "coef": mx.priors.normal(sizes["scale"], sizes["scale"]),
        "cor": mx.priors.lkj(sizes["eta"]),
        ("sd", "h"): mx.priors.exponential(sizes["scale"]),
    }
    found = mx.stan_code(f"{left} ~ {fixed} + (1 + {fixed} | g) + (1 | h)", data, family, priors)
    known = mx.stan_code(
        f"{RESPONSE[family]} ~ x + w + (1 + x | g) + (1 | h)",
        DATA,
        family,
        {"coef": mx.priors.normal(), ("sd", "h"): mx.priors.exponential()},
    )
    assert found == known


def test_every_part_of_the_shape_matters():
    """No two shapes share a text: what is in the shape without showing in the text would cost compilations."""
    texts = {}
    for name in CASES:
        texts.setdefault(program(name), []).append(name)
    assert [names for names in texts.values() if len(names) > 1] == []
    shape = model_shape(*modelled("gaussian", "x + (1 + x | g)", None))
    for change in (
        {"intercept": False, "alpha": None},
        {"offset": True},
        {"weights": True},
        {"threads": True},
        {"log_lik": True},
        {"y_rep": True},
        {"alpha": "student_t"},
        {"auxiliary": (("sigma", "flat"),)},
    ):
        assert program_text(replace(shape, **change)) != program_text(shape), change


def test_a_categorical_response_has_arrays_and_a_loop_over_them():
    blocks = Blocks(nominal=True)
    blocks.add("random/effects_one", t="1", related="")
    text = blocks.text()
    assert "array[C - 1] vector[J_1] std_u_1;" in text
    assert "array[C - 1] vector[J_1] u_1;  // effects of the levels" in text
    assert "    u_1[c] = sd_1[c] * std_u_1[c];" in text
    plain = Blocks(nominal=False)
    plain.add("random/effects_one", t="1", related="")
    assert "  vector[J_1] u_1 = sd_1 * std_u_1;  // effects of the levels" in plain.text()


def test_every_chunk_is_used_and_says_what_it_is_for():
    folder = FOLDER.parent / "mixedfx" / "_stan"
    files = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.stan")}
    used = set()
    original = Blocks.add

    def note(blocks, name, /, **values):
        used.add(name)
        original(blocks, name, **values)

    Blocks.add = note
    try:
        program_text.cache_clear()
        for name in CASES:
            program(name)
    finally:
        Blocks.add = original
    assert {name.replace("\\", "/") for name in files} - used == {"priors/flat"}
    for name in files:
        assert (folder / f"{name}.stan").read_text(encoding="utf-8").startswith("// ")
        assert chunk(name) or name == "priors/flat"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"formula": "passed ~ x", "family": "bernoulli", "weights": "s"}, OptionError, "residual variance"),
        ({"formula": "count ~ x", "family": "poisson", "weights": "s"}, OptionError, "poisson"),
        ({"formula": "real | se(s) ~ x", "weights": "s"}, ModelError, "nothing to scale"),
        ({"formula": "real ~ x + (1 | g)", "centred": ["school"]}, OptionError, "'g'"),
        ({"formula": "real ~ x + (1 | g)", "threads": 0}, OptionError, "threads=0"),
        ({"formula": "count ~ x", "family": "binomial"}, mx.errors.MixedfxError, "trials"),
    ],
)
def test_what_cannot_be_is_refused(arguments, error, words):
    with pytest.raises(error) as caught:
        mx.stan_code(data=DATA, **arguments)
    assert words in str(caught.value)
