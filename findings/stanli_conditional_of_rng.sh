#!/usr/bin/env bash
# stanli 0.24.0: the conditional operator over a function of one's own that draws returns the smallest integer.
#
# Input: a Stan program whose generated quantities draw hurdle counts, zero with probability theta and else 1 + Poisson,
# by a function that ends in `return bernoulli_rng(theta) == 1 ? 0 : truncated_poisson_rng(mu);`, and by one that says the
# same with `if`.
# Expected: the same distribution of both, no number below zero (Stan's manual: `c ? a : b` is one of its operands).
# Seen: about a fifth of the draws of the first are -2147483648; half of both are zero; of the second none is below zero.
# Where: the draws of the package's interpreter, pip install stanli; with a built-in poisson_rng in the place of the
# function all is well.
#
# Fails if that changes. usage: bash findings/stanli_conditional_of_rng.sh [python3.11]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet stanli==0.24.0 numpy
cd "$folder"
"$folder/bin/python" -W ignore - <<'PYTHON'
import json

import numpy as np
import stanli

PROGRAM = """
functions {
  int truncated_poisson_rng(real mu) {
    real first = -log1m(uniform_rng(0, 1) * -expm1(-mu));
    return 1 + poisson_rng(fmax(mu - first, 0));
  }
  int conditional_rng(real theta, real mu) {
    return bernoulli_rng(theta) == 1 ? 0 : truncated_poisson_rng(mu);
  }
  int branched_rng(real theta, real mu) {
    if (bernoulli_rng(theta) == 1) return 0;
    return truncated_poisson_rng(mu);
  }
}
data { int<lower=1> N; }
parameters { real<lower=0, upper=1> theta; }
model { theta ~ beta(5, 5); }
generated quantities {
  array[N] int conditional;
  array[N] int branched;
  for (n in 1:N) {
    conditional[n] = conditional_rng(theta, 3.0);
    branched[n] = branched_rng(theta, 3.0);
  }
}
"""
model = stanli.Model(mir=stanli.stan_to_mir(PROGRAM), data=json.dumps({"N": 50}))
fit = model.sample(chains=1, seed=1, warmup=200, samples=500, refresh=0)
below = {}
for name in ("conditional", "branched"):
    draws = np.asarray(fit.draws(name))
    below[name] = float(np.mean(draws < 0))
    print(f"{name:12s} smallest {draws.min():.0f}, {below[name]:.1%} below zero, {np.mean(draws == 0):.1%} zero")
if below["conditional"] < 0.05 or below["branched"] > 0:
    raise SystemExit("this is not what was seen")
PYTHON
