"""The course of an optimiser in a file, and back."""

from __future__ import annotations

from typing import Any

from mixedfx.archive import Numbers, numbers, plain, require
from mixedfx.results.optimization import Optimization, Outcome, Step

COURSE = {"outcome": str, "gradient": Numbers, "curvature": Numbers, "steps": list[list[Any]]}


def saved_course(course: Optimization) -> dict[str, Any]:
    """Values for the head of a file."""
    return {
        "outcome": course.outcome.name,
        "gradient": plain(course.gradient),
        "curvature": plain([course.curvature]),
        "steps": [
            [plain(step.theta), *plain([step.criterion, step.max_gradient, step.radius]), bool(step.accepted)]
            for step in course.steps
        ],
    }


def read_course(found: Any) -> Optimization:
    """What `saved_course` wrote.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    """
    require(found, COURSE, "its course")
    if found["outcome"] not in Outcome.__members__:
        raise ValueError(f"unknown outcome {found['outcome']!r:.60}")
    steps = []
    for one in found["steps"]:
        if len(one) != 5 or not isinstance(one[0], list) or not isinstance(one[4], bool):
            raise ValueError(f"{one!r:.60} is no step of an optimiser")
        criterion, gradient, radius = map(float, numbers(one[1:4], 3))
        steps.append(Step(numbers(one[0]), criterion, gradient, radius, one[4]))
    return Optimization(
        tuple(steps), Outcome[found["outcome"]], numbers(found["gradient"]), float(numbers(found["curvature"], 1)[0])
    )  # fmt: skip
