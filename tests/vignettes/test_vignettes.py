"""Every vignette runs, and every number in its prose is computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "vignettes"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.name != "build.py")


def test_there_is_a_vignette():
    assert {"flipped_classroom", "varying_effects"} <= set(NAMES)


# Those whose claims are tested run there: a file's tests stay in one process, and stories take long.
CLAIMED = {path.stem.removeprefix("test_").removesuffix("_claims") for path in HERE.glob("test_*_claims.py")}


@pytest.mark.parametrize("name", sorted({*NAMES} - CLAIMED))
def test_every_vignette_runs_and_fills_in_its_prose(run_vignette, filled, name):
    assert filled(run_vignette(name))


@pytest.mark.parametrize("name", sorted(CLAIMED))
def test_so_do_those_whose_claims_are_tested(name):
    assert name in NAMES
    assert "filled(" in (HERE / f"test_{name}_claims.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_no_decimal_number_in_the_prose_is_typed_by_hand(read_vignette, build, name):
    # 1.96 is the quantile of the normal distribution, not a result.
    for header, body in read_vignette(name):
        if "[markdown]" in header:
            literal = build.PLACEHOLDER.sub("", body).replace("1.96", "")
            assert re.findall(r"\d+\.\d+", literal) == [], literal


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_has_a_description(read_vignette, name):
    for header, body in read_vignette(name):
        if re.search(r"plt\.subplots|^picture", body, re.MULTILINE):
            assert re.search(r'alt="[^"]{40,}"', header), body


def test_placeholders_become_the_values_of_their_expressions(build):
    code = build.prose_code("It's {{x:.2f}} of\n\"{{ y['a'] }}\".")
    shown: list[str] = []

    class Display:
        class display:
            Markdown = staticmethod(shown.append)

    eval(code.replace("__import__('IPython.display')", "Display"), {"Display": Display, "x": 1.234, "y": {"a": 7}})
    assert shown == ['It\'s 1.23 of\n"7".']


def test_an_unknown_vignette_is_named_in_the_error(build):
    with pytest.raises(SystemExit, match=r"no vignette flipped; there are: .*flipped_classroom"):
        build.sources(["flipped"])


def test_without_names_all_vignettes_are_built(build):
    assert [path.stem for path in build.sources([])] == NAMES
