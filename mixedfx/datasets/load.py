"""The data sets that come with the package: `load`, `names`, `describe`, `about`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from typing import Any

import pandas as pd

from mixedfx.datasets.flipped_classroom import SEED, Plan, simulate_flipped_classroom
from mixedfx.errors import DataError, OptionError


@dataclass(frozen=True)
class Dataset:
    """What is known about one data set, without its rows.

    Attributes
    ----------
    name
        The name to `load` it by.
    summary
        What one row is and what was measured, in a sentence or two.
    columns
        Column -> meaning and unit.
    source
        Where the data come from.
    licence
        Under which terms they may be used.
    caveats
        What to keep in mind when reading results.
    """

    name: str
    summary: str
    columns: Mapping[str, str]
    source: str
    licence: str
    caveats: tuple[str, ...]


def load(name: str, *, plan: Plan | None = None) -> pd.DataFrame:
    """Load a data set that comes with the package.

    ``"star"``: 5,826 kindergartners of Project STAR, the Tennessee experiment of 1985 to 1989 in which pupils were
    assigned at random to small classes (13 to 17 pupils), regular classes (22 to 25 pupils) or regular classes with
    a teacher's aide. One row is one pupil.

    ======= ========= =========================================================================================
    column  type      meaning
    ======= ========= =========================================================================================
    id      integer   pupil
    sch     category  school, "1" to "80" (79 of them; there is no school 77)
    math    integer   Stanford Achievement Test, mathematics, scaled score at the end of kindergarten
    read    number    the same for reading; missing for 85 pupils
    small   integer   1: small class; 0: regular class, with or without an aide
    cltype  category  the class as assigned: reg, reg+A (regular with aide), small
    race    category  Black, White
    gender  category  boy, girl
    lunch   category  free: entitled to free school lunch; paid: not entitled
    schtype category  inner (city), rural, suburb, urban
    ======= ========= =========================================================================================

    Pupils were randomised within schools, and the share in small classes differs from school to school: compare
    within schools (keep a term for ``sch`` in the model). ``small == 0`` pools regular classes with and without an
    aide; ``cltype`` tells them apart. Kept are pupils recorded as Black or White whose mathematics score, gender,
    lunch and class are known: a selection made after randomisation. Classes and teachers are not identified, so
    what pupils of one class share beyond their school cannot be modelled, and intervals leave it out.

    Source: C. M. Achilles, H. P. Bain, F. Bellott, J. Boyd-Zaharias, J. Finn, J. Folger, J. Johnston and E. Word
    (2008), Tennessee's Student Teacher Achievement Ratio (STAR) project, Harvard Dataverse, doi:10.7910/DVN/SIWH9F.
    Licence: CC0 1.0.

    ``"flipped_classroom"``: 375 students in the classes of 15 professors, each of whom was assigned one of three
    teaching styles; with ``plan="crossed"`` each teaches in all three. Simulated, see
    `mixedfx.datasets.flipped_classroom.simulate_flipped_classroom`, whose default seed and arguments made them.

    ``"school_calendars"``: what modified school calendars did to achievement in 56 schools of 11 districts,
    standardised mean differences with their sampling variances: the table of Konstantopoulos (2011, Research Synthesis
    Methods 2(1):61, doi:10.1002/jrsm.35), from the synthesis of Cooper and others (2003). One row is one school.

    Parameters
    ----------
    name
        One of `names`.
    plan
        Of ``"flipped_classroom"``: ``"assigned"`` (where None) or ``"crossed"``.

    Returns
    -------
    DataFrame
        A copy of the reader's own.

    Raises
    ------
    DataError
        If there is no data set of that name; the message offers the nearest.
    OptionError
        A plan of a data set that has none.

    Examples
    --------
    >>> from mixedfx.datasets.load import load
    >>> load("star").groupby("small")["math"].mean().round(1).to_dict()
    {0: 483.0, 1: 491.1}
    """
    _known(name)
    if plan is None:
        return _LOADERS[name]()
    if name != "flipped_classroom":
        raise OptionError(f"the data set {name!r} has no plans", hint='Leave plan= out; "flipped_classroom" has two.')
    return simulate_flipped_classroom(plan=plan)[0]


def names() -> tuple[str, ...]:
    """Names of the data sets, in the order of `describe`.

    Examples
    --------
    >>> from mixedfx.datasets.load import names
    >>> names()
    ('star', 'flipped_classroom', 'school_calendars')
    """
    return tuple(_CATALOGUE)


def about(name: str) -> Dataset:
    """Meaning of the columns, source, licence and caveats of a data set.

    Parameters
    ----------
    name
        One of `names`.

    Returns
    -------
    Dataset
        The entry of the catalogue.

    Raises
    ------
    DataError
        If there is no data set of that name; the message offers the nearest.

    Examples
    --------
    >>> from mixedfx.datasets.load import about
    >>> about("star").columns["lunch"]
    'free: entitled to free school lunch; paid: not entitled'
    """
    return _known(name)


def describe() -> pd.DataFrame:
    """Table of the data sets.

    Returns
    -------
    DataFrame
        One row for each data set: name, rows, columns (their number), summary, source, licence.

    Examples
    --------
    >>> from mixedfx.datasets.load import describe
    >>> print(describe()[["name", "rows", "columns"]].to_string(index=False))
                 name  rows  columns
                 star  5826       10
    flipped_classroom   375        4
     school_calendars    56        6
    """
    records = []
    for entry in _CATALOGUE.values():
        rows, columns = load(entry.name).shape
        records.append(
            {
                "name": entry.name,
                "rows": rows,
                "columns": columns,
                "summary": entry.summary,
                "source": entry.source,
                "licence": entry.licence,
            }
        )
    return pd.DataFrame(records)


_STAR = Dataset(
    name="star",
    summary="Kindergartners of Project STAR, assigned at random to small or regular classes within 79 schools.",
    columns={
        "id": "pupil",
        "sch": "school",
        "math": "Stanford Achievement Test, mathematics, scaled score at the end of kindergarten",
        "read": "Stanford Achievement Test, reading, scaled score at the end of kindergarten; missing for 85 pupils",
        "small": "1: small class (13 to 17 pupils); 0: regular class (22 to 25 pupils), with or without an aide",
        "cltype": "the class as assigned: reg, reg+A (regular with aide), small",
        "race": "Black, White",
        "gender": "boy, girl",
        "lunch": "free: entitled to free school lunch; paid: not entitled",
        "schtype": "inner (city), rural, suburb, urban",
    },
    source=(
        "Achilles, Bain, Bellott, Boyd-Zaharias, Finn, Folger, Johnston and Word (2008), Tennessee's Student Teacher "
        "Achievement Ratio (STAR) project, Harvard Dataverse, doi:10.7910/DVN/SIWH9F"
    ),
    licence="CC0 1.0 (public domain dedication)",
    caveats=(
        "Pupils were randomised within schools, with different shares: keep a term for sch in the model.",
        "small == 0 pools regular classes with and without an aide; cltype tells them apart.",
        "Kept are pupils recorded as Black or White with known mathematics score, gender, lunch and class.",
        "Classes and teachers are not identified, so intervals leave out what pupils of one class share.",
    ),
)

_FLIPPED_CLASSROOM = Dataset(
    name="flipped_classroom",
    summary="Exam scores of 375 students in 15 classes, whose professors flip them fully, in part or not at all.",
    columns={
        "student": "student, 1 to 375",
        "professor": "professor, A to O; each teaches a class of 25 students in the style assigned",
        "style": "Fully Flipped (the reference), Some Flipped, No Flipped",
        "score": "exam score in points",
    },
    source=(f"simulated: mixedfx.datasets.simulate_flipped_classroom(seed={SEED}), which also gives the truth"),
    licence="BSD-3-Clause (made by this package)",
    caveats=(
        "Simulated: it says nothing about real classrooms.",
        'load(..., plan="crossed") is another course, in which every professor teaches in all three styles.',
    ),
)

_SCHOOL_CALENDARS = Dataset(
    name="school_calendars",
    summary="Effects of modified school calendars on achievement in 56 schools of 11 districts, for meta-analysis.",
    columns={
        "study": "school, 1 to 56",
        "district": "school district, 11 of them",
        "school": "school within its district, counted from 1",
        "year": "year of the study",
        "yi": "standardised mean difference, modified against traditional calendar",
        "vi": "its sampling variance",
    },
    source=(
        "Konstantopoulos (2011), Fixed effects and variance components estimation in three-level meta-analysis, "
        "Research Synthesis Methods 2(1):61, doi:10.1002/jrsm.35; the synthesis is that of Cooper, Valentine, Charlton "
        "and Melson (2003), Review of Educational Research 73(1):1"
    ),
    licence="figures of a published table, re-keyed: facts, cited",
    caveats=(
        "Schools of one district share calendars, pupils and evaluators: they are not independent.",
        "Variances are as printed, to three decimals; in one district every one is 0.001.",
    ),
)

_CATALOGUE = {entry.name: entry for entry in (_STAR, _FLIPPED_CLASSROOM, _SCHOOL_CALENDARS)}

# Categories and their order; the first is the reference category of a treatment-coded factor.
_STAR_CATEGORIES = {
    "sch": [str(number) for number in range(1, 81) if number != 77],
    "cltype": ["reg", "reg+A", "small"],
    "race": ["Black", "White"],
    "gender": ["boy", "girl"],
    "lunch": ["free", "paid"],
    "schtype": ["inner", "rural", "suburb", "urban"],
}


def _load_star() -> pd.DataFrame:
    with resources.files("mixedfx.datasets").joinpath("_data/star.csv.gz").open("rb") as file:
        types: dict[Hashable, Any] = {"read": "float64", **dict.fromkeys(_STAR_CATEGORIES, str)}
        frame = pd.read_csv(file, compression="gzip", dtype=types)
    for column, categories in _STAR_CATEGORIES.items():
        frame[column] = pd.Categorical(frame[column], categories=pd.Index(categories))
    return frame


def _load_flipped_classroom() -> pd.DataFrame:
    return simulate_flipped_classroom()[0]


def _load_school_calendars() -> pd.DataFrame:
    with resources.files("mixedfx.datasets").joinpath("_data/school_calendars.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, dtype={"yi": "float64", "vi": "float64"})
    for column in ("district", "school"):
        categories = [str(number) for number in sorted(frame[column].unique())]
        frame[column] = pd.Categorical(frame[column].astype(str), categories=pd.Index(categories))
    return frame


_LOADERS: Mapping[str, Callable[[], pd.DataFrame]] = {
    "star": _load_star,
    "flipped_classroom": _load_flipped_classroom,
    "school_calendars": _load_school_calendars,
}


def _known(name: str) -> Dataset:
    if name in _CATALOGUE:
        return _CATALOGUE[name]
    nearest = get_close_matches(str(name).lower(), _CATALOGUE, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, nearest))}?" if nearest else f"Data sets: {', '.join(_CATALOGUE)}."
    raise DataError(f"there is no data set {name!r}", hint=hint)
