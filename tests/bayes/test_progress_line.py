"""The line of progress: after a second, on standard error, gone at the end, and silent where nobody looks."""

import io
import sys

import pytest

from mixedfx.bayes.progress_line import ProgressLine


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_quick_work_shows_nothing(capsys):
    clock = Clock()
    with ProgressLine(True, clock) as report:
        for clock.now in (0.0, 0.5, 0.99):
            report("weighing points", 10, 100)
        assert report.bar is None
    assert capsys.readouterr() == ("", "")


def test_slow_work_shows_the_stage_and_how_far_it_is(capsys):
    clock, shown = Clock(), []
    with ProgressLine(True, clock) as report:
        for clock.now, *said in (
            (1.2, "searching for modes", 0, 0),
            (1.25, "NUTS, warm-up", 30, 1300),  # another stage is shown at once
            (1.26, "NUTS, warm-up", 31, 1300),  # the next iteration is not
            (1.4, "NUTS, warm-up", 77, 1300),
        ):
            report(*said)
            task = report.bar.tasks[0]
            shown.append((task.description, task.fields["count"]))
    assert shown == [
        ("searching for modes", ""),
        ("NUTS, warm-up", "30/1300"),
        ("NUTS, warm-up", "30/1300"),
        ("NUTS, warm-up", "77/1300"),
    ]
    out, err = capsys.readouterr()
    assert out == ""
    assert "NUTS, warm-up" in err
    assert "77/1300" in err


def test_it_is_off_where_standard_error_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not ProgressLine(None).shown
    assert ProgressLine(True).shown


def interrupted(clock):
    with ProgressLine(True, clock) as report:
        clock.now = 2.0
        report("NUTS, sampling", 5, 10)
        raise KeyboardInterrupt


def test_an_interrupt_passes_and_stops_the_line():
    with pytest.raises(KeyboardInterrupt):
        interrupted(Clock())
