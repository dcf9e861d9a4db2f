"""The commands `mixedfx fit`, `effects`, `meta`, `robma`, `learn`, `demo`, ...; `main` starts them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer

import mixedfx as mx
from mixedfx.cli.arguments import Data, Formula, Json, MetaFormula, Ml, Na, PrecisionWeights, Table
from mixedfx.cli.ask import PICTURES, Question, as_json, ask, check_picture, picture, read_by, read_subgroups
from mixedfx.cli.demo import PICTURE, run_demo
from mixedfx.cli.envelope import guarded
from mixedfx.cli.explore import register as register_explore
from mixedfx.cli.files import check_output, read_na, read_table
from mixedfx.cli.learn import Learning
from mixedfx.cli.meta import TITLES, Analysis, analyse, read_columns
from mixedfx.cli.models import Bayesian, Family, Model, fit_as_json, register
from mixedfx.cli.robma import PLOTS, Averaging
from mixedfx.cli.show import as_text, note, say, show_summary, show_table, working
from mixedfx.effects.render import content
from mixedfx.learn.folds import TARGETS
from mixedfx.output import write_whole

if TYPE_CHECKING:
    from mixedfx.reml.fit import LmerFit

app = typer.Typer(
    name="mixedfx",
    help="Multilevel models and varying treatment effects from one lme4-style formula.",
    epilog="Exit codes: 0 done, 1 defect of mixedfx, 2 bad input. MIXEDFX_DEBUG=1 shows the traceback of a defect.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _mixedfx(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    if version:
        say(f"mixedfx {mx.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def fit(
    formula: Formula,
    data: Data,
    ml: Ml = False,
    precision_weights: PrecisionWeights = None,
    na: Na = None,
    table: Table = None,
    json_file: Json = None,
) -> None:
    """Fit a linear mixed model by REML and print its summary."""
    if json_file is not None:
        check_output(json_file, [".json"])
    fitted = Model(formula, ml=ml, weights=precision_weights).fit(_read(data, na, table))
    show_summary(fitted.summary())
    if json_file is not None:
        _write_json(json_file, _fit_as_json(fitted, data))


@app.command()
def effects(
    formula: Formula,
    data: Data,
    treatment: Annotated[str, typer.Option(help="The column whose effect is asked about.", metavar="COLUMN")],
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Columns, joined by commas: one row for each cell of their crossing. Repeat for several margins."
        ),
    ] = None,
    subgroup: Annotated[
        list[str] | None,
        typer.Option(
            help="A named subgroup, as in \"Black boys: race == 'Black' and gender == 'boy'\". Repeatable.",
            metavar="NAME:QUERY",
        ),
    ] = None,
    newdata: Annotated[
        str | None, typer.Option(help="Average over the rows of this file instead of DATA.", metavar="FILE")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Column of what each row averaged over counts for, such as its population.", metavar="COLUMN"
        ),
    ] = None,
    level: Annotated[float, typer.Option(help="Probability the intervals hold.")] = 0.95,
    plot: Annotated[
        Path | None, typer.Option(help=f"Draw a forest plot ({', '.join(PICTURES)}).", metavar="FILE")
    ] = None,
    na: Na = None,
    table: Table = None,
    json_file: Json = None,
    ml: Ml = False,
    precision_weights: PrecisionWeights = None,
    family: Family = None,
    bayesian: Bayesian = False,
) -> None:
    """Fit a model and print the effects of a treatment, for everybody or for subgroups.

    With --by and --subgroup the same fit answers both, in two tables.
    """
    question = Question(treatment, read_by(by), read_subgroups(subgroup), weights, level)
    if plot is not None:
        check_picture(plot)
    if json_file is not None:
        check_output(json_file, [".json"])
    frame, rows = _read(data, na, table), None if newdata is None else _read(newdata, na)
    question.check(frame if rows is None else rows)
    fitted = Model(formula, family, bayesian, ml, precision_weights, {"seed": 1} if bayesian else {}).fit(frame)
    with working("averaging effects"):
        answers = ask(fitted, frame, question, rows)
    for i, answer in enumerate(answers.values()):
        if i:
            say()
        show_summary(content(answer, max_rows=None))
    if json_file is not None:
        _write_json(json_file, as_json(answers, data))
    if plot is not None:
        with working("drawing"):
            drawn = picture(answers, plot.suffix)
        write_whole(plot, drawn)
        say(f"\nforest plot: {plot}")


@app.command()
def meta(
    formula: MetaFormula,
    data: Data,
    vi: Annotated[
        str | None, typer.Option(help="Column of the sampling variances; 'vi' if none is named.", metavar="COLUMN")
    ] = None,
    sei: Annotated[str | None, typer.Option(help="Column of the standard errors instead.", metavar="COLUMN")] = None,
    method: Annotated[
        str, typer.Option(help="Estimator of tau2: REML, ML, DL, PM, ..., EE; with random terms REML or ML.")
    ] = "REML",
    test: Annotated[str, typer.Option(help="z, t, knha or adhoc; with random terms z or t.")] = "z",
    measure: Annotated[
        str | None, typer.Option(help="Compute effect sizes first (yi, vi): RR, OR, SMD, ZCOR, ...")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="What it is computed from: ai=tpos,bi=tneg,ci=cpos,di=cneg.", metavar="NAME=COLUMN,..."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Robust tests (CR2) by the clusters in this column.", metavar="COLUMN")
    ] = None,
    slab: Annotated[str | None, typer.Option(help="Column of the labels of estimates.", metavar="COLUMN")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of the groups of the forest plot.", metavar="COLUMN")
    ] = None,
    transf: Annotated[
        str | None, typer.Option(help="Show means and forest plot on another scale: exp, tanh, expit, ...")
    ] = None,
    level: Annotated[float, typer.Option(help="Probability the intervals hold.")] = 0.95,
    forest: Annotated[
        Path | None, typer.Option(help=f"Draw a forest plot ({', '.join(PICTURES)}).", metavar="FILE")
    ] = None,
    funnel: Annotated[Path | None, typer.Option(help="Draw a funnel plot.", metavar="FILE")] = None,
    na: Na = None,
    table: Table = None,
    json_file: Json = None,
) -> None:
    """Fit a meta-analysis and print what it found.

    Random terms, as in 'yi ~ 1 + (1 | district/school)', are for estimates that depend on each other.
    """
    analysis = Analysis(
        formula, vi, sei, method, test, level, measure, read_columns(columns), cluster, slab, group, transf
    )  # fmt: skip
    for picture_file in (forest, funnel):
        if picture_file is not None:
            check_picture(picture_file)
    if json_file is not None:
        check_output(json_file, [".json"])
    frame = _read(data, na, table)
    analysis.check(frame)
    with working("fitting the model"):
        found = analyse(analysis, frame)
    # drawn before anything is printed: a funnel that this fit cannot have is an error, and then nothing else is said
    drawn = []
    for name, path, draw in (("forest", forest, found.forest), ("funnel", funnel, found.funnel)):
        if path is not None:
            with working("drawing"):
                drawn.append((name, path, draw(path.suffix)))
    first, *rest = found.pages()
    show_summary(first)
    for name, numbers in found.tables().items():
        show_table(as_text(TITLES[name], numbers))
    for page in rest:
        say()
        show_summary(page)
    if json_file is not None:
        _write_json(json_file, found.as_json(data))
    for i, (name, path, content_of_file) in enumerate(drawn):
        write_whole(path, content_of_file)
        say(("" if i else "\n") + f"{name} plot: {path}")


@app.command()
def robma(
    formula: Annotated[
        str, typer.Argument(help="For example 'yi ~ 1' or 'yi ~ grade'.", metavar="FORMULA", show_default=False)
    ],
    data: Data,
    vi: Annotated[
        str | None, typer.Option(help="Column of the sampling variances; 'vi' if none is named.", metavar="COLUMN")
    ] = None,
    sei: Annotated[str | None, typer.Option(help="Column of the standard errors instead.", metavar="COLUMN")] = None,
    measure: Annotated[
        str | None, typer.Option(help="What the estimates are: SMD, COR, ZCOR; with robma4 also OR, RR, HR, IRR.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Compute --measure first, from these columns.", metavar="NAME=COLUMN,..."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Column of what estimates share, such as a study.", metavar="COLUMN")
    ] = None,
    test_clusters: Annotated[
        bool, typer.Option("--test-clusters", help="Average over models without clustering as well.")
    ] = False,
    priors: Annotated[str, typer.Option(help="robma3 or robma4.")] = "robma3",
    bias: Annotated[str, typer.Option(help="Models of publication bias: PSMA, PP, 2w, 6w or none.")] = "PSMA",
    mechanism: Annotated[
        str, typer.Option(help="How estimates of a cluster are selected: conditional, joint or best.")
    ] = "conditional",
    direction: Annotated[
        str | None, typer.Option(help="Which estimates are likelier to be seen: positive, negative or detect.")
    ] = None,
    ni: Annotated[str | None, typer.Option(help="Column of the sample sizes.", metavar="COLUMN")] = None,
    slab: Annotated[str | None, typer.Option(help="Column of the labels of estimates.", metavar="COLUMN")] = None,
    transf: Annotated[str | None, typer.Option(help="Show the forest plot on another scale: exp, tanh, ...")] = None,
    level: Annotated[float, typer.Option(help="Probability the intervals hold.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the draws.", min=0)] = 1,
    forest: Annotated[
        Path | None, typer.Option(help=f"Draw a forest plot ({', '.join(PICTURES)}).", metavar="FILE")
    ] = None,
    funnel: Annotated[Path | None, typer.Option(help="Draw a funnel with PET and PEESE.", metavar="FILE")] = None,
    weights: Annotated[Path | None, typer.Option(help="Draw the weight function.", metavar="FILE")] = None,
    models: Annotated[Path | None, typer.Option(help="Draw the models by probability.", metavar="FILE")] = None,
    na: Na = None,
    table: Table = None,
    json_file: Json = None,
) -> None:
    """Average a meta-analysis over models with and without an effect, heterogeneity and publication bias."""
    asked = Averaging(
        formula, vi, sei, measure, read_columns(columns), cluster, test_clusters, priors, bias, mechanism, direction,
        ni, slab, transf, level, seed,
    )  # fmt: skip
    pictures = {kind: path for kind, path in zip(PLOTS, (forest, funnel, weights, models), strict=True) if path}
    for path in pictures.values():
        check_picture(path)
    if json_file is not None:
        check_output(json_file, [".json"])
    frame = _read(data, na, table)
    asked.check(frame)
    with working("computing the evidence of models"):
        fitted = asked.fit(frame)
    # drawn before anything is printed: a picture that this fit cannot have is an error, and then nothing else is said
    with working("drawing"):
        drawn = asked.pictures(fitted, {kind: path.suffix for kind, path in pictures.items()})
    show_summary(fitted.summary())
    if json_file is not None:
        _write_json(json_file, asked.as_json(fitted, data))
    for i, (kind, path) in enumerate(pictures.items()):
        write_whole(path, drawn[kind])
        say(("" if i else "\n") + f"{kind} plot: {path}")


@app.command()
def demo(plot: Annotated[Path, typer.Option(help="Where the forest plot goes.", metavar="FILE")] = PICTURE) -> None:
    """Fit Project STAR and show the effect of small classes by race, gender and school lunch.

    Without matplotlib the picture is one that a browser draws, in a page to explore.
    """
    if plot == PICTURE:
        _make_folder(plot.parent)
    check_output(plot, PICTURES)
    run_demo(plot)


@app.command()
def learn(
    data: Data,
    outcome: Annotated[str, typer.Option(help="Column of the outcome.", metavar="COLUMN")],
    treatment: Annotated[str, typer.Option(help="Column of the treatment.", metavar="COLUMN")],
    groups: Annotated[str | None, typer.Option(help="Column of groups, such as schools.", metavar="COLUMN")] = None,
    learner: Annotated[str, typer.Option(help="S, T, X, R, DR, F, M or M+.")] = "R",
    propensity: Annotated[
        str | None, typer.Option(help="Column of known propensities, or a number; estimated if left out.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="What scores are pooled by: '1 + (1 | school) + (1 | ethnicity)'.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Columns whose subgroups are shown.", metavar="COLUMN,...")] = None,
    ignore: Annotated[str | None, typer.Option(help="Columns that are no covariates.", metavar="COLUMN,...")] = None,
    share: Annotated[float, typer.Option(help="Share of people who can be treated.")] = 0.3,
    target: Annotated[str, typer.Option(help="'these groups' or 'new groups': whom predictions are for.")] = TARGETS[0],
    folds: Annotated[int, typer.Option(help="Folds of cross-fitting.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the folds and the default models.")] = 0,
    level: Annotated[float, typer.Option(help="Probability the intervals hold.")] = 0.95,
    clip: Annotated[float | None, typer.Option(help="Propensities are at least this, 0.02 say.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help=f"Draw the budget curve ({', '.join(PICTURES)}).", metavar="FILE")
    ] = None,
    na: Na = None,
    table: Table = None,
    json_file: Json = None,
) -> None:
    """Learn for whom a treatment works, and what treating the most promising is worth."""
    asked = Learning(
        outcome, treatment, groups, learner, propensity, pool, _names(by), _names(ignore), share, target, folds, seed,
        level, clip,
    )  # fmt: skip
    if plot is not None:
        check_picture(plot)
    if json_file is not None:
        check_output(json_file, [".json"])
    frame = _read(data, na, table)
    with working("learning effects"):
        found = asked.learn(frame)
    for i, page in enumerate(found.pages()):
        if i:
            say()
        show_summary(page)
    if json_file is not None:
        _write_json(json_file, found.as_json(data))
    if plot is not None:
        write_whole(plot, found.targeting.plot().render(plot.suffix.lstrip(".")))
        say(f"\nbudget curve: {plot}")


def _names(text: str | None) -> tuple[str, ...]:
    """Names between commas."""
    return () if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


@app.command()
def datasets() -> None:
    """List the data sets that come with the package; their names can be used as DATA."""
    table = mx.datasets.describe()
    show_table(as_text("Data sets", table.drop(columns="source")))
    for name in table["name"]:
        about = mx.datasets.about(name)
        columns = pd.DataFrame({"column": list(about.columns), "meaning": list(about.columns.values())})
        show_table(as_text(name, columns))
        say(f"Source: {about.source}.")
        for caveat in about.caveats:
            say(f"- {caveat}")


@app.command()
def cache(clear: Annotated[bool, typer.Option("--clear", help="Remove the compiled programs.")] = False) -> None:
    """Show where compiled Stan programs are kept, and how many; they can always be made again."""
    from mixedfx.bayes.engines.cache import cache_table, clear_cache, programs_folder

    table = cache_table()
    say(f"{programs_folder()}: {len(table)} compiled programs, {table['bytes'].sum() / 2**20:.1f} MiB")
    if clear:
        say(f"removed: {clear_cache() / 2**20:.1f} MiB")


def _read(source: str, na: list[str] | None, table: str | None = None) -> pd.DataFrame:
    words = read_na(na)
    with working(f"reading {source}"):
        frame, notes = read_table(source, words, table)
    for sentence in notes:
        note(sentence)
    return frame


def _fit_as_json(fitted: LmerFit, data: str) -> dict[str, Any]:
    own = {"method": "REML" if fitted.REML else "ML", "convergence": fitted.optimization.message}
    return fit_as_json(fitted, data) | own | {"glance": fitted.glance()}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    def encode(value: Any) -> Any:
        if isinstance(value, pd.DataFrame):  # to_json knows NaN (null) and NumPy's types
            return json.loads(str(value.to_json(orient="records", double_precision=15)))
        raise TypeError(f"{type(value).__name__} has no form in JSON")

    write_whole(path, (json.dumps(content, indent=2, ensure_ascii=False, default=encode) + "\n").encode())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise mx.errors.DataError(
            f"{folder}: cannot be made ({error.strerror})", hint="Name another place with --plot."
        ) from error


register(app, _read, _write_json)
register_explore(app, _read)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Examples
    --------
    >>> from mixedfx.cli.app import run
    >>> run(["fit", "math ~ small", "no-such-file.csv"])
    2
    """
    return guarded(lambda: app(list(arguments), prog_name="mixedfx", standalone_mode=False))


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))
