"""For every test: one BLAS thread, no screen, and Hypothesis without chance or clock."""

import os

from hypothesis import settings

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before NumPy is imported
os.environ.setdefault("MPLBACKEND", "Agg")

# The same examples in every run; no deadline, since a first call may compile.
settings.register_profile("mixedfx", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("mixedfx")
