"""Value labels of SAS files, which stand in a catalogue beside the data; both written by data/gen_sas_catalogue.py."""

import shutil
from pathlib import Path

import pyreadstat
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, OptionError
from mixedfx.files.read import Options, recognise

DATA = Path(__file__).parent / "data" / "catalogue"


@pytest.fixture
def alone(tmp_path):
    """The data without a catalogue beside them."""
    return Path(shutil.copy(DATA / "survey.sas7bdat", tmp_path))


def check(frame):
    """Labels in the order of the catalogue's codes; a code without a label keeps its place."""
    assert frame["arm"].tolist() == ["drug", "placebo"] * 3
    assert frame["trust"].tolist()[:2] == ["low", "high"]
    assert frame["trust"].isna().tolist() == [False, False, True, False, False, False]
    assert frame["trust"].cat.categories.tolist() == ["low", "middle", "high", "4"]
    assert frame["score"].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]


def test_the_catalogue_of_the_library_is_found_and_said():
    found = recognise(DATA / "survey.sas7bdat")
    check(found.frame)
    assert found.notes == (
        "labels of codes come from formats.sas7bcat, which stands beside the file",
        "categories, by the labels of codes: arm (2), trust (4)",
        "codes without a label, categories of their own: '4' in trust (1 row)",
        "missing, by kind: trust (.R: 1 row)",
    )


@pytest.mark.parametrize("name", ["survey.sas7bcat", "SURVEY.SAS7BCAT", "FORMATS.sas7bcat"])
def test_names_are_found_however_they_are_written(alone, name):
    shutil.copy(DATA / "formats.sas7bcat", alone.parent / name)
    found = recognise(alone)
    check(found.frame)
    assert name in found.notes[0]


def test_a_catalogue_of_the_same_name_comes_before_that_of_the_library(alone):
    shutil.copy(DATA / "formats.sas7bcat", alone.parent / "survey.sas7bcat")
    (alone.parent / "formats.sas7bcat").write_bytes(b"another")
    assert "survey.sas7bcat" in recognise(alone).notes[0]


def test_a_catalogue_can_be_named(alone, capsys):
    check(mx.read(alone, catalog=DATA / "formats.sas7bcat"))
    assert f"labels of codes come from {DATA / 'formats.sas7bcat'}" in capsys.readouterr().err
    codes = mx.read(alone, catalog=DATA / "formats.sas7bcat", values="codes", notes=False)
    assert codes["arm"].tolist() == ["d", "p"] * 3
    assert codes["trust"].dropna().tolist() == [1, 3, 2, 3, 4]


def test_without_a_catalogue_codes_stay(alone):
    found = recognise(alone)
    assert found.frame["arm"].tolist() == ["d", "p"] * 3
    assert not any("labels" in note for note in found.notes)


def test_labels_of_special_missing_values_name_them(alone, monkeypatch):
    """As other programs write them; the writer at hand does not know such labels."""
    read = pyreadstat.read_sas7bcat

    def with_letters(*arguments, **options):
        frame, about = read(*arguments, **options)
        about.value_labels["TRUST"]["R"] = "refused"
        return frame, about

    monkeypatch.setattr(pyreadstat, "read_sas7bcat", with_letters)
    found = recognise(alone, Options(catalog=DATA / "formats.sas7bcat"))
    check(found.frame)
    assert found.notes[-1] == "missing, by kind: trust (.R 'refused': 1 row)"


def test_a_catalogue_that_does_not_help_is_said(alone):
    beside = alone.parent / "formats.sas7bcat"
    beside.write_bytes(b"no catalogue")
    found = recognise(alone)
    assert found.frame["arm"].tolist() == ["d", "p"] * 3
    assert found.notes[0].startswith("formats.sas7bcat beside the file cannot be read, so codes have no labels (")
    trial = Path(shutil.copy(DATA.parent / "trial.sas7bdat", alone.parent))
    shutil.copy(DATA / "formats.sas7bcat", beside)
    assert recognise(trial).notes[0] == "formats.sas7bcat has labels for none of the columns"


def test_wrong_catalogues_are_refused_in_words(alone, tmp_path):
    broken = tmp_path / "broken.sas7bcat"
    broken.write_bytes(b"no catalogue")
    with pytest.raises(DataError, match=r"broken.sas7bcat: cannot be read as .sas7bcat"):
        mx.read(alone, catalog=broken)
    with pytest.raises(DataError, match=r"none.sas7bcat: no such file"):
        mx.read(alone, catalog="none.sas7bcat")
    with pytest.raises(OptionError, match=r"'labels.csv' is no catalogue of SAS"):
        mx.read(alone, catalog="labels.csv")
    table = tmp_path / "a.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(OptionError, match=r"catalog= is for data of SAS \(.sas7bdat\), and .*a.csv is another kind"):
        mx.read(table, catalog=DATA / "formats.sas7bcat")
