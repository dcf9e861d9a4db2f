"""The models whose Stan programs are kept as files in the folder stan, one for each kind of shape.

    python -m tests.bayes.stan.programs

writes the files and their README anew, from the root of the repository. Read the difference before you keep it: it is
what users get.
"""

from pathlib import Path

import mixedfx as mx
from mixedfx.bayes.model_design import model_family
from tests.bayes.stan.models import DATA, RELATED, RESPONSE

FOLDER = Path(__file__).resolve().parents[3] / "stan"
INTRODUCTION = """# Stan programs

These are programs that `mixedfx.stan_code` writes, one for each kind of model. Each can be read and run by itself, by
CmdStan or any other interface of Stan (2.26 or later); `mixedfx.stan_data` gives the data that belong to a program as a
dictionary, and `mixedfx.bayes` runs both and reads the draws.

```python
import json

import mixedfx as mx

course = mx.datasets.load("flipped_classroom", plan="crossed")
formula = "score ~ style + (1 | professor)"
with open("score.stan", "w") as program:
    program.write(mx.stan_code(formula, course))
with open("score.json", "w") as data:
    json.dump(mx.stan_data(formula, course), data, default=lambda array: array.tolist())
```

The text hangs on the shape of a model alone: a program of this folder serves every formula, every data set and every
prior of its shape, as sizes and the numbers of priors (`prior_*`) are data. Comments in a program say what its
variables are. The effects of a level are non-centred (`std_u` times their factor) unless the program says centred.

In the table x, w and s are numeric columns, g, h, mood and grade are factors; the response stands for a column of the
kind that its family has. "Default" are the priors of mixedfx. The tests compare these files with what is written today,
and their log densities with the same in NumPy.
"""

p = mx.priors
SLOPES = "x + w + (1 + x | g)"
CROSSED = "x + w + (1 + x | g) + (1 | h)"


def case(family, right, priors=None, *, link=None, left=None, **options):
    """Arguments of `mixedfx.stan_code`."""
    chosen = getattr(mx.families, family)(link) if link else family
    return {"formula": f"{left or RESPONSE[family]} ~ {right}", "family": chosen, "priors": priors, **options}


CASES = {
    # structures
    "gaussian": case("gaussian", "x + w"),
    "gaussian_mean": case("gaussian", "1"),
    "gaussian_no_intercept": case("gaussian", "0 + x + w"),
    "gaussian_one_effect": case("gaussian", "x + (1 | g)"),
    "gaussian_one_effect_no_predictors": case("gaussian", "1 + (1 | g)"),
    "gaussian_slope_only": case("gaussian", "x + (0 + w | g)"),
    "gaussian_correlated": case("gaussian", SLOPES),
    "gaussian_diagonal": case("gaussian", "x + w + (1 + x || g)"),
    "gaussian_crossed": case("gaussian", CROSSED),
    "gaussian_crossed_centred": case("gaussian", f"{CROSSED} + (1 + w || mood)", centred=True),
    "gaussian_one_term_centred": case("gaussian", CROSSED, centred=["h"]),
    "gaussian_exchangeable": case("gaussian", "x + w + cs(1 + x + w | g)"),
    "gaussian_serial": case("gaussian", "x + ar1(0 + factor(grade) | g) + hetar1(0 + factor(grade) | h)"),
    "categorical_serial": case("categorical", "x + hetar1(0 + factor(grade) | g)"),
    "gaussian_one_sd": case("gaussian", "x + id(1 + x + w | g) + homcs(0 + x + w | h)"),
    "gaussian_related_levels": case("gaussian", "x + w + (1 + x | gr(g, cov=A))", env=RELATED),
    "gaussian_related_levels_centred": case("gaussian", "x + w + (1 + x | gr(g, cov=A))", env=RELATED, centred=True),
    "gaussian_offset": case("gaussian", SLOPES, offset="s"),
    "gaussian_weights": case("gaussian", SLOPES, weights="s"),
    "gaussian_meta_analysis": case("gaussian", "1 + (1 | g)", left="real | se(s)"),
    "gaussian_threads": case("gaussian", CROSSED, weights="s", threads=2),
    "gaussian_generated": case("gaussian", CROSSED, weights="s", log_lik=True, y_rep=True),
    # priors
    "gaussian_student_t": case("gaussian", SLOPES, {"coef": p.student_t(4), "sd": p.half_cauchy(1)}),
    "gaussian_flat": case("gaussian", SLOPES, {"intercept": p.flat(), "coef": p.flat(), "sigma": p.flat()}),
    "gaussian_mixed": case(
        "gaussian",
        SLOPES,
        {("coef", "x"): p.student_t(4), ("sd", "g", "x"): p.exponential(1), "sigma": p.inv_gamma(2, 1)},
    ),
    "gaussian_decov": case("gaussian", f"{CROSSED} + (1 + w || mood)", "rstanarm"),
    "gaussian_one_sd_decov": case("gaussian", "x + id(1 + x + w | g)", "rstanarm"),
    "gaussian_brms": case("gaussian", CROSSED, "brms"),
    "gaussian_horseshoe": case("gaussian", SLOPES, {"coef": p.horseshoe()}),
    "gaussian_horseshoe_sds": case("gaussian", CROSSED, {"sd": p.horseshoe()}),
    "gaussian_r2d2": case("gaussian", SLOPES, {"coef": p.r2d2()}),
    "gaussian_r2d2m2": case("gaussian", CROSSED, {"coef": p.r2d2(), "sd": p.r2d2()}),
    "gaussian_r2d2m2_mixed": case(
        "gaussian",
        CROSSED,
        {"coef": p.r2d2(), "sd": p.r2d2(), ("coef", "w"): p.normal(), ("sd", "g", "x"): p.half_normal()},
    ),
    # families
    "student": case("student", CROSSED),
    "student_known_sd": case("student", "x + (1 | g)", left="real | se(s)", log_lik=True),
    "lognormal": case("lognormal", SLOPES, log_lik=True, y_rep=True),
    "gamma": case("gamma", SLOPES, log_lik=True, y_rep=True),
    "gamma_inverse": case("gamma", "x + (1 | g)", link="inverse"),
    "beta": case("beta", SLOPES, log_lik=True, y_rep=True),
    "bernoulli": case("bernoulli", "x + w"),
    "bernoulli_crossed": case("bernoulli", CROSSED, log_lik=True, y_rep=True),
    "bernoulli_probit": case("bernoulli", SLOPES, link="probit", log_lik=True, y_rep=True),
    "bernoulli_cloglog": case("bernoulli", SLOPES, link="cloglog"),
    "bernoulli_cauchit": case("bernoulli", SLOPES, link="cauchit"),
    "binomial": case("binomial", SLOPES, log_lik=True, y_rep=True),
    "binomial_probit": case("binomial", SLOPES, link="probit"),
    "binomial_cloglog_threads": case("binomial", SLOPES, link="cloglog", threads=4),
    "poisson_offset": case("poisson", SLOPES, offset="s", log_lik=True, y_rep=True),
    "poisson_sqrt": case("poisson", "x + (1 | g)", link="sqrt"),
    "negbinomial": case("negbinomial", CROSSED, {"coef": p.r2d2()}, log_lik=True, y_rep=True),
    "nbinom1": case("nbinom1", CROSSED, log_lik=True, y_rep=True),
    "beta_binomial": case("beta_binomial", CROSSED, log_lik=True, y_rep=True),
    "truncated_poisson": case("truncated_poisson", SLOPES, log_lik=True, y_rep=True),
    "truncated_negbinomial": case("truncated_negbinomial", SLOPES, log_lik=True, y_rep=True),
    "tweedie": case("tweedie", SLOPES, log_lik=True, y_rep=True),
    "zero_inflated_poisson": case("poisson", SLOPES, zi="~ w + (1 | h)", log_lik=True, y_rep=True),
    "zero_inflated_poisson_plain": case("poisson", "x", zi="~ 1"),
    "zero_inflated_negbinomial": case(
        "negbinomial",
        "x + (1 | g)",
        {("zi", "coef"): p.student_t(4), ("zi", "sd"): p.exponential(1)},
        zi="~ x + w + (1 + x | h)",
        log_lik=True,
        y_rep=True,
    ),
    "zero_inflated_nbinom1": case(
        "nbinom1", CROSSED, zi="~ 0 + x + (1 | g)", offset="s", log_lik=True, y_rep=True, centred=["g"]
    ),
    "hurdle_poisson": case("hurdle_poisson", SLOPES, left="count", zi="~ w + (1 | h)", log_lik=True, y_rep=True),
    "hurdle_poisson_threads": case("hurdle_poisson", CROSSED, left="count", zi="~ w + (1 + x || g)", threads=2),
    "hurdle_negbinomial": case(
        "hurdle_negbinomial", SLOPES, left="count", zi="~ x + offset(s)", log_lik=True, y_rep=True
    ),
    "cumulative": case("cumulative", "x + w"),
    "cumulative_crossed": case("cumulative", CROSSED, log_lik=True, y_rep=True),
    "cumulative_probit": case("cumulative", "1 + (1 | g)", link="probit"),
    "cumulative_cloglog": case("cumulative", SLOPES, link="cloglog", log_lik=True, y_rep=True),
    "cumulative_cauchit_threads": case("cumulative", SLOPES, link="cauchit", threads=2),
    "categorical": case("categorical", "x + w"),
    "categorical_crossed": case("categorical", CROSSED, log_lik=True, y_rep=True),
    "categorical_horseshoe": case(
        "categorical", CROSSED, {"coef": p.horseshoe(), "sd": p.horseshoe(), ("sd", "g", "x"): p.exponential()}
    ),
    "categorical_centred_threads": case("categorical", CROSSED, centred=["g"], threads=2),
    "categorical_decov": case("categorical", f"{CROSSED} + (1 + w || grade)", "rstanarm"),
}


def program(name):
    """Text of a case."""
    return mx.stan_code(data=DATA, **CASES[name])


def readme():
    """The text of the folder's README: what each program is of."""
    lines = [INTRODUCTION, "| Program | Formula | Family | Priors | Besides |", "|---|---|---|---|---|"]
    for name, given in CASES.items():
        formula = given["formula"].replace("|", "\\|")
        rest = {key: value for key, value in given.items() if key not in ("formula", "family", "priors", "env")}
        besides = ", ".join(f"`{key}={value!r}`" for key, value in rest.items())
        family = model_family(given["family"], given.get("zi"))
        lines.append(
            f"| [{name}]({name}.stan) | `{formula}` | {family.name} ({family.link.name}) | {_priors(given['priors'])} "
            f"| {besides} |"
        )
    return "\n".join(lines) + "\n"


def _priors(given):
    """The priors of a case, as somebody would write them."""
    if given is None:
        return "default"
    if isinstance(given, str):
        return f'`"{given}"`'
    keys = (" ".join(key) if isinstance(key, tuple) else key for key in given)
    return "; ".join(f"{key}: `{prior}`" for key, prior in zip(keys, given.values(), strict=True))


def write():
    """Write every program and the README to their files, and remove the files of cases that are gone."""
    for path in FOLDER.glob("*.stan"):
        if path.stem not in CASES:
            path.unlink()
    for name in CASES:
        (FOLDER / f"{name}.stan").write_text(program(name), encoding="utf-8")
    (FOLDER / "README.md").write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    write()
