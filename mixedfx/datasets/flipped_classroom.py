"""A simulated course: exam scores of students whose professors teach in one of three styles.

    score = mean of the style + deviation of the professor + deviation of the student

in exam points. Nothing else is in the data: the effect of a style is the same for every professor, and the
deviation of a professor has nothing to do with the styles he or she teaches. Two plans are of interest for how
differently they inform a comparison of styles:

* assigned: every professor is randomly assigned one style, as many to each, so that styles can be compared between
  professors only;
* crossed: every professor teaches some students in every style, in proportions of his or her own, so that styles can
  be compared within professors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.datasets.simulated import categorical, level_names
from mixedfx.errors import DataError

STYLE_MEANS: Mapping[str, float] = {"Fully Flipped": 66.0, "Some Flipped": 62.5, "No Flipped": 58.0}
"""Style -> mean score over professors and students, in exam points."""

Plan = Literal["assigned", "crossed"]
PLANS: tuple[Plan, ...] = ("assigned", "crossed")
SEED = 9
"""The seed of ``load("flipped_classroom")``, under both plans.

Chosen from 1 to 10 as courses in which a comparison of styles that ignores the professors misleads visibly. What holds
beyond these courses is a matter of the plan, and is computed from it in the vignette.
"""


@dataclass(frozen=True)
class FlippedClassroomTruth:
    """What made the scores, in exam points.

    Attributes
    ----------
    styles
        Mean score of each style over the population of professors and students.
    professors
        Deviation of each professor.
    sd_professor
        Standard deviation of the population the professors come from.
    sigma
        Standard deviation of students around the mean of their professor and style.
    """

    styles: pd.Series
    professors: pd.Series
    sd_professor: float
    sigma: float

    def contrast(self, first: str, second: str) -> float:
        """Subtract the true means of two styles, ``first - second``.

        Examples
        --------
        >>> from mixedfx.datasets.flipped_classroom import simulate_flipped_classroom
        >>> frame, truth = simulate_flipped_classroom(seed=1)
        >>> truth.contrast("Some Flipped", "Fully Flipped")
        -3.5
        """
        means = self.styles.to_dict()
        for style in (first, second):
            if style not in means:
                raise DataError(f"there is no style {style!r}", hint=f"Styles: {list(means)}.")
        return float(means[first] - means[second])


def simulate_flipped_classroom(
    seed: int | np.random.Generator = SEED,
    *,
    plan: Plan = "assigned",
    n_students: int = 375,
    n_professors: int = 15,
    styles: Mapping[str, float] | None = None,
    sd_professor: float = 6.0,
    sigma: float = 9.0,
) -> tuple[pd.DataFrame, FlippedClassroomTruth]:
    """Simulate the exam scores of a course that tries out flipped classrooms.

    Students are spread evenly over professors. Under the assigned plan each professor teaches one style, drawn at
    random with as many professors for each style as possible. Under the crossed plan a professor's students are split
    over the styles with proportions drawn from a Dirichlet distribution with all parameters 2 (so professors differ in
    how much they flip) and at least one student in each style. Scores are rounded to a tenth of a point and not cut off
    at 0 and 100, which they rarely reach.

    Parameters
    ----------
    seed
        Seed, or a generator to draw from.
    plan
        ``"assigned"``: every professor is assigned one style. ``"crossed"``: every professor teaches in every style.
    n_students, n_professors
        Numbers of students and professors.
    styles
        Style -> mean score; `STYLE_MEANS` where None. The first is the reference category.
    sd_professor
        Standard deviation of the professors' deviations, in points.
    sigma
        Standard deviation of the students' deviations, in points.

    Returns
    -------
    frame : DataFrame
        One row for each student: student (1 to n), professor (category A, B, ...), style (category, in the order of
        `styles`), score.
    truth : FlippedClassroomTruth
        The means of the styles, the deviations of the professors and both standard deviations.

    Raises
    ------
    DataError
        If there are too few students or professors for the plan, or a standard deviation is negative.

    Examples
    --------
    >>> from mixedfx.datasets.flipped_classroom import simulate_flipped_classroom
    >>> frame, truth = simulate_flipped_classroom(seed=1)
    >>> frame.shape, frame["professor"].nunique(), truth.styles.to_dict()
    ((375, 4), 15, {'Fully Flipped': 66.0, 'Some Flipped': 62.5, 'No Flipped': 58.0})
    """
    means = pd.Series(dict(STYLE_MEANS if styles is None else styles), dtype=float, name="mean")
    _check(plan, n_students, n_professors, len(means), sd_professor, sigma)
    rng = np.random.default_rng(seed)
    names = tuple(ascii_uppercase[:n_professors]) if n_professors <= 26 else level_names("P", n_professors)

    professor = np.sort(np.arange(n_students) % n_professors)
    if plan == "assigned":
        style = rng.permutation(np.arange(n_professors) % len(means))[professor]
    else:
        style = np.concatenate(
            [_styles_of_professor(size, len(means), rng) for size in np.bincount(professor, minlength=n_professors)]
        )
    deviations = pd.Series(sd_professor * rng.standard_normal(n_professors), index=list(names), name="deviation")
    score = means.to_numpy()[style] + deviations.to_numpy()[professor] + sigma * rng.standard_normal(n_students)
    frame = pd.DataFrame(
        {
            "student": np.arange(1, n_students + 1),
            "professor": categorical(professor, names),
            "style": categorical(style, [str(name) for name in means.index]),
            "score": score.round(1),
        }
    )
    return frame, FlippedClassroomTruth(means, deviations, sd_professor, sigma)


def _styles_of_professor(size: int, n_styles: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Style of each of one professor's students: every style at least once."""
    counts = 1 + rng.multinomial(size - n_styles, rng.dirichlet(np.full(n_styles, 2.0)))
    return np.repeat(np.arange(n_styles), counts)


def _check(plan: str, n_students: int, n_professors: int, n_styles: int, sd_professor: float, sigma: float) -> None:
    if plan not in PLANS:
        raise DataError(f"there is no plan {plan!r}", hint=f"Plans: {', '.join(map(repr, PLANS))}.")
    if plan == "assigned" and n_professors < n_styles:
        raise DataError(
            f"{n_professors} professors cannot keep to {n_styles} styles", hint="Give a professor for every style."
        )
    needed = n_professors * (n_styles if plan == "crossed" else 1)
    if n_professors < 1 or n_students < needed:
        raise DataError(
            f"{n_students} students are too few for {n_professors} professors and {n_styles} styles",
            hint=f"The {plan} plan needs at least {max(needed, 1)} students and a professor.",
        )
    if not (sd_professor >= 0 and sigma >= 0):
        raise DataError(f"standard deviations cannot be negative: sd_professor={sd_professor}, sigma={sigma}")
