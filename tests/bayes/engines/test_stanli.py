"""stanli: draws in the shapes of the program, reproducible, without a compiler, and gone when interrupted."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import stats

from mixedfx.bayes.engines.base import Settings
from mixedfx.bayes.engines.stanli import Stanli
from mixedfx.errors import MissingPackageError, ModelError, OptionError
from tests.bayes.engines.programs import BERNOULLI, BERNOULLI_DATA, REDUCE_SUM

ENGINE = Stanli()


def run(code, **environment):
    """A Python process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=environment, timeout=60
    )


def test_a_conjugate_posterior_is_recovered():
    """beta(2 + 6, 2 + 2): its mean within four Monte Carlo errors, its distribution by quantiles."""
    draws = ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=1, draws=20000), keep=["p"])
    p = draws.variables["p"]
    exact = stats.beta(8, 4)
    error = exact.std() / np.sqrt(p.size / 4)  # one effective draw in four: fewer than NUTS gives here
    assert p.mean() == pytest.approx(exact.mean(), abs=4 * error)
    assert np.quantile(p, [0.05, 0.5, 0.95]) == pytest.approx(exact.ppf([0.05, 0.5, 0.95]), abs=0.02)


def test_draws_do_not_depend_on_how_many_chains_run_at_a_time():
    one, two = (
        ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=5, draws=400, cores=cores), keep=["p"])
        for cores in (1, 2)
    )
    assert np.array_equal(one.variables["p"], two.variables["p"])


def test_chains_differ_and_so_do_seeds():
    p = ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=5, draws=400), keep=["p"]).variables["p"]
    other = ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=6, draws=400), keep=["p"]).variables["p"]
    assert len({row.tobytes() for row in (*p, *other)}) == 8


def test_settings_reach_the_sampler():
    """A high target of acceptance takes smaller steps; a trajectory of one doubling has one gradient evaluation."""
    low, high = (
        ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=1, draws=400, adapt_delta=delta), keep=["p"]).sampler
        for delta in (0.6, 0.99)
    )
    assert high.step_size.max() < low.step_size.min()
    shallow = ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=1, draws=40, max_treedepth=1), keep=["p"]).sampler
    assert shallow.max_treedepth == 1
    assert set(shallow.treedepth.ravel()) == {1}
    assert set(shallow.leapfrogs.ravel()) == {1}


def test_divergent_transitions_are_seen():
    """Neal's funnel, nine dimensions hanging on one: NUTS cannot follow it into the neck."""
    funnel = "parameters { real v; vector[9] x; } model { v ~ normal(0, 3); x ~ normal(0, exp(v / 2)); }"
    sampler = ENGINE.sample(funnel, {}, Settings(seed=1, draws=4000, adapt_delta=0.5), keep=["v"]).sampler
    assert sampler.divergent.any()
    assert sampler.divergent.shape == (4, 1000)
    assert np.isfinite(sampler.energy).all()


def test_pathfinder_starts_give_other_draws_of_the_same_posterior():
    settings = Settings(seed=1, draws=4000, inits="pathfinder")
    p = ENGINE.sample(BERNOULLI, BERNOULLI_DATA, settings, keep=["p"]).variables["p"]
    assert p.mean() == pytest.approx(8 / 12, abs=0.02)
    assert not np.array_equal(p, ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=1), keep=["p"]).variables["p"])


def test_threads_within_chains_sum_the_same_density():
    data = {"N": 400, "y": [0, 1] * 200}
    draws = ENGINE.sample(REDUCE_SUM, data, Settings(seed=1, chains=2, draws=1000, threads=2), keep=["a"])
    # The likelihood has information N / 4 and the prior 1; both are symmetric about 0.
    assert draws.variables["a"].std() == pytest.approx(1 / np.sqrt(400 / 4 + 1), rel=0.15)
    assert draws.variables["a"].mean() == pytest.approx(0, abs=0.02)


def test_approximations_are_refused_with_the_engine_that_has_them():
    with pytest.raises(OptionError, match="engine='cmdstan', algorithm='laplace'"):
        ENGINE.sample(BERNOULLI, BERNOULLI_DATA, Settings(seed=1, algorithm="laplace"), keep=["p"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"N": 3, "y": [0, 1]}, "mismatch in dimension"),
        ({"N": 2, "y": [0, 2]}, "less than or equal to 1"),
        ({"N": 2, "y": [0, 0.5]}, "non-int"),
        ({"N": 2}, "y"),
    ],
)
def test_data_that_do_not_fit_are_an_error_with_stans_message(data, message):
    with pytest.raises(ModelError, match=message):
        ENGINE.sample(BERNOULLI, data, Settings(seed=1), keep=["p"])


def test_a_density_that_is_nowhere_finite_is_an_error():
    text = "parameters { real x; } model { target += negative_infinity(); x ~ std_normal(); }"
    with pytest.raises(ModelError, match="initialization failed"):
        ENGINE.sample(text, {}, Settings(seed=1), keep=["x"])


def test_points_of_the_wrong_length_are_refused():
    with pytest.raises(ModelError, match="1 unconstrained parameters, these points 2"):
        ENGINE.log_density(BERNOULLI, BERNOULLI_DATA, np.zeros((1, 2)))


def test_values_that_are_no_point_of_the_program_are_refused():
    with pytest.raises(ModelError, match="no point"):
        ENGINE.unconstrain(BERNOULLI, BERNOULLI_DATA, {"p": 1.5})


def test_a_missing_library_is_an_error_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "stanli", None)
    reason = ENGINE.available()
    assert reason is not None
    assert reason.endswith("\npip install 'mixedfx[bayes]'")
    with pytest.raises(MissingPackageError, match="stanli is not installed"):
        ENGINE.check(BERNOULLI)


FIRST_DRAW = f"""
    import resource, sys, time
    started = []
    starters = ("subprocess", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn")
    sys.addaudithook(lambda event, _: started.append(event) if event.startswith(starters) else None)
    from mixedfx.bayes.engines.base import Settings
    from mixedfx.bayes.engines.stanli import Stanli
    before = time.perf_counter()
    settings = Settings(seed=1, chains=1, warmup=100, draws=1)
    draws = Stanli().sample({BERNOULLI!r}, {BERNOULLI_DATA!r}, settings, ["p"])
    seconds = time.perf_counter() - before
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert draws.variables["p"].shape == (1, 1)
    assert started == [] and children.ru_maxrss == 0 and children.ru_utime == 0, (started, children)
    print(seconds)
"""


def test_no_process_is_started_and_the_first_draw_is_there_within_a_second():
    """PATH is empty, an audit hook sees every process Python would start, the kernel counts every child there was.

    The time is from before stanli is imported to a draw of a program never seen before, 0.1 s on an idle machine; the
    best of three, since others may be using this one.
    """
    seconds = []
    for _ in range(3):
        done = run(FIRST_DRAW, PATH="", OPENBLAS_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr
        seconds.append(float(done.stdout))
        if seconds[-1] < 1:
            break
    assert min(seconds) < 1


def test_an_interrupt_ends_every_thread():
    """A run of hours, interrupted after half a second; threads are those of Python and those of the system."""
    done = run(
        f"""
        import os, signal, threading, time
        from mixedfx.bayes.engines.base import Settings
        from mixedfx.bayes.engines.stanli import Stanli

        def threads():
            return threading.active_count(), len(os.listdir("/proc/self/task")) if os.path.isdir("/proc") else 0

        program = {BERNOULLI!r}, {BERNOULLI_DATA!r}
        Stanli().sample(*program, Settings(seed=1, draws=8), ["p"])
        before = threads()
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        started = time.perf_counter()
        try:
            Stanli().sample(*program, Settings(seed=1, warmup=10**9, draws=8, progress=True), ["p"])
        except KeyboardInterrupt:
            timer.join()
            assert threads() == before, (threads(), before)
            print("interrupted after", time.perf_counter() - started)
        """,
        **os.environ,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("interrupted after")
    assert float(done.stdout.split()[-1]) < 10
