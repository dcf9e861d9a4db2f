"""The cache of executables: whole entries or none, one build however many ask, and no lock outlives its holder."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from mixedfx.bayes.engines import cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXEDFX_CACHE", str(tmp_path))
    return tmp_path / "stan"


def fill(folder):
    """An entry of six bytes."""
    (folder / "program").write_text("binary")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("system", "environment", "expected"),
    [
        ("linux", {"MIXEDFX_CACHE": "/c/mine"}, "/c/mine"),
        ("linux", {"XDG_CACHE_HOME": "/c/xdg"}, "/c/xdg/mixedfx"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/c/home/.cache/mixedfx"),  # the XDG specification: to be ignored
        ("linux", {}, "/c/home/.cache/mixedfx"),
        ("darwin", {"XDG_CACHE_HOME": "/c/xdg"}, "/c/home/Library/Caches/mixedfx"),
        ("win32", {"LOCALAPPDATA": "/c/local"}, "/c/local/mixedfx"),
        ("win32", {}, "/c/home/AppData/Local/mixedfx"),
    ],
)
def test_the_cache_is_where_the_platform_keeps_such_things(monkeypatch, system, environment, expected):
    for name in ("MIXEDFX_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache.sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: Path("/c/home"))
    assert cache.cache_folder() == Path(expected)


def test_an_entry_is_built_once(folder):
    built = []
    for _ in range(2):
        place = cache.entry("k", lambda draft: (built.append(draft), fill(draft)))
    assert len(built) == 1
    assert (place / "program").read_text() == "binary"
    assert names(folder) == ["k"]  # neither draft nor lock is left


def test_a_build_that_fails_leaves_nothing(folder):
    def fail(draft):
        fill(draft)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.entry("k", fail)
    assert names(folder) == []
    assert cache.entry("k", fill).is_dir()


def test_threads_that_ask_at_once_build_once():
    built = []

    def build(draft):
        built.append(draft)
        time.sleep(0.2)
        fill(draft)

    threads = [threading.Thread(target=cache.entry, args=("k", build)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_processes_that_ask_at_once_build_once(tmp_path):
    code = f"""
        import os, time
        from mixedfx.bayes.engines import cache
        def build(draft):
            with open({str(tmp_path / "builds")!r}, "a") as log:
                log.write("built\\n")
            time.sleep(0.5)
            (draft / "program").write_text("binary")
        print((cache.entry("k", build) / "program").read_text())
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["binary\n"] * 3
    assert (tmp_path / "builds").read_text() == "built\n"


def test_a_killed_process_leaves_neither_a_lock_nor_half_an_entry(folder):
    """Killed in the middle of a build, with no chance to clean up: the next builds at once, and removes the rest."""
    code = """
        import time
        from mixedfx.bayes.engines import cache
        def build(draft):
            (draft / "program").write_text("half")
            print("building", flush=True)
            time.sleep(600)
        cache.entry("k", build)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    assert [name.partition("-")[0] for name in names(folder)] == ["k.building", "k.lock"]
    assert len(cache.cache_table()) == 0
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    started = time.perf_counter()
    assert (cache.entry("k", fill) / "program").read_text() == "binary"
    assert time.perf_counter() - started < 10  # the dead one would have held it for ten minutes
    assert names(folder) == ["k"]


def test_the_size_is_visible_and_goes_to_nothing_when_cleared(folder):
    for key in ("first", "second"):
        cache.entry(key, fill)
    table = cache.cache_table()
    assert set(table["key"]) == {"first", "second"}
    assert table["bytes"].tolist() == [6, 6]
    assert cache.clear_cache() == 12
    assert len(cache.cache_table()) == 0
    assert names(folder) == []
    assert cache.clear_cache() == 0


def test_clearing_leaves_what_is_being_built(folder):
    """The build goes on and its entry is there afterwards."""

    def build(draft):
        fill(draft)
        assert cache.clear_cache() == 6  # the other entry
        assert (draft / "program").is_file()

    cache.entry("other", fill)
    cache.entry("k", build)
    assert names(folder) == ["k"]


def test_a_cache_that_does_not_exist_is_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXEDFX_CACHE", str(tmp_path / "nowhere"))
    assert len(cache.cache_table()) == 0
    assert cache.clear_cache() == 0


def test_a_key_tells_its_parts_apart():
    assert cache.key_of("model", "") != cache.key_of("", "model")
    assert cache.key_of("model") == cache.key_of("model")


def test_a_closed_cache_is_replaced_by_one_of_the_process_and_said_once(tmp_path, monkeypatch, capsys):
    """As in a container without a home: a place that even root cannot make."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file" / "mixedfx"))
    cache.process_folder.cache_clear()
    built = []

    def build(folder):
        built.append(folder)
        (folder / "program").write_text("x")

    first = cache.entry("a" * 32, build)
    assert (first / "program").read_text() == "x"
    assert cache.entry("a" * 32, build) == first
    assert cache.entry("b" * 32, build) != first
    assert len(built) == 2
    said = capsys.readouterr().err
    assert said.count("compiled programs cannot be kept in") == 1
    assert cache.VARIABLE in said


def test_a_process_without_a_user_has_no_home(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    cache.process_folder.cache_clear()
    assert cache.cache_table().empty
    assert cache.entry("c" * 32, lambda folder: (folder / "program").write_text("x")).is_dir()
