"""Simulated data in the shapes that make a mixed model cheap or dear to fit.

What costs time is the pattern of who meets whom, not the numbers: these simulators imitate the patterns (sizes,
skewed numbers of observations for each level, nesting, local or global crossing) of data sets known in the
literature and draw the response from the very model to be fitted, so that the truth is known. Levels are in random
order: an order that happens to make the factorisation cheap is not given away.

All work on whole arrays; 10^6 rows take a second or two.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.datasets.pairs import Codes, cumulative, distinct_pairs, sample
from mixedfx.datasets.simulated import Column, Group, Simulated, categorical, draw, level_names
from mixedfx.errors import DataError

Seed = int | np.random.Generator


def simulate_insteval(seed: Seed = 0) -> Simulated:
    """Ratings of lectures with the shape of InstEval: 73,421 by 2,972 students of 1,128 lecturers in 14 departments.

    Each lecturer belongs to one department; each student rates a lecturer once. About three ratings in ten are of
    lectures given as a service to students of other departments; the others come from a lecturer's own department.
    Numbers of ratings are skewed, as in the original: every lecturer has about 10 or more and a few have hundreds. The
    variances are those lme4 finds in the original, rounded; ratings are left continuous, so that the model holds
    exactly (the original has whole numbers from 1 to 5).

    Parameters
    ----------
    seed
        Seed, or a generator to draw from.

    Returns
    -------
    Simulated
        Columns y, s (student), d (lecturer), dept, service (0/1).

    Examples
    --------
    >>> from mixedfx.datasets.benchmark_shapes import simulate_insteval
    >>> simulated = simulate_insteval(seed=1)
    >>> len(simulated.data), {label: len(effects) for label, effects in simulated.truth.u.items()}
    (73421, {'s': 2972, 'd': 1128, 'dept': 14})

    References
    ----------
    The shape and the fit: data set InstEval of lme4; Bates, Maechler, Bolker and Walker (2015), Fitting linear
    mixed-effects models using lme4, Journal of Statistical Software 67(1).
    """
    n, students, lecturers, departments = 73_421, 2_972, 1_128, 14
    rng = np.random.default_rng(seed)
    # Departments differ in size up to a factor of three; the first row of each is there so that none is empty.
    size = cumulative(np.linspace(1.0, 3.0, departments))
    home = rng.permutation(np.concatenate([np.arange(departments), sample(size, students - departments, rng)]))
    dept = rng.permutation(np.concatenate([np.arange(departments), sample(size, lecturers - departments, rng)]))
    service_share = rng.beta(0.3, 0.9, lecturers)
    activity = rng.gamma(2.5, size=students)
    popularity = rng.lognormal(0.0, 1.4, lecturers)

    # Students sorted by department: the students of a department are then a stretch of one cumulative sum.
    order = np.argsort(home, kind="stable")
    stretch = np.concatenate([[0.0], np.cumsum(activity[order])])
    edges = np.searchsorted(home[order], np.arange(departments + 1))

    def pairs(lecturer: Codes) -> tuple[Codes, Codes]:
        anywhere = rng.random(len(lecturer)) < service_share[lecturer]
        low = np.where(anywhere, 0.0, stretch[edges[dept[lecturer]]])
        high = np.where(anywhere, stretch[-1], stretch[edges[dept[lecturer] + 1]])
        position = np.searchsorted(stretch, low + (high - low) * rng.random(len(lecturer)), side="right") - 1
        return order[np.minimum(position, students - 1)], lecturer

    # Ratings that must be there: one of each student, ten of each lecturer (a few more are drawn: some pairs recur).
    obliged_student, obliged_lecturer = pairs(np.repeat(np.arange(lecturers), 11))
    obliged = (
        np.concatenate([np.arange(students), obliged_student]),
        np.concatenate([rng.integers(lecturers, size=students), obliged_lecturer]),
    )
    share = cumulative(popularity)
    s, d = distinct_pairs(n, lecturers, obliged, lambda count: pairs(sample(share, count, rng)), rng)

    frame = pd.DataFrame(
        {
            "s": categorical(s, level_names("s", students)),
            "d": categorical(d, level_names("d", lecturers)),
            "dept": categorical(dept[d], level_names("D", departments)),
            "service": (home[s] != dept[d]).astype(np.int64),
        }
    )
    random = [_intercepts(frame, "s", 0.33), _intercepts(frame, "d", 0.52), _intercepts(frame, "dept", 0.08)]
    return draw(
        frame,
        "y ~ service + (1 | s) + (1 | d) + (1 | dept)",
        fixed=(Column(), _numeric("service")),
        beta=[3.28, -0.09],
        random=random,
        sigma=1.18,
        rng=rng,
    )


def simulate_nested_slopes(n_schools: int = 2_000, classes: int = 5, pupils: int = 10, seed: Seed = 0) -> Simulated:
    """Pupils in classes in schools; the slope on x varies over schools, the intercept over both.

    Parameters
    ----------
    n_schools, classes, pupils
        Number of schools, classes in each school, pupils in each class.
    seed
        Seed, or a generator to draw from.

    Returns
    -------
    Simulated
        Columns y, x, school, classroom (labels unique over schools).

    Examples
    --------
    >>> from mixedfx.datasets.benchmark_shapes import simulate_nested_slopes
    >>> simulate_nested_slopes(20, classes=2, pupils=5, seed=1).formula
    'y ~ x + (1 + x | school) + (1 | classroom)'
    """
    rng = np.random.default_rng(seed)
    n_classes = n_schools * classes
    # A random order of labels, so that the labels do not tell which classes share a school.
    label = rng.permutation(n_classes)
    classroom = np.repeat(np.arange(n_classes), pupils)
    frame = pd.DataFrame(
        {
            "x": rng.standard_normal(len(classroom)),
            "school": categorical(classroom // classes, level_names("s", n_schools)),
            "classroom": categorical(label[classroom], level_names("c", n_classes)),
        }
    )
    slope = np.array([[0.8, 0.0], [0.2 * 0.3, 0.2 * np.sqrt(1 - 0.3**2)]])
    school = Group(("school",), _levels(frame, "school"), (Column(), _numeric("x")), slope)
    return draw(
        frame,
        "y ~ x + (1 + x | school) + (1 | classroom)",
        fixed=(Column(), _numeric("x")),
        beta=[1.0, 0.5],
        random=[school, _intercepts(frame, "classroom", 0.5)],
        sigma=1.0,
        rng=rng,
    )


def simulate_crossed_ratings(
    n: int = 1_000_000, n_users: int = 6_040, n_items: int = 3_706, seed: Seed = 0
) -> Simulated:
    """Ratings of items by users, each pair at most once, with skewed numbers on both sides.

    The default sizes are those of the MovieLens 1M ratings. Activity of users and popularity of items are
    log-normal, the latter with the longer tail: the most popular items meet over half of the users. Every user and
    item has a rating.

    Parameters
    ----------
    n
        Number of ratings; at most a quarter of the pairs.
    n_users, n_items
        Numbers of users and items.
    seed
        Seed, or a generator to draw from.

    Returns
    -------
    Simulated
        Columns y, user, item.

    Raises
    ------
    DataError
        If `n` is under the number of users and items together or over a quarter of the pairs.

    Examples
    --------
    >>> from mixedfx.datasets.benchmark_shapes import simulate_crossed_ratings
    >>> simulated = simulate_crossed_ratings(1_000, n_users=100, n_items=80, seed=1)
    >>> len(simulated.data.drop_duplicates(["user", "item"]))
    1000
    """
    if not n_users + n_items <= n <= n_users * n_items / 4:
        raise DataError(
            f"{n} ratings of {n_items} items by {n_users} users",
            hint=f"Give n from {n_users + n_items} to {n_users * n_items // 4}.",
        )
    rng = np.random.default_rng(seed)
    activity = cumulative(rng.lognormal(0.0, 1.0, n_users))
    popularity = cumulative(rng.lognormal(0.0, 1.4, n_items))

    def pairs(size: int) -> tuple[Codes, Codes]:
        return sample(activity, size, rng), sample(popularity, size, rng)

    obliged = (
        np.concatenate([np.arange(n_users), sample(activity, n_items, rng)]),
        np.concatenate([sample(popularity, n_users, rng), np.arange(n_items)]),
    )
    user, item = distinct_pairs(n, n_items, obliged, pairs, rng)
    frame = pd.DataFrame(
        {
            "user": categorical(user, level_names("u", n_users)),
            "item": categorical(item, level_names("i", n_items)),
        }
    )
    return draw(
        frame,
        "y ~ 1 + (1 | user) + (1 | item)",
        fixed=(Column(),),
        beta=[3.5],
        random=[_intercepts(frame, "user", 0.4), _intercepts(frame, "item", 0.6)],
        sigma=0.9,
        rng=rng,
    )


def simulate_locally_crossed(
    n_units: int = 50_000, n_places: int = 10_000, rows: int = 10, neighbours: int = 30, seed: Seed = 0
) -> Simulated:
    """Two crossed factors that meet locally: each unit meets only the places near to it on a ring.

    Each unit has a home on the ring of places and `rows` observations, each at one of the `neighbours` places next to
    that home. After an elimination of the units the factor of the places is banded, up to a reordering: sparse methods
    need little memory where a dense block of places by places would need hundreds of megabytes.

    Parameters
    ----------
    n_units, n_places
        Numbers of levels; the number of rows is ``n_units * rows``.
    rows
        Observations of each unit.
    neighbours
        Number of places a unit can meet.
    seed
        Seed, or a generator to draw from.

    Returns
    -------
    Simulated
        Columns y, unit, place.

    Raises
    ------
    DataError
        If there are more neighbours than places.

    Examples
    --------
    >>> from mixedfx.datasets.benchmark_shapes import simulate_locally_crossed
    >>> simulate_locally_crossed(100, n_places=50, rows=4, neighbours=5, seed=1).data.shape
    (400, 3)
    """
    if not 1 <= neighbours <= n_places:
        raise DataError(f"{neighbours} neighbours among {n_places} places", hint=f"Give 1 to {n_places} neighbours.")
    rng = np.random.default_rng(seed)
    n = n_units * rows
    home = rng.integers(n_places, size=n_units)
    unit = np.repeat(np.arange(n_units), rows)
    position = (home[unit] + rng.integers(neighbours, size=n)) % n_places
    frame = pd.DataFrame(
        {
            "unit": categorical(unit, level_names("u", n_units)),
            "place": categorical(rng.permutation(n_places)[position], level_names("p", n_places)),
        }
    )
    return draw(
        frame,
        "y ~ 1 + (1 | unit) + (1 | place)",
        fixed=(Column(),),
        beta=[1.0],
        random=[_intercepts(frame, "unit", 0.7), _intercepts(frame, "place", 0.5)],
        sigma=1.0,
        rng=rng,
    )


def simulate_subjects_items(
    n_subjects: int = 56,
    n_items: int = 32,
    *,
    slopes: Literal["main", "maximal"] = "maximal",
    singular: bool = False,
    seed: Seed = 0,
) -> Simulated:
    """Reaction times of subjects to items in a 2 x 2 x 2 experiment, with many random slopes (the shape of kb07).

    Each subject responds once to each item, in one of the eight conditions of three factors a, b, c (coded -1 and
    1); the conditions rotate over subjects and items (a Latin square), so that both meet all of them.

    Parameters
    ----------
    n_subjects, n_items
        Numbers of levels; the number of rows is their product.
    slopes
        ``"maximal"``: all 8 effects vary by subject and by item (72 covariance parameters); ``"main"``: the
        intercept and the three main effects do (20 parameters).
    singular
        True: both covariance matrices have rank 2, so that the maximum lies on the boundary of the parameter space.
    seed
        Seed, or a generator to draw from.

    Returns
    -------
    Simulated
        Columns y (milliseconds), a, b, c, subject, item.

    Raises
    ------
    DataError
        If `slopes` is neither of the two.

    Examples
    --------
    >>> from mixedfx.datasets.benchmark_shapes import simulate_subjects_items
    >>> simulate_subjects_items(slopes="main", seed=1).formula
    'y ~ 1 + a*b*c + (1 + a + b + c | subject) + (1 + a + b + c | item)'

    References
    ----------
    The shape: Kronmueller and Barr (2007), Journal of Memory and Language 56, 436-455; as a test of maximal models:
    Bates, Kliegl, Vasishth and Baayen (2015), Parsimonious mixed models, arXiv:1506.04967.
    """
    if slopes not in ("main", "maximal"):
        raise DataError(f"there is no choice of slopes {slopes!r}", hint="Choices: 'main', 'maximal'.")
    rng = np.random.default_rng(seed)
    subject, item = (codes.ravel() for codes in np.indices((n_subjects, n_items)))
    condition = (subject + item) % 8
    frame = pd.DataFrame({name: 2 * (condition >> bit & 1) - 1 for bit, name in enumerate("abc")})
    frame["subject"] = categorical(subject, level_names("S", n_subjects))
    frame["item"] = categorical(item, level_names("I", n_items))

    terms = [term for degree in range(4) for term in combinations("abc", degree)]
    fixed = tuple(Column(tuple((name, None) for name in term)) for term in terms)
    varying = fixed if slopes == "maximal" else fixed[:4]
    left = "1 + a*b*c" if slopes == "maximal" else "1 + a + b + c"
    by_subject = _dense_factor(np.array([300.0, 70, 90, 60, 40, 30, 40, 20])[: len(varying)], 0.3, singular)
    by_item = _dense_factor(np.array([350.0, 60, 220, 50, 30, 40, 30, 20])[: len(varying)], 0.2, singular)
    return draw(
        frame,
        f"y ~ 1 + a*b*c + ({left} | subject) + ({left} | item)",
        fixed=fixed,
        beta=[2180.0, -70, -330, 80, 20, -20, 20, 10],
        random=[
            Group(("subject",), _levels(frame, "subject"), varying, by_subject),
            Group(("item",), _levels(frame, "item"), varying, by_item),
        ],
        sigma=670.0,
        rng=rng,
    )


def _numeric(name: str) -> Column:
    return Column(((name, None),))


def _levels(frame: pd.DataFrame, name: str) -> tuple[str, ...]:
    return tuple(frame[name].cat.categories)


def _intercepts(frame: pd.DataFrame, name: str, sd: float) -> Group:
    """Make a grouping factor with intercepts only."""
    return Group((name,), _levels(frame, name), (Column(),), np.array([[sd]]))


def _dense_factor(sds: NDArray[np.float64], correlation: float, singular: bool) -> NDArray[np.float64]:
    """Lower triangle with rows of length `sds`: equal correlations, or the leading two columns of such a triangle."""
    k = len(sds)
    T = np.linalg.cholesky(np.full((k, k), correlation) + (1 - correlation) * np.eye(k))
    if singular:
        # Alternating signs in the second column keep the rows from being all nearly parallel.
        T[:, 2:] = 0.0
        T[1:, 1] = np.where(np.arange(1, k) % 2, 1.0, -1.0) * np.abs(T[1:, 1])
        T /= np.linalg.norm(T, axis=1, keepdims=True)
    return sds[:, None] * T
