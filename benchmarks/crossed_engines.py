"""The iterative solver against the factor on the crossed cases of the benchmark: how far estimates are apart.

    python -m benchmarks.crossed_engines maximal maximal-singular
    python -m benchmarks.crossed_engines insteval insteval-slopes --insteval insteval.csv
    python -m benchmarks.crossed_engines maximal maximal-singular --few 0

Asked for is that every standard deviation is within 5 % of its standard error of the exact one, and within three Monte
Carlo errors, in which what the search left of its last step is counted. Factors with few levels are solved for exactly;
``--few 0`` leaves that out, so that everything rests on probes.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.cases import CASES, Sources


def compare(name: str, sources: Sources) -> str:
    """One line of the table."""
    import mixedfx as mx
    from mixedfx.errors import MixedfxWarning

    case = next(case for case in CASES if case.name == name)
    data, fits, seconds = case.data(sources), [], []
    for solver in ("direct", "iterative"):
        begin = process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # some of these are singular, which is what they are for
            fits.append(mx.lmer(case.formula, data, control={"solver": solver}))
        seconds.append(process_time() - begin)
    direct, found = fits
    table = found.monte_carlo
    sds = [fit.varcorr.loc[fit.varcorr["var2"].isna(), "sdcor"].to_numpy() for fit in fits]
    off = np.abs(sds[1] - sds[0])
    of_errors = np.divide(off, table["monte_carlo_error"], out=np.zeros(len(off)), where=table["std_error"] > 0)
    se = np.sqrt(np.diag(direct.vcov))
    cells = [
        name, f"{found.solution.monte_carlo.probes}", f"{table['share'].max():.3%}",
        f"{np.max(off / np.where(table['std_error'] > 0, table['std_error'], np.inf)):.3%}", f"{of_errors.max():.2f}",
        f"{np.max(np.abs(found.fixef - direct.fixef) / se):.1e}",
        f"{np.max(np.abs(np.sqrt(np.diag(found.vcov)) / se - 1)):.1e}",
        f"{found.criterion - direct.criterion:+.4f} ({found.solution.monte_carlo.criterion_error:.4f})",
        f"{seconds[0]:.1f} and {seconds[1]:.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Compare the cases that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--insteval", type=Path, help="CSV file of InstEval; without it a simulation of its shape")
    parser.add_argument("--few", type=int, help="effects of factors with few levels that are solved for exactly")
    options = parser.parse_args()
    if options.few is not None:
        from mixedfx.pls import iterative

        iterative.FEW_OF_FEW = iterative.FEW_EFFECTS = options.few
    head = ["case", "probes", "largest error / se", "sd off / se", "off / error", "beta off / se", "its se off"]
    head += ["criterion off (error)", "CPU s, direct and iterative"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name in options.cases:
        print(compare(name, Sources(insteval=options.insteval)), flush=True)


if __name__ == "__main__":
    main()
