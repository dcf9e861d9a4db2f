"""A census of 10^6 cells is a matter of seconds; the numbers themselves are checked in test_invariance.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MEASURE = "import json, sys; from tests.effects.scale import measure; print(json.dumps(measure(sys.argv[1])))"


def measured(kind: str) -> dict[str, float]:
    """In a process of its own: the peak of the memory is that of this question."""
    done = subprocess.run([sys.executable, "-c", MEASURE, kind], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reml", "posterior"])
def test_a_million_distinct_cells_in_three_seconds_and_one_gigabyte(kind):
    found = measured(kind)
    # Time of the processor: other work on the machine does not count.
    assert found["processor"] < 3.0
    assert found["peak GB"] < 1.0


@pytest.mark.slow
def test_a_hundred_thousand_unseen_intersections_stay_below_a_gigabyte():
    """A draw of each for every draw of the posterior would be 4 x 10^8 numbers."""
    found = measured("deep")
    assert found["processor"] < 6.0
    assert found["peak GB"] < 1.0


@pytest.mark.slow
def test_another_link_streams_below_two_gigabytes_and_shows_how_far_it_is():
    found = measured("logit")
    assert found["peak GB"] < 2.0
    assert found["progress"] > 5  # ten changes a second, after the first
