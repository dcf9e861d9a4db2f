"""Chains' own lines of progress: read as they arrive, shown on standard error, and no thread left behind."""

import threading

import pytest

from mixedfx.bayes.engines.progress import LineReader, chain_lines, read_line, standard_output_read_by


def test_lines_arrive_in_pieces_and_from_several_threads():
    seen = []
    reader = LineReader(lambda *line: seen.append(line))
    other = threading.Thread(
        target=print, args=("Chain [2] Iteration:   5 / 20 [ 25%]  (Warmup)",), kwargs={"file": reader}
    )
    reader.write("Chain [1] Iter")
    other.start()
    other.join()
    reader.write("ation:  20 / 20 [100%]  (Sampling)\nElapsed Time: 0.1 seconds\n")
    assert seen == [(1, 5, "Warmup"), (0, 20, "Sampling")]


@pytest.mark.parametrize(
    "line", ["", "Chain [1] ", "Iteration: many / 20 [ 5%] (Warmup)", " Elapsed Time: 1 seconds (Warm-up)"]
)
def test_other_lines_are_no_progress(line):
    assert read_line(line) is None


def interrupted():
    """A bar that an interrupt ends."""
    with chain_lines(2, 100, True) as report, standard_output_read_by(report):
        print("Chain [2] Iteration: 100 / 100 [100%]  (Sampling)")
        print("Chain [9] Iteration: 100 / 100 [100%]  (Sampling)")
        raise KeyboardInterrupt


def test_the_bar_writes_to_standard_error_and_ends_with_its_context(capsys):
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threading.active_count() == before
    said = capsys.readouterr()
    assert said.out == ""
    assert "chain 1" in said.err
    assert "100/100 iterations" in said.err


def test_nothing_is_written_where_no_bar_is_shown(capsys):
    with chain_lines(2, 100, False) as report, standard_output_read_by(report):
        print("kept")
    assert report is None
    assert capsys.readouterr() == ("kept\n", "")
