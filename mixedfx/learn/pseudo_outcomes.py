r"""The learners as one table: which nuisances each needs, what its effect model is fitted to, and with which weights.

Arms are 0 (control) and 1, ..., K - 1; mu_k(x) = E(Y | x, W = k), e_k(x) = P(W = k | x). The effect of arm k is
tau_k(x) = mu_k(x) - mu_0(x). What concerns two arms only takes the rows of these two, with w = 1 in arm k, e =
e_k / (e_0 + e_k) and m(x) = E(Y | x, W in {0, k}).

====  ==========================  ==========================================  ======================================
name  nuisances                   effect model is fitted to                   with weights
====  ==========================  ==========================================  ======================================
S     mu(x, w), one model         none: mu(x, k) - mu(x, 0)
T     mu_0, ..., mu_K-1           none: mu_k(x) - mu_0(x)
X     mu_0, ..., mu_K-1, e        y - mu_0 in arm k (tau1), mu_k - y in the   1; tau = (1 - e) tau1 + e tau0
                                  control arm (tau0)
R     m, e                        (y - m) / (w - e)                           (w - e)^2
DR    mu_0, ..., mu_K-1, e        difference of two doubly robust scores      1; all rows
F     e                           y (w - e) / (e (1 - e))                     1
M     e                           2 (2w - 1) y                                1 / 4 over the probability of the own arm
M+    mu_0, mu_k, e               2 (2w - 1) (y - (mu_0 + mu_k) / 2)          the same
====  ==========================  ==========================================  ======================================

Sources: S, T, X: Künzel, Sekhon, Bickel and Yu (2019, PNAS 116:4156). R: Nie and Wager (2021, Biometrika 108:299). DR:
Kennedy (2023, Electronic Journal of Statistics 17:3008). F (transformed outcome): Athey and Imbens (2016, PNAS
113:7353). M (modified covariates): Tian, Alizadeh, Gentles and Tibshirani (2014, JASA 109:1517): with v = 2w - 1,
sum of (y - v tau(x) / 2)^2 / p(own arm) is sum of (2 v y - tau(x))^2 / (4 p), which is a weighted regression. Its
minimiser stays the effect when any a(x) is subtracted from y, and the residuals 2 v (mu_w - a) - tau vanish in both
arms where a = (mu_0 + mu_1) / 2: the efficient form, M+.

**Arms together.** Where mu_0, ..., mu_K-1 are needed, each is a model of the rows of its arm, as in the sources, unless
the outcome model says that it fits arms together (`mixedfx.learn.outcomes.FitsArms`), as `mixedfx.MixedRegressor` and
`mixedfx.MixedClassifier` do by default: then one model of all rows gives all of them (`mixedfx.learn.arms_together`). A
T-learner of such a model is no longer two regressions that know nothing of each other: what arms have in common is
learnt from all, and their differences, which are the effects, are shrunk by the variance of differences. Models of
arms that are pooled one by one give effects that are too spread out, since an arm believes most of what it sees of a
school's level, noise included. For X- and DR-learners it matters less: their last stage pools effects itself. In the
X-learner the outcome of a person has then a small part in the effect imputed to that person (never in the one predicted
out of fold). ``arms="apart"`` is the learner of the sources.

The X-learner here weights as its authors do: tau1, learnt from the treated, counts where few are treated. The effects
it imputes to a person are made by a model of the other arm, so that models without a fold can impute to all others;
were they made by models that have seen the fold (out-of-fold predictions of each other row have), its outcomes would
come back in its own predictions: with default trees the slope of scores on effects was 0.7 where the truth had 0.3.
For other people, `predict`, models of an arm's every row impute.

**Other packages.** On identical folds and models these agree to 1e-8 with metalearners 0.13 and econml 0.17, but for:

====  ================  ================================================================================================
S     metalearners      With trees its effects are zero for everybody: the treatment becomes a category whose codes are
                        lost in prediction. Here the arm is a number beside the covariates.
T     metalearners      Out of fold, a model of one arm that is asked about people of another is one of all its rows;
                        here one without the fold of the person. Other people: the same, as in econml.
X     metalearners      Likewise; and a person's outcome is in the effects imputed to the other arm, whose model then
                        predicts that person. Other people: the same, as in econml.
R     both              The same, out of fold and for other people (NonParamDML in econml).
DR    metalearners      Outcomes of the other arm as in T, out of fold and in the scores of all.
DR    econml            One outcome model of x and indicators of the arm (the last columns); the same where that model
                        keeps arms apart.
====  ================  ================================================================================================

metalearners splits each arm into folds of its own, which know of no groups; econml's do where `groups` is given. The
numbers are recorded in tests/reference/learners, and made by the script beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Nuisances:
    """What is known of each row before effects are fitted; out of fold.

    Attributes
    ----------
    y, arm
        (n,) outcomes and codes of arms.
    mu
        (n, K) expected outcomes in each arm; None where they are not needed.
    m
        (n, K - 1) expected outcomes in arms 0 and k together; None where they are not needed.
    e
        (n, K) probabilities of the arms; None where they are not needed.
    """

    y: Array
    arm: Codes
    mu: Array | None = None
    m: Array | None = None
    e: Array | None = None

    def pair(self, k: int) -> NDArray[np.intp]:
        """Rows of arms 0 and k."""
        return np.flatnonzero((self.arm == 0) | (self.arm == k))

    def share(self, k: int) -> Array:
        """(n,) e_k / (e_0 + e_k)."""
        assert self.e is not None
        return self.e[:, k] / (self.e[:, 0] + self.e[:, k])


@dataclass(frozen=True, eq=False)
class Regression:
    """What one effect model is fitted to.

    Attributes
    ----------
    rows
        Numbers of the rows.
    target
        Their pseudo-outcomes.
    weights
        Their weights; None for none.
    """

    rows: NDArray[np.intp]
    target: Array
    weights: Array | None = None


@dataclass(frozen=True)
class Learner:
    """One line of the table above.

    Attributes
    ----------
    title
        In words.
    outcome
        ``"joint"``: one model of x and w; ``"by arm"``; ``"pooled"``: one without w for each pair of arms; None.
    propensity
        Whether e is needed.
    regressions
        The effect models of arm k, from the nuisances; None where the effect is a difference of outcome models.
    combine
        From their predictions and e to the effect, where there are several.
    weighted
        Whether effect models take weights.
    by_fold
        Whether the targets of effect models are made anew for each fold, by outcome models that have not seen it.
    """

    title: str
    outcome: Literal["joint", "by arm", "pooled"] | None
    propensity: bool
    regressions: Callable[[Nuisances, int], tuple[Regression, ...]] | None = None
    combine: Callable[[list[Array], Array], Array] | None = None
    weighted: bool = False
    by_fold: bool = False


def arm_scores(y: Array, arm: Codes, mu: Array, e: Array) -> Array:
    """Doubly robust scores (n, K) of the mean outcome under each arm: mu_k + 1(w = k) (y - mu_k) / e_k.

    Robins, Rotnitzky and Zhao (1994, JASA 89:846). Their mean is a consistent estimate where either mu or e is right.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.pseudo_outcomes import arm_scores
    >>> y, arm = np.array([3.0, 1.0]), np.array([1, 0])
    >>> arm_scores(y, arm, np.array([[1.0, 2.0], [1.0, 2.0]]), np.full((2, 2), 0.5))
    array([[1., 4.],
           [1., 2.]])
    """
    own = np.arange(mu.shape[1]) == arm[:, None]
    return mu + np.where(own, (y[:, None] - mu) / e, 0.0)


def _x(known: Nuisances, k: int) -> tuple[Regression, ...]:
    assert known.mu is not None
    treated, control = np.flatnonzero(known.arm == k), np.flatnonzero(known.arm == 0)
    return (
        Regression(treated, known.y[treated] - known.mu[treated, 0]),
        Regression(control, known.mu[control, k] - known.y[control]),
    )


def _x_combined(parts: list[Array], share: Array) -> Array:
    from_treated, from_control = parts
    return (1 - share) * from_treated + share * from_control


def _r(known: Nuisances, k: int) -> tuple[Regression, ...]:
    assert known.m is not None
    rows = known.pair(k)
    gap = (known.arm[rows] == k) - known.share(k)[rows]
    return (Regression(rows, (known.y[rows] - known.m[rows, k - 1]) / gap, gap**2),)


def _dr(known: Nuisances, k: int) -> tuple[Regression, ...]:
    assert known.mu is not None
    assert known.e is not None
    scores = arm_scores(known.y, known.arm, known.mu, known.e)
    return (Regression(np.arange(len(known.y)), scores[:, k] - scores[:, 0]),)


def _f(known: Nuisances, k: int) -> tuple[Regression, ...]:
    rows = known.pair(k)
    e, w = known.share(k)[rows], known.arm[rows] == k
    return (Regression(rows, known.y[rows] * (w - e) / (e * (1 - e))),)


def _m(known: Nuisances, k: int) -> tuple[Regression, ...]:
    rows = known.pair(k)
    return (_modified(rows, known.y[rows], known.arm[rows] == k, known.share(k)[rows]),)


def _m_efficient(known: Nuisances, k: int) -> tuple[Regression, ...]:
    assert known.mu is not None
    rows = known.pair(k)
    centred = known.y[rows] - 0.5 * (known.mu[rows, 0] + known.mu[rows, k])
    return (_modified(rows, centred, known.arm[rows] == k, known.share(k)[rows]),)


def _modified(rows: NDArray[np.intp], y: Array, w: NDArray[np.bool_], e: Array) -> Regression:
    return Regression(rows, np.where(w, 2.0, -2.0) * y, 0.25 / np.where(w, e, 1 - e))


LEARNERS: Mapping[str, Learner] = {
    "S": Learner("one outcome model of x and w", "joint", False),
    "T": Learner("an outcome model for each arm", "by arm", False),
    "X": Learner(
        "imputed effects of each arm, weighted by the propensity", "by arm", True, _x, _x_combined, by_fold=True
    ),
    "R": Learner("residuals on residuals", "pooled", True, _r, weighted=True),
    "DR": Learner("doubly robust scores", "by arm", True, _dr),
    "F": Learner("transformed outcome", None, True, _f),
    "M": Learner("modified covariates", None, True, _m, weighted=True),
    "M+": Learner("modified covariates, outcomes centred", "by arm", True, _m_efficient, weighted=True),
}
"""Name -> learner."""


def find_learner(name: object) -> Learner:
    """The learner of a name.

    Raises
    ------
    OptionError
        Lists the names.
    """
    if isinstance(name, str) and name in LEARNERS:
        return LEARNERS[name]
    known = ", ".join(f"{key!r} ({one.title})" for key, one in LEARNERS.items())
    given = repr(name) if isinstance(name, str) else f"a {type(name).__name__}"
    raise OptionError(f"learner={given} is not known", hint=f"Use {known}.")
