"""What is written to a file is written whole or not at all, and a place that cannot be written to is said in words."""

import os

import pytest

import mixedfx as mx
from mixedfx.errors import DataError
from mixedfx.output import whole_file, write_whole


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old")
    write_whole(path, b"new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("step", ["write", "replace"])
def test_after_a_failure_the_old_file_stands_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "out.json"
    path.write_text("old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    if step == "replace":
        monkeypatch.setattr(os, "replace", refuse)

    def write_half():
        with whole_file(path) as file:
            file.write(b"n")
            if step == "write":
                refuse()

    with pytest.raises(DataError, match="No space left on device"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "out.json", b"{}")
    assert (tmp_path / "out.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("place", "message"), [("no/such/fit.mfx", "there is no folder"), ("there", "is a folder"), ("", "is empty")]
)
def test_every_writer_refuses_an_impossible_place_in_words(tmp_path, monkeypatch, place, message):
    course = mx.datasets.load("flipped_classroom", plan="crossed")
    posterior = mx.bayes("score ~ style + (1 | professor)", course, seed=1, draws=100, chains=2)
    eff = mx.effects(posterior, "style")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for write, ending in ((posterior.save, ".mfx"), (eff.to_html, ".html"), (eff.plot().save, ".png")):
        with pytest.raises(DataError, match=message):
            write(place.replace(".mfx", ending))
    assert os.listdir(tmp_path) == ["there"]
    assert os.listdir(tmp_path / "there") == []
