"""CmdStan through cmdstanpy: the reference implementation, compiled by a C++ compiler once for each program.

The executable of a program is kept in the user's cache (`cache.py`), never beside sources. Sampling writes to a
temporary folder that goes when the draws have been read. Numbers travel as text of 17 digits, which is exact.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.engines import cache
from mixedfx.bayes.engines.base import OPTIONS, Settings, StanDraws, require
from mixedfx.bayes.engines.children import run_interruptibly
from mixedfx.bayes.engines.cmdstan_output import read_output
from mixedfx.bayes.engines.data import data_json, gather
from mixedfx.bayes.engines.progress import chain_lines, standard_output_read_by
from mixedfx.errors import MissingPackageError, ModelError
from mixedfx.progress import is_shown

Array = NDArray[np.float64]
Result = TypeVar("Result")

INSTALL_PACKAGE = "pip install 'mixedfx[bayes]'"
INSTALL_CMDSTAN = "python -m cmdstanpy.install_cmdstan"
PROGRAM = "program"  # name of source and executable within an entry of the cache
DIGITS = 17
REPORTS = 50  # progress reports of a chain
MENDS = {
    "nuts": "Check the data and the priors: some point between -2 and 2 on the unconstrained scale must have a finite "
    "density.",
    **dict.fromkeys(["pathfinder", "laplace", "variational"], "Use algorithm='nuts', which needs no approximation."),
}
SUFFIX = ".exe" if platform.system() == "Windows" else ""


class CmdStan:
    """The engine `cmdstan`; see `mixedfx.bayes.engines.base.Engine` for the verbs.

    `Settings.algorithm` may also be ``"pathfinder"`` (as many paths as `chains`, resampled by Pareto-smoothed
    importance), ``"laplace"`` (around the posterior mode on the unconstrained scale) or ``"variational"`` (mean-field
    ADVI): independent draws from an approximation, laid out as chains.
    """

    name = "cmdstan"
    options = OPTIONS
    algorithms = tuple(MENDS)
    compiles = True

    def available(self) -> str | None:
        """None if cmdstanpy and CmdStan are installed; else the reason and the command that installs them."""
        try:
            import cmdstanpy
        except ModuleNotFoundError:
            return f"cmdstanpy is not installed\n{INSTALL_PACKAGE}"
        except Exception as error:
            return f"cmdstanpy cannot be imported: {error}\n{INSTALL_PACKAGE} --force-reinstall"
        try:
            cmdstanpy.cmdstan_path()
        except ValueError:
            place = os.environ.get("CMDSTAN")
            return f"CmdStan is not installed{f' in CMDSTAN={place}' if place else ''}\n{INSTALL_CMDSTAN}"
        return None

    def sample(self, text: str, data: Mapping[str, Any], settings: Settings, keep: Collection[str]) -> StanDraws:
        """Sample the program, or draw from an approximation, and keep the variables named in `keep`."""
        started = time.perf_counter()
        require(self)
        content = data_json(data)
        shown = is_shown(settings.progress)
        executable = self.executable(text, threads=settings.threads > 1, shown=shown)
        shown = shown and settings.algorithm == "nuts"
        iterations = settings.warmup + settings.draws_per_chain
        with _scratch() as folder:
            (folder / "data.json").write_text(content, encoding="utf-8")
            run = Run(executable, folder, settings)
            with chain_lines(settings.chains, iterations, settings.progress if shown else False) as report:

                def work() -> Any:
                    with standard_output_read_by(report):
                        return run.fit(shown)

                try:
                    fit = run_interruptibly(work, mark=str(folder))
                except (RuntimeError, ValueError) as error:
                    said = _console(folder) or str(error)
                    raise ModelError(
                        f"CmdStan could not sample the Stan program\n{said}", hint=MENDS[settings.algorithm]
                    ) from error
            found, sampler = read_output(fit, settings, keep)
        return StanDraws(
            variables=gather(found, keep, text, (settings.chains, settings.draws_per_chain)),
            sampler=sampler,
            engine=self.name,
            version=run.version,
            algorithm=settings.algorithm,
            seconds=time.perf_counter() - started,
        )

    def log_density(self, text: str, data: Mapping[str, Any], unconstrained: Array) -> Array:
        """Log density at points on the unconstrained scale, (s, d) -> (s,)."""
        require(self)
        points = np.atleast_2d(np.asarray(unconstrained, dtype=np.float64))
        executable = self.executable(text)
        with _scratch() as folder:
            (folder / "data.json").write_text(data_json(data), encoding="utf-8")
            return np.array([_log_density_at(executable, folder, point) for point in points])

    def check(self, text: str) -> None:
        """Parse and type-check the program with the stanc of CmdStan."""
        require(self)
        from cmdstanpy.compilation import CompilerOptions, src_info

        with _scratch() as folder:
            source = folder / f"{PROGRAM}.stan"
            source.write_text(text, encoding="utf-8")
            try:
                src_info(str(source), CompilerOptions())
            except ValueError as error:
                raise ModelError(f"the Stan program does not compile\n{error}") from error

    def executable(self, text: str, *, threads: bool = False, shown: bool = False) -> Path:
        """The executable of a program, from the cache or compiled now.

        `threads` compiles ``reduce_sum`` to run in parallel; `shown` says on standard error that a compiler is at work.
        """
        require(self)
        key = cache.key_of(text, _installation(), f"threads={threads}", platform.platform())
        return cache.entry(key, lambda folder: _compile(text, folder, threads, shown)) / f"{PROGRAM}{SUFFIX}"


@dataclass(frozen=True)
class Run:
    """One run of an executable; data and output in `folder`, which every command line names."""

    executable: Path
    folder: Path
    settings: Settings

    @property
    def model(self) -> Any:
        """Cmdstanpy's model of the executable."""
        import cmdstanpy

        return cmdstanpy.CmdStanModel(exe_file=self.executable)

    @property
    def version(self) -> str:
        """Version of CmdStan that built the executable."""
        info = self.model.exe_info()
        return ".".join(info.get(f"stan_version_{part}", "?") for part in ("major", "minor", "patch"))

    def fit(self, shown: bool) -> Any:
        """Call CmdStan; `shown` prints its progress to standard output."""
        algorithms: dict[str, Callable[[dict[str, Any]], Any]] = {
            "nuts": lambda common: self._nuts(common, shown),
            "pathfinder": self._pathfinder,
            "laplace": self._laplace,
            "variational": self._variational,
        }
        common = {
            "data": str(self.folder / "data.json"),
            "seed": int(self.settings.seed),
            "output_dir": str(self.folder),
            "sig_figs": DIGITS,
        }
        with _quiet(), _environment("STAN_NUM_THREADS"):
            return algorithms[self.settings.algorithm](common)

    @property
    def total(self) -> int:
        """Draws of all chains."""
        return self.settings.chains * self.settings.draws_per_chain

    def _nuts(self, common: dict[str, Any], shown: bool) -> Any:
        settings = self.settings
        iterations = settings.warmup + settings.draws_per_chain
        return self.model.sample(
            **common,
            chains=settings.chains,
            parallel_chains=settings.parallel_chains,
            threads_per_chain=settings.threads if settings.threads > 1 else None,
            inits=self._inits(common) if settings.inits == "pathfinder" else None,
            iter_warmup=settings.warmup,
            iter_sampling=settings.draws_per_chain,
            adapt_delta=settings.adapt_delta,
            max_treedepth=settings.max_treedepth,
            show_progress=False,
            show_console=shown,
            refresh=max(1, iterations // REPORTS),
        )

    def _inits(self, common: dict[str, Any]) -> Any:
        """A start for each chain, drawn from a Pathfinder approximation of one path for each."""
        approximation = self.model.pathfinder(
            **common, num_paths=max(2, self.settings.chains), draws=1000, psis_resample=False, time_fmt="inits"
        )
        return approximation.create_inits(seed=int(self.settings.seed), chains=self.settings.chains)

    def _pathfinder(self, common: dict[str, Any]) -> Any:
        return self.model.pathfinder(
            **common, num_paths=max(2, self.settings.chains), num_single_draws=max(1000, self.total), draws=self.total
        )

    def _laplace(self, common: dict[str, Any]) -> Any:
        return self.model.laplace_sample(**common, draws=self.total, jacobian=True)

    def _variational(self, common: dict[str, Any]) -> Any:
        return self.model.variational(**common, draws=self.total)


def _installation() -> str:
    """What an executable depends on besides its program: which CmdStan, where, and the flags of its compiler."""
    import cmdstanpy

    folder = Path(cmdstanpy.cmdstan_path())
    files = [folder / "makefile", folder / "make" / "local"]
    return "\n".join([str(folder), *(path.read_text(encoding="utf-8") for path in files if path.is_file())])


def _compile(text: str, folder: Path, threads: bool, shown: bool) -> None:
    """Put source and executable into the folder."""
    import cmdstanpy

    if shown:
        print("CmdStan compiles the program: up to a minute, once for each program", file=sys.stderr)
    source = folder / f"{PROGRAM}.stan"
    source.write_text(text, encoding="utf-8")
    options = {"STAN_THREADS": True} if threads else None

    def work() -> str:
        with _quiet():
            return cmdstanpy.compile_stan_file(source, cpp_options=options)

    try:
        run_interruptibly(work, mark=str(folder))
    except (RuntimeError, ValueError) as error:
        make = os.environ.get("MAKE", "mingw32-make" if SUFFIX else "make")
        if shutil.which(make) is None:
            raise MissingPackageError(
                f"CmdStan compiles with {make} and a C++ compiler, and {make} is not to be found",
                hint="Install a C++ toolchain, or use engine='stanli', which needs none.",
            ) from error
        raise ModelError(f"the Stan program does not compile\n{error}") from error
    for path in folder.iterdir():
        if path.name not in (f"{PROGRAM}.stan", f"{PROGRAM}{SUFFIX}"):
            path.unlink()


def _console(folder: Path, lines: int = 10) -> str:
    """The last lines that a run printed, of the first of its chains that did not come to its end."""
    consoles = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*-stdout.txt"))]
    said = next((text for text in consoles if "Elapsed Time" not in text), "").splitlines()
    return "\n".join([line for line in said if line.strip()][-lines:])


def _log_density_at(executable: Path, folder: Path, point: Array) -> float:
    """Minus infinity where a distribution or a function refuses the point."""
    import subprocess

    (folder / "point.json").write_text(data_json({"params_r": point}), encoding="utf-8")
    output = folder / "log_density.csv"
    output.unlink(missing_ok=True)
    command = [str(executable), "log_prob", f"unconstrained_params={folder / 'point.json'}", "jacobian=1"]
    command += ["data", f"file={folder / 'data.json'}", "output", f"file={output}", f"sig_figs={DIGITS}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = output.read_text(encoding="utf-8").splitlines() if output.is_file() else []
    rows = [line for line in lines if line and not line.startswith("#")]
    if not rows:  # it writes the names of the columns once it has program and data
        raise ModelError(f"CmdStan could not evaluate the Stan program\n{done.stderr or done.stdout}")
    value = float(rows[1].split(",")[0]) if len(rows) > 1 else -np.inf
    return -np.inf if np.isnan(value) else value


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder; its name is in the command line of everything started for it."""
    with tempfile.TemporaryDirectory(prefix="mixedfx-stan-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


@contextmanager
def _quiet() -> Iterator[None]:
    """Cmdstanpy without its log: errors carry what it would say."""
    import cmdstanpy

    with cmdstanpy.disable_logging():
        yield


@contextmanager
def _environment(name: str) -> Iterator[None]:
    """Put a variable of the environment back as it was: cmdstanpy sets one for each run."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
