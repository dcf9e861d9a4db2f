"""Small Stan programs that the tests of the engines share."""

from __future__ import annotations

BERNOULLI = """
data {
  int<lower=0> N;
  array[N] int<lower=0, upper=1> y;
}
parameters {
  real<lower=0, upper=1> p;
}
model {
  p ~ beta(2, 2);
  y ~ bernoulli(p);
}
"""
BERNOULLI_DATA = {"N": 8, "y": [0, 1, 1, 0, 1, 1, 1, 1]}

# A variable of every shape, one without elements (K = 0) among them; every mean is known.
SHAPES = """
data {
  int<lower=0> N;
  vector[N] y;
  int<lower=0> K;
}
parameters {
  real mu;
  real<lower=0> tau;
  vector[3] b;
  matrix[2, 3] B;
  array[2] vector[3] v;
  vector[K] z;
}
transformed parameters {
  vector[3] shifted = b + 10;
}
model {
  y ~ normal(mu, 1);
  mu ~ normal(0, 1);
  tau ~ gamma(4, 2);
  b ~ normal([1, 2, 3]', 1);
  for (j in 1:3) {
    B[1, j] ~ normal(10 + j, 1);
    B[2, j] ~ normal(20 + j, 1);
    v[1][j] ~ normal(100 + j, 1);
    v[2][j] ~ normal(200 + j, 1);
  }
  z ~ std_normal();
}
generated quantities {
  array[2, 2] real twice = {{2 * mu, 2 * tau}, {2 * b[1], 2 * b[2]}};
}
"""
SHAPES_DATA = {"N": 2, "y": [0.5, 1.0], "K": 0}
SHAPES_KEEP = ["mu", "tau", "b", "B", "v", "z", "shifted", "twice"]
SHAPES_OF = {"mu": (), "tau": (), "b": (3,), "B": (2, 3), "v": (2, 3), "z": (0,), "shifted": (3,), "twice": (2, 2)}
UNCONSTRAINED = 1 + 1 + 3 + 6 + 6  # of SHAPES

# Sums over threads, with a density that does not depend on how many.
REDUCE_SUM = """
functions {
  real part(array[] int y, int start, int end, real a) {
    return bernoulli_logit_lpmf(y | a);
  }
}
data {
  int<lower=0> N;
  array[N] int<lower=0, upper=1> y;
}
parameters {
  real a;
}
model {
  a ~ std_normal();
  target += reduce_sum(part, y, 1, a);
}
"""
