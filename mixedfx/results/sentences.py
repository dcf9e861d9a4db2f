"""Answers in words: a small grammar from an estimate with its interval to a sentence.

Every function here is pure: numbers and names in, text out. A sentence says in this order whom it is about, what does
what to what, by how much in which unit, and the interval:

    On average over 5,826 rows, small (1 against 0) raises math by 8.1 points (95 % interval 6.4 to 9.8).

What a sentence may say is decided by the interval alone:

=============================  ==================================================================================
the interval                   the sentence
=============================  ==================================================================================
lies above the null            "raises ... by": the size, and the interval
lies below it                  "lowers ... by": both as amounts taken away, so that signs and verb do not cross
holds the null                 "may raise or lower ...": the estimate with its sign, and the interval
is one point, the null         "does not change ... in this model"
is not known                   the estimate, and that there is no interval
=============================  ==================================================================================

An interval that holds the null never becomes "has no effect": that nothing was found is no finding of nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Literal

Form = Literal["add", "times"]
Direction = Literal["raises", "lowers", "open", "none", "point", "unknown"]


@dataclass(frozen=True)
class Claim:
    """One number, as a sentence needs it.

    Attributes
    ----------
    cause
        What is compared: ``"small (1 against 0)"``, ``"one unit more of dose"``.
    outcome
        What it does something to: ``"math"``, ``"the probability of passed"``.
    estimate, lower, upper
        The number and its interval, in the unit; NaN where not known.
    level
        Probability that the interval holds.
    null
        The value at which the cause does nothing.
    form
        ``"add"``: so much more; ``"times"``: so many times as much.
    unit
        ``"points"``, ``"%"``; empty for none.
    places
        Decimals.
    about
        Whom it is about, as the sentence begins: ``"On average over 5,826 rows"``; empty for nothing.
    plural
        Whether the cause is a plural: "small classes raise".
    """

    cause: str
    outcome: str
    estimate: float
    lower: float
    upper: float
    level: float = 0.95
    null: float = 0.0
    form: Form = "add"
    unit: str = ""
    places: int = 2
    about: str = ""
    plural: bool = False


def direction(estimate: float, lower: float, upper: float, null: float = 0.0) -> Direction:
    """What an interval allows to be said.

    Examples
    --------
    >>> from mixedfx.results.sentences import direction
    >>> direction(8.0, 4.1, 12.0), direction(-2.0, -5.0, 1.0), direction(0.0, 0.0, 0.0)
    ('raises', 'open', 'none')
    """
    if isnan(estimate):
        return "unknown"
    if isnan(lower) or isnan(upper):
        return "point"
    if lower == upper == null:
        return "none"
    if lower > null:
        return "raises"
    return "lowers" if upper < null else "open"


def effect_sentence(claim: Claim) -> str:
    """The sentence of one effect.

    Examples
    --------
    >>> from mixedfx.results.sentences import Claim, effect_sentence
    >>> small = Claim("small classes", "mathematics", 8.0, 4.1, 12.0, unit="points", places=1, plural=True)
    >>> print(effect_sentence(small))
    Small classes raise mathematics by 8.0 points (95 % interval 4.1 to 12.0).
    >>> print(effect_sentence(Claim("dose (1 against 0)", "pain", -2.0, -3.5, -0.5, places=1, about="In women")))
    In women, dose (1 against 0) lowers pain by 2.0 (95 % interval 0.5 to 3.5).
    >>> print(effect_sentence(Claim("dose (1 against 0)", "pain", -2.0, -5.0, 1.0, places=1)))
    Dose (1 against 0) may raise or lower pain: the estimate is -2.0 (95 % interval -5.0 to 1.0).
    >>> print(effect_sentence(Claim("coaching", "the odds of passing", 1.5, 1.1, 2.05, null=1.0, form="times")))
    Coaching multiplies the odds of passing by 1.50 (95 % interval 1.10 to 2.05).
    """
    said = direction(claim.estimate, claim.lower, claim.upper, claim.null)
    if said == "unknown":
        return _begun(claim, f"the data do not determine what {claim.cause} does to {claim.outcome}")
    if said == "none":
        verb = "do not change" if claim.plural else "does not change"
        return _begun(claim, f"{claim.cause} {verb} {claim.outcome} in this model")
    if said == "point":
        change = f"changes {claim.outcome} by" if claim.form == "add" else f"multiplies {claim.outcome} by"
        size = sized(claim.estimate, claim.places, claim.unit, signed=claim.form == "add")
        return _begun(claim, f"{claim.cause} {_number_of(change, claim.plural)} {size}; there is no interval")
    if said == "open":
        subject = f"{claim.cause} may raise or lower {claim.outcome}"
        what = "the estimate is" if claim.form == "add" else "the estimate is a factor of"
        size = sized(claim.estimate, claim.places, claim.unit)
        return _begun(claim, f"{subject}: {what} {size} ({interval_text(claim)})")
    if claim.form == "times":
        size = sized(claim.estimate, claim.places, claim.unit)
        verb = _number_of("multiplies", claim.plural)
        return _begun(claim, f"{claim.cause} {verb} {claim.outcome} by {size} ({interval_text(claim)})")
    size = sized(abs(claim.estimate), claim.places, claim.unit)
    verb = _number_of(said, claim.plural)
    text = interval_text(claim, flipped=said == "lowers")
    return _begun(claim, f"{claim.cause} {verb} {claim.outcome} by {size} ({text})")


def average_sentence(claim: Claim) -> str:
    """The sentence of one average outcome; the cause says nothing here.

    Examples
    --------
    >>> from mixedfx.results.sentences import Claim, average_sentence
    >>> print(average_sentence(Claim("", "math", 485.24, 482.0, 488.4, places=1, about="Over 5,826 rows")))
    Over 5,826 rows, the average of math is 485.2 (95 % interval 482.0 to 488.4).
    """
    # "the average of math", "the average probability of passed"
    what = claim.outcome.removeprefix("the ") if claim.outcome.startswith("the ") else f"of {claim.outcome}"
    if isnan(claim.estimate):
        return _begun(claim, f"the data do not determine the average {what}")
    size = sized(claim.estimate, claim.places, claim.unit)
    known = "" if isnan(claim.lower) else f" ({interval_text(claim)})"
    return _begun(claim, f"the average {what} is {size}{known}")


def difference_sentence(claim: Claim, against: str) -> str:
    """The sentence of the difference between two subgroups: `cause` names the first, `outcome` the effect.

    Examples
    --------
    >>> from mixedfx.results.sentences import Claim, difference_sentence
    >>> print(difference_sentence(Claim("Black", "the effect of small on math", 5.2, 1.0, 9.4, places=1), "White"))
    The effect of small on math is larger for Black than for White by 5.2 (95 % interval 1.0 to 9.4).
    """
    said = direction(claim.estimate, claim.lower, claim.upper, claim.null)
    if said in ("unknown", "none", "point", "open"):
        found = (
            "" if isnan(claim.estimate) else f": the difference is {sized(claim.estimate, claim.places, claim.unit)}"
        )
        known = "" if isnan(claim.lower) else f" ({interval_text(claim)})"
        return _begun(
            claim, f"whether {claim.outcome} differs between {claim.cause} and {against} is open{found}{known}"
        )
    more = "larger" if said == "raises" else "smaller"
    size = sized(abs(claim.estimate - claim.null), claim.places, claim.unit)
    text = interval_text(claim, flipped=said == "lowers")
    return _begun(claim, f"{claim.outcome} is {more} for {claim.cause} than for {against} by {size} ({text})")


def range_sentence(
    names: Sequence[str],
    estimates: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    *,
    null: float | None = 0.0,
    unit: str = "",
    places: int = 2,
    noun: str = "estimates",
) -> str:
    """How far the numbers of several subgroups are apart, and how many of them are surely on one side of the null.

    Examples
    --------
    >>> from mixedfx.results.sentences import range_sentence
    >>> print(range_sentence(["girls", "boys"], [1.0, 3.0], [-1.0, 2.0], [3.0, 4.0], places=1))
    In the 2 subgroups estimates run from 1.0 (girls) to 3.0 (boys); of the intervals 1 lies above 0 and 1 holds 0.
    """
    known = [i for i, value in enumerate(estimates) if isfinite(value)]
    if not known:
        return f"The data determine none of the {len(names)} {noun}."
    low, high = min(known, key=lambda i: estimates[i]), max(known, key=lambda i: estimates[i])
    text = (
        f"In the {len(names):,} subgroups {noun} run from {sized(estimates[low], places, unit)} ({names[low]}) to "
        f"{sized(estimates[high], places, unit)} ({names[high]})"
    )
    with_interval = [i for i in known if isfinite(lower[i]) and isfinite(upper[i])]
    if null is None or not with_interval:
        return f"{text}."
    above = sum(lower[i] > null for i in with_interval)
    below = sum(upper[i] < null for i in with_interval)
    holds = len(with_interval) - above - below
    counts = {f"above {null:g}": above, f"below {null:g}": below}
    found = [(f"{count} lie{'s' if count == 1 else ''} {where}", count) for where, count in counts.items() if count]
    if holds:
        found.append((f"{holds} hold{'s' if holds == 1 else ''} {null:g}", holds))
    if len(found) == 1:
        both = "both" if len(with_interval) == 2 else f"all {len(with_interval):,}"
        verb = f"hold {null:g}" if holds else f"lie {'above' if above else 'below'} {null:g}"
        return f"{text}; {both} intervals {verb}."
    return f"{text}; of the intervals {listed([part for part, _ in found])}."


def interval_text(claim: Claim, flipped: bool = False) -> str:
    """``"95 % interval 4.1 to 12.0"``; as amounts taken away where flipped.

    Examples
    --------
    >>> from mixedfx.results.sentences import Claim, interval_text
    >>> interval_text(Claim("z", "y", -2.0, -3.0, -1.0, level=0.9, places=0), flipped=True)
    '90 % interval 1 to 3'
    """
    lower, upper = (-claim.upper, -claim.lower) if flipped else (claim.lower, claim.upper)
    return f"{100 * claim.level:g} % interval {sized(lower, claim.places)} to {sized(upper, claim.places)}"


def sized(value: float, places: int, unit: str = "", *, signed: bool = False) -> str:
    """A number with its unit; never a negative zero.

    Examples
    --------
    >>> from mixedfx.results.sentences import sized
    >>> sized(-0.0001, 2), sized(1234.5, 0), sized(3.0, 1, "%"), sized(2.0, 0, signed=True)
    ('0.00', '1,234', '3.0 %', '+2')
    """
    if not isfinite(value):
        return "unknown" if isnan(value) else "infinity" if value > 0 else "minus infinity"
    text = f"{value:{'+' if signed else ''},.{places}f}"
    if text.startswith("-") and not any(c in "123456789" for c in text):
        text = text[1:]
    return f"{text} {unit}" if unit else text


def listed(names: Sequence[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b and c"``.

    Examples
    --------
    >>> from mixedfx.results.sentences import listed
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _number_of(verb: str, plural: bool) -> str:
    """The verb in the number of its subject: "raises", "raise"."""
    if not plural:
        return verb
    first, _, rest = verb.partition(" ")
    first = "multiply" if first == "multiplies" else first.removesuffix("s")
    return f"{first} {rest}" if rest else first


def _begun(claim: Claim, text: str) -> str:
    """A sentence: it begins with whom it is about, or with a capital, and ends with a full stop."""
    return f"{claim.about}, {text}." if claim.about else f"{text[:1].upper()}{text[1:]}."


def best_sentence(names: Sequence[str], chances: Sequence[float], treatment: str, outcome: str) -> str:
    """Which of three or more values of a treatment leads to most, and how sure that is.

    Examples
    --------
    >>> from mixedfx.results.sentences import best_sentence
    >>> print(best_sentence(["control", "low", "high"], [0.0, 0.125, 0.875], "dose", "sleep"))
    Of the 3 values of dose, high leads to the highest sleep with probability 0.88 (next low, 0.12).
    """
    order = sorted(range(len(names)), key=lambda i: -chances[i])
    first, second = order[:2]
    what = outcome.removeprefix("the ")
    return (
        f"Of the {len(names)} values of {treatment}, {names[first]} leads to the highest {what} with probability "
        f"{_chance(chances[first])} (next {names[second]}, {_chance(chances[second])})."
    )


def _chance(value: float) -> str:
    """A probability by draws, with two decimals; none is certain."""
    return "above 0.99" if value > 0.995 else "below 0.01" if value < 0.005 else f"{value:.2f}"
