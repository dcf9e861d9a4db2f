r"""The two questions a database is asked: what its rows are, and what they add up to within cells.

The first counts rows by which columns they lack and whether their weight is zero, and gives means and ranges of the
complete ones. The second sums, within each cell of rows that share all levels,

    S = sum w d d',      d = (1, v_1 - c_1, ..., v_K - c_K, y - c_y),

the c being means that the first question gave: products of columns far from zero would lose the digits that their
differences have (Chan, Golub & LeVeque 1983, The American Statistician 37:242). Beside them comes one row's own values
in each cell, of which a sample is made.

Everything is cast to doubles before it is multiplied. Names of the source are quoted and stand in the innermost SELECT
alone; from there on columns are called r0, r1, ...
"""

from __future__ import annotations

from collections.abc import Sequence

from mixedfx.design.databases import ROWS, Dialect
from mixedfx.design.sql_expressions import number_text
from mixedfx.design.sql_learning import asked_of
from mixedfx.design.sql_terms import Needed

INFINITY = "CAST('Infinity' AS DOUBLE)"


def _source(needs: Needed, dialect: Dialect) -> str:
    own = {name: dialect.name(name) for name in needs.columns}
    own |= {name: dialect.exact.format(own[name]) for name in needs.texts}
    return f"(SELECT {', '.join(f'{sql} AS r{i}' for i, sql in enumerate(own.values()))} FROM {ROWS}) AS given"


def values(needs: Needed) -> dict[str, str]:
    """What is summed: v0, v1, ... of the monomials and the response less the offset, y; in SQL."""
    offset = "" if needs.offset is None else f" - ({needs.offset})"
    return {f"v{i}": sql for i, sql in enumerate(needs.monomials.values())} | {"y": f"({needs.response}{offset})"}


def learning_query(needs: Needed, dialect: Dialect) -> str:
    """Means and variances of what transforms learn from (`mixedfx.design.sql_learning`)."""
    return f"SELECT {asked_of(needs.learners)} FROM {_source(needs, dialect)} WHERE {needs.used}"


def facts_query(needs: Needed, dialect: Dialect) -> str:
    """Counts of rows by what they lack, and of each kind the means and ranges of all values.

    Columns of the answer: m0, m1, ... whether each column is missing, z whether the weight is zero; n rows, `cells` the
    approximate number of cells; of each value `finite_`, the count of finite ones, and `mean_`; of y, the response
    itself (u) and the offset (o) `least_` and `most_`; `square` the sum of u^2, `log_weights` and the least and largest
    weight.
    """
    own = values(needs)
    flags = [f"{sql} AS m{i}" for i, sql in enumerate(needs.lacking)]
    weight = needs.weights
    flags.append(("FALSE" if weight is None else f"COALESCE({weight} = 0, FALSE)") + " AS z")
    columns = [f"{sql} AS {name}" for name, sql in own.items()]
    columns += [f"{needs.response} AS u", f"{needs.offset or number_text(0.0)} AS o"]
    columns += [] if weight is None else [f"{weight} AS w"]
    keys = [f"r{needs.columns.index(name)}" for name in needs.keys]
    inner = f"SELECT {', '.join([*flags, *columns, *keys])} FROM {_source(needs, dialect)}"
    kinds = [f"m{i}" for i in range(len(needs.columns))] + ["z"]
    asked = ["COUNT(*) AS n"]
    asked.append((f"APPROX_COUNT_DISTINCT({dialect.hash_of(keys)})" if keys else "1") + " AS cells")
    for name in own:
        asked.append(f"COUNT(CASE WHEN ABS({name}) < {INFINITY} THEN 1 END) AS finite_{name}")
        asked.append(f"AVG({name}) AS mean_{name}")
    for name in ("y", "u", "o"):
        asked += [f"MIN({name}) AS least_{name}", f"MAX({name}) AS most_{name}"]
    asked.append(f"{dialect.total}(u * u) AS square")
    if weight is not None:
        logs = f"{dialect.total}(CASE WHEN w > 0 THEN LN(w) END)"
        asked += ["MIN(w) AS least_w", "MAX(w) AS most_w", f"{logs} AS log_weights"]
    return f"SELECT {', '.join([*kinds, *asked])} FROM ({inner}) AS valued GROUP BY {', '.join(kinds)}"


def cells_query(
    needs: Needed, dialect: Dialect, centres: Sequence[float], ends: tuple[float, float], parts: int
) -> str:
    """Sums within cells.

    Parameters
    ----------
    needs, dialect
        What is asked, and in which words.
    centres
        (K + 1,) the c of the values.
    ends
        Smallest and largest value of the response itself: rows with others are counted.
    parts
        Into how many parts, by a hash of the response, each cell is cut: few cells would give a small sample and long
        sums.

    Notes
    -----
    Columns of the answer: r0, r1, ... the keys and of other columns one row's value, n rows, `between_ends` those whose
    response is neither of its ends, s_i_j the entries of S, i <= j.
    """
    own = values(needs)
    names = list(own)
    keys = [f"r{needs.columns.index(name)}" for name in needs.keys]
    others = [f"r{i}" for i, name in enumerate(needs.columns) if name not in needs.keys]
    columns = [f"r{i}" for i in range(len(needs.columns))]
    for i, (name, centre) in enumerate(zip(names, centres, strict=True), start=1):
        columns.append(f"{own[name]} - {number_text(centre)} AS d{i}")
    columns += [f"{needs.response} AS u"] + ([] if needs.weights is None else [f"{needs.weights} AS w"])
    columns += [f"ABS({dialect.hash_of(['u'])} % {parts}) AS part"] if parts > 1 else []
    inner = f"SELECT {', '.join(columns)} FROM {_source(needs, dialect)} WHERE {needs.used}"
    low, high = map(number_text, ends)
    asked = [*keys, *(f"ANY_VALUE({r}) AS {r}" for r in others), "COUNT(*) AS n"]
    asked.append(f"COUNT(CASE WHEN u > {low} AND u < {high} THEN 1 END) AS between_ends")
    for i in range(len(names) + 1):
        for j in range(i, len(names) + 1):
            factors = ([] if needs.weights is None else ["w"]) + [f"d{k}" for k in (i, j) if k > 0]
            term = " * ".join(factors)
            asked.append(f"{dialect.total}({term}) AS s_{i}_{j}" if term else f"COUNT(*) AS s_{i}_{j}")
    by = keys + (["part"] if parts > 1 else [])
    grouped = f" GROUP BY {', '.join(by)}" if by else ""
    return f"SELECT {', '.join(asked)} FROM ({inner}) AS valued{grouped}"
