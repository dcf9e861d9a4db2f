"""The likelihood in the model block, in slices, and row by row in the generated quantities.

The linear predictor is a sum of intercept, offset, predictors and random terms; a random term contributes the effects
of each row's level, looked up by index, times the covariates of the row. Where a GLM kernel exists it takes X and beta
itself, and the rest of the sum as its intercept.
"""

from __future__ import annotations

from mixedfx.bayes.stan.chunks import Blocks
from mixedfx.bayes.stan.likelihood import Likelihood, likelihood
from mixedfx.bayes.stan.shape import ZEROS, ModelShape, TermShape, term_number

SLICE = "[start:end]"
SLICE_LENGTH = "end - start + 1"
WIDTH = 80


def add_likelihood(blocks: Blocks, shape: ModelShape) -> None:
    """Add the likelihood to the model block, through a function of slices where there are threads."""
    spec = likelihood(shape)
    if shape.threads:
        _add_slices(blocks, shape, spec)
        names = [name for _, name in _arguments(shape)]
        body = _call_lines("target += reduce_sum(", ["partial_log_lik_lupmf", "row_numbers", "grainsize", *names], ");")
    elif shape.nominal and not spec.glm:
        body = [*_nominal(shape, "", "N"), "for (n in 1:N) {", "  y[n] ~ categorical_logit(eta[n]');", "}"]
    else:
        declared, call = _call(shape, spec, "", "N")
        body = [*declared, f"y ~ {call[0]}({call[1]});"]
    model = blocks.lines["model"]
    model[:0] = ["if (!prior_only) {", *(f"  {line}" for line in body), "}"]


def _add_slices(blocks: Blocks, shape: ModelShape, spec: Likelihood) -> None:
    """Write the function that `reduce_sum` calls."""
    given = ["array[] int slice", "int start", "int end", *(f"{kind} {name}" for kind, name in _arguments(shape))]
    if shape.nominal and not spec.glm:
        body = [
            *_nominal(shape, SLICE, SLICE_LENGTH),
            "real total = 0;",
            "for (n in 1:rows(eta)) {",
            "  total += categorical_logit_lupmf(y[start + n - 1] | eta[n]');",
            "}",
            "return total;",
        ]
    else:
        declared, (name, call) = _call(shape, spec, SLICE, SLICE_LENGTH)
        body = [*declared, f"return {name}_{spec.unnormalised}(y{SLICE} | {call});"]
    blocks.put(
        "functions",
        "\n".join(
            [
                "// Log likelihood of the rows from start to end.",
                *_call_lines("real partial_log_lik_lpmf(", given, ") {"),
                *(f"  {line}" for line in body),
                "}",
            ]
        ),
    )
    blocks.put("data", "int<lower=1> grainsize;  // rows of a slice")
    blocks.lines["transformed data"].insert(0, "array[N] int row_numbers = linspaced_int_array(N, 1, N);")


def _call_lines(head: str, arguments: list[str], tail: str) -> list[str]:
    """A call or a signature, broken between arguments where it is long."""
    lines = [head + arguments[0]]
    for argument in arguments[1:]:
        if len(lines[-1]) + len(argument) + 2 <= WIDTH:
            lines[-1] += f", {argument}"
        else:
            lines[-1] += ","
            lines.append("    " + argument)
    lines[-1] += tail
    return lines


def _call(shape: ModelShape, spec: Likelihood, at: str, length: str) -> tuple[list[str], tuple[str, str]]:
    """Local variables, and the distribution of y with its arguments, for the rows `at`."""
    if spec.glm and shape.nominal:
        declared = [
            "matrix[K, C] B = rep_matrix(0, K, C);  // coefficients, zero for the first category",
            "for (c in 1:(C - 1)) {",
            "  B[, c + 1] = beta[c];",
            "}",
        ]
        intercepts = "append_row(0, to_vector(alpha))" if shape.intercept else "rep_vector(0, C)"
        return declared, (spec.glm, _fill(shape, spec.glm_arguments, at, alpha=intercepts, beta="B"))
    summands = _summands(shape, at, predictors=spec.glm is None)
    if spec.glm and not any(vector for vector, _ in summands):
        alpha = " + ".join(text for _, text in summands) or "0"
        return [], (spec.glm, _fill(shape, spec.glm_arguments, at, alpha=alpha))
    note = ["// X beta is left to the likelihood"] if spec.glm else []
    declared = [*note, *_declared(f"vector[{length}] eta", _sum(summands, length)), *_zeta(shape, at, length)]
    if spec.glm:
        return declared, (spec.glm, _fill(shape, spec.glm_arguments, at, alpha="eta"))
    return declared, (spec.name, _fill(shape, spec.arguments, at, eta="eta", zeta="zeta"))


def _zeta(shape: ModelShape, at: str, length: str) -> list[str]:
    """The linear predictor of the zeros, where they have one."""
    if shape.zero is None:
        return []
    summands = _summands(shape.zero, at, predictors=True, p=ZEROS)
    return _declared(f"vector[{length}] zeta", _sum(summands, length))


def _nominal(shape: ModelShape, at: str, length: str) -> list[str]:
    """Linear predictors of all categories."""
    summed = _sum(_summands(shape, at, predictors=True), length)
    return [
        f"matrix[{length}, C] eta = rep_matrix(0, {length}, C);  // zero for the first category",
        "for (c in 1:(C - 1)) {",
        *(f"  {line.replace('@', '[c]')}" for line in _declared("eta[, c + 1]", summed)),
        "}",
    ]


def _summands(shape: ModelShape, at: str, *, predictors: bool, p: str = "") -> list[tuple[bool, str]]:
    """Parts of the linear predictor whose names end with `p`: whether a vector, and the text."""
    each = "@" if shape.nominal else ""
    parts = [(False, f"alpha{p}{each}")] if shape.intercept else []
    if shape.offset:
        parts.append((True, f"offsets{p}{at}"))
    if predictors and shape.predictors:
        parts.append((True, f"{matrix_name(shape)}{p}{at} * beta{p}{each}"))
    for number, term in enumerate(shape.terms, start=1):
        t = term_number(p, number)
        effects = f"u_{t}{each}[g_{t}{at}]"
        if term.several:
            effects = f"rows_dot_product({covariates_name(term, t)}{at}, {effects})"
        elif not term.constant:
            effects = f"Z_{t}{at} .* {effects}"
        parts.append((True, effects))
    return parts


def _sum(summands: list[tuple[bool, str]], length: str) -> str:
    """A vector, even where only numbers are added."""
    text = " + ".join(text for _, text in summands) or "0"
    return text if any(vector for vector, _ in summands) else f"rep_vector({text}, {length})"


def _declared(name: str, summed: str) -> list[str]:
    """An assignment, one summand to a line where it is long."""
    line = f"{name} = {summed};"
    if len(line) <= WIDTH:
        return [line]
    first, *rest = f"{summed};".split(" + ")
    indent = " " * (len(name) + 1)
    return [f"{name} = {first}", *(f"{indent}+ {part}" for part in rest)]


def matrix_name(shape: ModelShape) -> str:
    """Name of the matrix of predictors in the likelihood."""
    return "Xc" if shape.centring else "X"


def covariates_name(term: TermShape, t: str) -> str:
    """Name of the covariates of a random term in the likelihood."""
    return f"Zc_{t}" if term.at_means else f"Z_{t}"


def _scale(shape: ModelShape, at: str) -> str:
    """Residual standard deviation of the rows `at`."""
    if shape.known_sd:
        return f"se{at}"
    return f"sigma * relative_sd{at}" if shape.weights else "sigma"


def _fill(shape: ModelShape, arguments: str, at: str, **values: str) -> str:
    """Arguments with their placeholders filled in for the rows `at`."""
    known = {
        "scale": _scale(shape, at),
        "trials": f"trials{at}",
        "X": f"{matrix_name(shape)}{at}",
        "beta": "beta",
    }
    return arguments.format(**(known | values))


def add_generated(blocks: Blocks, shape: ModelShape) -> None:
    """Add pointwise log likelihood and replicated responses."""
    if not (shape.log_lik or shape.y_rep):
        return
    spec = likelihood(shape)
    if shape.y_rep and shape.ordered:
        blocks.add("functions/cumulative_rng")
    lines = []
    if shape.log_lik:
        lines.append("vector[N] log_lik;  // log likelihood of each row")
    if shape.y_rep:
        lines.append(f"{'array[N] int' if spec.discrete else 'vector[N]'} y_rep;  // responses drawn anew")
    if shape.nominal:
        inner, eta = _nominal(shape, "", "N"), "eta[n]'"
    else:
        summed = _sum(_summands(shape, "", predictors=True), "N")
        inner, eta = [*_declared("vector[N] eta", summed), *_zeta(shape, "", "N")], "eta[n]"
    inner.append("for (n in 1:N) {")
    if shape.log_lik:
        arguments = _fill(shape, spec.arguments, "[n]", eta=eta, zeta="zeta[n]")
        inner.append(f"  log_lik[n] = {spec.name}_{spec.density}(y[n] | {arguments});")
    if shape.y_rep:
        name, given = spec.rng or (spec.name, spec.arguments)
        inner.append(f"  y_rep[n] = {name}_rng({_fill(shape, given, '[n]', eta=eta, zeta='zeta[n]')});")
    inner.append("}")
    generated = blocks.lines["generated quantities"]
    generated += [*lines, "{", *(f"  {line}" for line in inner), "}"]


def _arguments(shape: ModelShape) -> list[tuple[str, str]]:
    """Types and names of what the function of slices needs, data first."""
    spec = likelihood(shape)
    data = [("data array[] int" if spec.discrete else "data vector", "y")]
    parameters: list[tuple[str, str]] = []
    each = "array[] " if shape.nominal else ""
    if shape.nominal:
        data.append(("data int", "C"))
    if shape.trials:
        data.append(("data array[] int", "trials"))
    if shape.known_sd:
        data.append(("data vector", "se"))
    if shape.weights:
        data.append(("data vector", "relative_sd"))
    for part, p in shape.parts:
        if part.offset:
            data.append(("data vector", f"offsets{p}"))
        if part.intercept:
            parameters.append((f"{each}real", f"alpha{p}"))
        if part.predictors:
            data.append(("data matrix", f"{matrix_name(part)}{p}"))
            if shape.nominal and spec.glm:
                data.append(("data int", "K"))
            parameters.append((f"{each}vector", f"beta{p}"))
    if shape.ordered:
        parameters.append(("vector", "cut"))
    parameters += [("real", name) for name, _ in shape.auxiliary]
    for part, p in shape.parts:
        for number, term in enumerate(part.terms, start=1):
            t = term_number(p, number)
            data.append(("data array[] int", f"g_{t}"))
            if not term.constant:
                data.append((f"data {'matrix' if term.several else 'vector'}", covariates_name(term, t)))
            parameters.append((f"{each}{'matrix' if term.several else 'vector'}", f"u_{t}"))
    return data + parameters
