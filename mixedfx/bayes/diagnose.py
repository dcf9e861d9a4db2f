"""What a user has to know before using draws: each concern in words, with what to do, and the class of its warning."""

from __future__ import annotations

import warnings

import numpy as np

from mixedfx.bayes.course import StanSampling
from mixedfx.bayes.engine import Sampling
from mixedfx.bayes.posterior import Posterior
from mixedfx.draws import Key
from mixedfx.errors import (
    ApproximationWarning,
    DivergenceWarning,
    EffectiveSizeWarning,
    EnergyWarning,
    ImportanceWarning,
    ModeWarning,
    RHatWarning,
    SamplingWarning,
    TreedepthWarning,
)
from mixedfx.results.render import SummaryContent, SummaryFacts
from mixedfx.sampling.importance import RELIABLE

FEW = 400  # effective draws below which quantiles in the tails are rough
FEW_PER_CHAIN = 100  # the same for each of several chains (Vehtari et al. 2021)
CONVERGED = 1.01  # largest R-hat of chains that have mixed (Vehtari et al. 2021)
SLOW_ENERGY = 0.3  # E-BFMI below which momentum resampling hardly moves the energy (Betancourt 2016)

MISSED, SMALL_SHARE = 2.0, 0.01  # log mass that draws may lack near a mode; shares of modes that do not matter

Concern = tuple[type[SamplingWarning], str]


def concerns(posterior: Posterior) -> tuple[Concern, ...]:
    """What speaks against the draws, the class of its warning first; empty where all is well."""
    s = posterior.sampling
    return _of_stan(s, bool(posterior.design.random)) if isinstance(s, StanSampling) else _of_collapsed(s)


def warn(posterior: Posterior, stacklevel: int = 3) -> None:
    """Issue each concern as a warning."""
    for kind, text in concerns(posterior):
        warnings.warn(text, kind, stacklevel)


def _of_collapsed(s: Sampling) -> tuple[Concern, ...]:
    found: list[Concern] = []
    if s.method == "prior":
        return ()
    missed = missed_mass(s)
    if missed > 0:
        text = (
            f"Near one of the {s.starts} starting points lies {_times(missed)} the mass that the draws stand for "
            "there: they left out a part of the posterior. Ask for engine='nuts' or engine='stanli', or give narrower "
            "priors."
        )
        found.append((ModeWarning, text))
    elif s.method == "nuts" and s.modes > 1:
        text = (
            f"The posterior has {s.modes} modes, with about {_percentages(s.log_mass)} of its mass; chains hardly go "
            f"from one to another, and {_percentages(s.drawn)} of the draws are near them: intervals depend on where "
            f"chains began. {_way_out(s)}"
        )
        found.append((ModeWarning, text))
    if s.method == "importance" and s.k_hat > RELIABLE:
        text = f"k-hat is {s.k_hat:.2f}, above {RELIABLE}: a few draws dominate, and intervals may be wrong."
        found.append((ImportanceWarning, text))
    if s.method == "nuts" and s.r_hat > CONVERGED:
        text = (
            f"R-hat is {_upwards(s.r_hat)}, above {CONVERGED}: the chains disagree; ask for more iterations (draws=, "
            "warmup=)."
        )
        found.append((RHatWarning, text))
    if s.divergences:
        text = f"{s.divergences} divergent transitions: NUTS could not follow the density everywhere."
        found.append((DivergenceWarning, text))
    slow = [value for value in s.energy if value < SLOW_ENERGY]
    if slow:
        text = (
            f"E-BFMI is {min(slow):.2f} in {len(slow)} of {len(s.energy)} chains, below {SLOW_ENERGY}: the sampler "
            "hardly reaches the tails, as where a prior has a heavy tail. Give narrower priors, or ask for more draws."
        )
        found.append((EnergyWarning, text))
    if s.at_max_treedepth:
        text = (
            f"{s.at_max_treedepth} transitions were cut short: the draws are right, but fewer of them count. Ask for a "
            "longer warmup (warmup=)."
        )
        found.append((TreedepthWarning, text))
    if s.ess < FEW:
        text = (
            f"Only {s.ess:.0f} effective draws of (theta, sigma): quantiles in the tails are rough; ask for more draws."
        )
        found.append((EffectiveSizeWarning, text))
    return tuple(found)


def missed_mass(s: Sampling) -> float:
    """Logarithm of the ratio of mass near a mode to the mass that draws stand for there; 0 where they agree.

    Agreement is up to e^2 and three Monte Carlo errors, for a mode with more than a hundredth of the mass.
    """
    if s.method != "importance" or not s.log_mass:
        return 0.0
    mass, drawn = np.array(s.log_mass), np.array(s.drawn)
    matters = mass > np.logaddexp(np.logaddexp.reduce(mass), np.logaddexp.reduce(drawn)) + np.log(SMALL_SHARE)
    excess = np.where(matters, mass - drawn, -np.inf).max()
    return float(excess) if excess > MISSED + 3 * s.mass_error else 0.0


def _of_stan(s: StanSampling, random: bool) -> tuple[Concern, ...]:
    """Concerns about chains of a Stan engine; `random` is whether there are random terms to give advice on."""
    if s.method == "prior":
        return ()
    found: list[Concern] = []
    if s.method != "nuts":
        text = f"Draws by {s.method} are from an approximation of the posterior; use algorithm='nuts' in the end."
        return ((ApproximationWarning, text),)
    centred = ", or for centred=True where the data say much about each level" if random else ""
    if s.divergences:
        text = (
            f"{s.divergences} divergent transitions: the sampler left out parts of the posterior, and intervals may "
            f"be wrong. Ask for adapt_delta={_closer(s.adapt_delta)}; if they stay, give narrower priors"
            f"{' to the sds of the random terms, or another parametrisation (centred=)' if random else ''}."
        )
        found.append((DivergenceWarning, text))
    if s.r_hat > CONVERGED:
        text = (
            f"R-hat is {_upwards(s.r_hat)} for {_shown(s.worst[0])}, above {CONVERGED}: the chains disagree. Ask for a "
            f"longer warmup (warmup={2 * s.warmup}) and more draws{centred}; if that does not help, look for "
            "parameters that the data do not determine."
        )
        found.append((RHatWarning, text))
    least = FEW_PER_CHAIN * s.chains
    low = [(s.ess, "", s.worst[1]), (s.ess_tail, " in the tails", s.worst[2])]
    texts = [f"{ess:.0f} effective draws{where}{_of(key)}" for ess, where, key in low if ess < least]
    if texts:
        found.append(
            (
                EffectiveSizeWarning,
                f"Only {' and '.join(texts)}, fewer than {FEW_PER_CHAIN} for each chain: means and quantiles are "
                f"rough. Ask for more draws (draws=){centred}.",
            )
        )
    slow = [value for value in s.energy if value < SLOW_ENERGY]
    if slow:
        text = (
            f"E-BFMI is {min(slow):.2f} in {len(slow)} of {s.chains} chains, below {SLOW_ENERGY}: the sampler hardly "
            "reaches the tails, as where a prior has a heavy tail or an sd is near zero. Give narrower priors"
            f"{', or another parametrisation (centred=)' if random else ''}."
        )
        found.append((EnergyWarning, text))
    if s.at_max_treedepth:
        text = (
            f"{s.at_max_treedepth} transitions were cut short at max_treedepth={s.max_treedepth}: the draws are right, "
            f"but fewer of them count. Ask for max_treedepth={s.max_treedepth + 2}, or rescale the predictors."
        )
        found.append((TreedepthWarning, text))
    return tuple(found)


def _upwards(r_hat: float) -> str:
    """Three decimals, rounded up, so that what is above the limit is not shown as the limit."""
    return f"{np.ceil(r_hat * 1000) / 1000:.3f}"


def _times(log_ratio: float) -> str:
    """How many times, in digits that can be read."""
    return f"{np.exp(log_ratio):.3g} times" if log_ratio < 15 else f"e^{log_ratio:.0f} times"


def _percentages(log_mass: tuple[float, ...]) -> str:
    """Shares of the whole, as text."""
    share = np.exp(np.array(log_mass) - np.logaddexp.reduce(log_mass))
    *first, last = (f"{value:.0%}" for value in share)
    return f"{', '.join(first)} and {last}" if first else last


def _way_out(s: Sampling) -> str:
    """Advice where chains do not go between modes."""
    if s.reason == "asked for":
        return "engine='collapsed' covers all modes at once, if its weights can be trusted; or give narrower priors."
    return "Give narrower priors."


def _modes(s: Sampling) -> str:
    """Where the starting points led."""
    if s.modes == 1:
        return f"one, to which all {s.starts} starting points lead, the REML estimate among them"
    return (
        f"{s.modes}, from {s.starts} starting points, the REML estimate among them, with {_percentages(s.log_mass)} of "
        f"the mass and {_percentages(s.drawn)} of the draws"
    )


def _closer(adapt_delta: float) -> float:
    """The next acceptance rate to try: halfway and a bit more to one."""
    return 0.95 if adapt_delta < 0.95 else round(1 - (1 - adapt_delta) / 5, 4)


def _of(key: Key) -> str:
    return f" of {_shown(key)}" if key else ""


def _shown(key: Key) -> str:
    return repr(key[0]) if len(key) == 1 else repr(key)


def diagnostics(posterior: Posterior) -> SummaryContent:
    """How far the draws can be trusted, in plain words."""
    s = posterior.sampling
    if s.method == "prior" and isinstance(s, Sampling):
        return SummaryContent("Diagnostics", (SummaryFacts((("Method", "independent draws from the prior"),)),))
    facts = _stan_facts(posterior, s) if isinstance(s, StanSampling) else _collapsed_facts(posterior, s)
    facts.append(("Verdict", verdict(posterior)))
    return SummaryContent("Diagnostics", (SummaryFacts(tuple(facts)),))


def verdict(posterior: Posterior) -> str:
    """All concerns in one text."""
    return " ".join(text for _, text in concerns(posterior)) or "nothing speaks against these draws"


def _collapsed_facts(posterior: Posterior, s: Sampling) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if s.method == "importance":
        share = s.ess / s.proposals
        facts += [
            ("Method", "beta and u integrated out; (theta, sigma) by importance sampling; draws are independent"),
            ("k-hat", f"{s.k_hat:.2f}; weights can be trusted up to {RELIABLE}"),
            ("Weights", f"{s.ess:.0f} effective of {s.proposals} weighted points ({share:.0%})"),
            ("Draws", f"{posterior.n_draws}, with {s.distinct} distinct (theta, sigma), each with its own (beta, u)"),
        ]
    else:
        facts += [
            ("Method", "beta and u integrated out; (theta, sigma) by NUTS"),
            ("Why NUTS", s.reason),
            ("R-hat", f"{s.r_hat:.3f}, largest over the coordinates; chains agree up to {CONVERGED}"),
            ("ESS", f"{s.ess:.0f} effective of {posterior.n_draws} draws, smallest over the coordinates"),
            ("Divergences", str(s.divergences)),
        ]
    if s.starts:
        facts.append(("Modes", _modes(s)))
    return [*facts, ("Work", f"{s.evaluations} evaluations, {s.seconds:.2f} s")]


def _stan_facts(posterior: Posterior, s: StanSampling) -> list[tuple[str, str]]:
    engine = f"{s.engine} {s.version}"
    if s.method == "prior":
        return [("Method", f"draws from the prior by {engine}")]
    if s.method != "nuts":
        return [("Method", f"{s.method}, an approximation, by {engine}"), ("Work", f"{s.seconds:.2f} s")]
    facts = [("Method", f"NUTS on all parameters by {engine}")]
    if s.reason:
        facts.append(("Why", s.reason))
    facts += [
        ("Draws", f"{posterior.n_draws} in {s.chains} chains, after {s.warmup} iterations of warm-up each"),
        ("R-hat", f"{s.r_hat:.3f}, largest{_of(s.worst[0])}; chains agree up to {CONVERGED}"),
        ("ESS", f"{s.ess:.0f}{_of(s.worst[1])}, {s.ess_tail:.0f} in the tails{_of(s.worst[2])}, smallest"),
        ("Divergences", str(s.divergences)),
        ("Tree depth", f"{s.at_max_treedepth} transitions at the largest depth, {s.max_treedepth}"),
    ]
    if s.energy and not np.isnan(s.energy).all():
        facts.append(("E-BFMI", f"{np.nanmin(s.energy):.2f}, smallest of the chains; fine above {SLOW_ENERGY}"))
    return [*facts, ("Work", f"{s.seconds:.2f} s")]
