"""The commands `mixedfx glmer`, `bayes` and `report`, and which of the three kinds of fit a command line asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

import mixedfx as mx
from mixedfx.cli.arguments import Data, Formula, Json, Na, PrecisionWeights, Table
from mixedfx.cli.ask import Question, ask, read_by, read_subgroups
from mixedfx.cli.files import check_output, rows_as_json
from mixedfx.cli.show import say, show_summary, working
from mixedfx.errors import OptionError

Family = Annotated[
    str | None,
    typer.Option(help="Family of the response: bernoulli, binomial, poisson, negbinomial, gamma, ...", metavar="NAME"),
]
Bayesian = Annotated[bool, typer.Option("--bayes", help="Sample the posterior instead of REML or maximum likelihood.")]
Seed = Annotated[int, typer.Option(help="Of the draws.", min=0)]


@dataclass(frozen=True)
class Model:
    """Which fit a command line asks for.

    Attributes
    ----------
    formula
        As for `mixedfx.lmer`.
    family
        None for a linear model.
    bayes
        Whether the posterior is sampled.
    ml
        Maximum likelihood of a linear mixed model.
    weights
        Column of precision weights.
    options
        Further arguments of the function that fits.
    """

    formula: str
    family: str | None = None
    bayes: bool = False
    ml: bool = False
    weights: str | None = None
    options: Mapping[str, Any] | None = None

    def fit(self, data: pd.DataFrame) -> Any:
        """Fit the model.

        Raises
        ------
        OptionError
            ``--ml`` beside ``--family`` or ``--bayes``, which leave no choice.
        """
        if self.ml and (self.bayes or self.family not in (None, "gaussian")):
            raise OptionError(
                "--ml is for linear mixed models", hint="Leave it out: --family fits by maximum likelihood anyway."
            )
        options = dict(self.options or {})
        with working("sampling the posterior" if self.bayes else "fitting the model"):
            if self.bayes:
                family = self.family or "gaussian"
                return mx.bayes(self.formula, data, family=family, weights=self.weights, progress=False, **options)
            if self.family not in (None, "gaussian"):
                return mx.glmer(self.formula, data, family=self.family, weights=self.weights, **options)
            return mx.lmer(self.formula, data, REML=not self.ml, weights=self.weights, **options)


def fit_as_json(fitted: Any, data: str) -> dict[str, Any]:
    """Content of ``--json``, of a fit of any kind."""
    return {
        "mixedfx": mx.__version__,
        "formula": str(fitted.formula),
        "data": data,
        "rows": rows_as_json(fitted.design.rows),
        "ngroups": fitted.ngroups,
        "fixed": fitted.tidy(),
        "varcorr": fitted.varcorr,
    }


def _as_json(fitted: Any, data: str) -> dict[str, Any]:
    own = {"family": str(fitted.family), "method": "posterior" if fitted.posterior else "ML"}
    return fit_as_json(fitted, data) | own | {"concerns": [text for _, text in fitted.concerns]}


def register(
    app: typer.Typer,
    read: Callable[[str, list[str] | None, str | None], pd.DataFrame],
    write_json: Callable[[Path, Any], None],
) -> None:
    """Add the commands to the command line; `read` and `write_json` are those of the other commands."""

    @app.command()
    def glmer(
        formula: Formula,
        data: Data,
        family: Annotated[str, typer.Option(help="bernoulli, binomial, poisson, negbinomial, ...", metavar="NAME")],
        nagq: Annotated[str, typer.Option("--nagq", help="Nodes of adaptive quadrature; 1 is Laplace; or auto.")] = "1",
        precision_weights: PrecisionWeights = None,
        na: Na = None,
        table: Table = None,
        json_file: Json = None,
    ) -> None:
        """Fit a generalised linear mixed model by maximum likelihood and print its summary."""
        if json_file is not None:
            check_output(json_file, [".json"])
        if nagq != "auto" and not nagq.isdigit():
            raise OptionError(f"--nagq {nagq!r} is no whole number", hint="Write --nagq 9, or --nagq auto.")
        options: dict[str, Any] = {"nAGQ": nagq if nagq == "auto" else int(nagq)}
        with working("fitting the model"):
            fitted = mx.glmer(formula, read(data, na, table), family=family, weights=precision_weights, **options)
        show_summary(fitted.summary())
        if json_file is not None:
            write_json(json_file, _as_json(fitted, data))

    @app.command()
    def bayes(
        formula: Formula,
        data: Data,
        family: Family = None,
        priors: Annotated[str, typer.Option(help="default, rstanarm or brms.")] = "default",
        draws: Annotated[int, typer.Option(help="Draws kept.", min=1)] = 4000,
        seed: Seed = 1,
        precision_weights: PrecisionWeights = None,
        na: Na = None,
        table: Table = None,
        save: Annotated[
            Path | None, typer.Option(help="Keep the fit, for mixedfx.load in Python.", metavar="FILE.mfx")
        ] = None,
        json_file: Json = None,
    ) -> None:
        """Sample the posterior of a multilevel model and print its summary and how far the draws can be trusted."""
        for file, ending in ((json_file, ".json"), (save, ".mfx")):
            if file is not None:
                check_output(file, [ending])
        options = {"priors": priors, "draws": draws, "seed": seed}
        fitted = Model(formula, family, True, weights=precision_weights, options=options).fit(read(data, na, table))
        show_summary(fitted.summary())
        say()
        show_summary(fitted.diagnostics())
        if save is not None:
            fitted.save(save)
            say(f"\nfit: {save}")
        if json_file is not None:
            write_json(json_file, _as_json(fitted, data))

    @app.command()
    def report(
        formula: Formula,
        data: Data,
        out: Annotated[Path, typer.Option(help="The page.", metavar="FILE.html")],
        treatment: Annotated[
            str | None, typer.Option(help="The column whose effect is asked about; the model itself if left out.")
        ] = None,
        by: Annotated[list[str] | None, typer.Option(help="Columns of subgroups, as for mixedfx effects.")] = None,
        subgroup: Annotated[list[str] | None, typer.Option(help="A named subgroup, NAME:QUERY.")] = None,
        title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
        unit: Annotated[str, typer.Option(help="Unit of the response, as in 'points'.")] = "",
        family: Family = None,
        bayesian: Bayesian = False,
        seed: Seed = 1,
        level: Annotated[float, typer.Option(help="Probability the intervals hold.")] = 0.95,
        ml: Annotated[bool, typer.Option("--ml", help="Maximum likelihood instead of REML.")] = False,
        precision_weights: PrecisionWeights = None,
        na: Na = None,
        table: Table = None,
    ) -> None:
        """Write one page for readers: the answer in words, pictures, table, caveats, methods, code."""
        check_output(out, [".html"])
        question = None
        if treatment is not None:
            question = Question(treatment, read_by(by), read_subgroups(subgroup), None, level)
        elif by or subgroup:
            raise OptionError("--by and --subgroup are about a treatment", hint="Name it: --treatment COLUMN.")
        frame = read(data, na, table)
        if question is not None:
            question.check(frame)
        options = {"seed": seed} if bayesian else {}
        fitted = Model(formula, family, bayesian, ml, precision_weights, options).fit(frame)
        with working("writing the report"):
            if question is None:
                fitted.report(out, title=title, data="data", level=level)
            else:
                answers = ask(fitted, frame, question)
                first = next(iter(answers.values()))
                first.to_html(out, title=title, unit=unit)
                say(first.sentence(unit=unit))
        say(f"report: {out}")
