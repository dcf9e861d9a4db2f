"""Compiled loops are there where nothing can be written, as in a container without a home directory."""

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from mixedfx.linalg import kernels, rows
X, z = np.ones((4, 1)), np.arange(4.0)[:, None]
ww, products = np.zeros((2, 2)), np.zeros((2, 1, 3))
rows.row_products(X, np.eye(1), np.zeros(1), np.ones(4), z, np.array([0, 0, 1, 1]), ww, products)
print(ww[0, 0], products[:, 0, 2].tolist())
"""


@pytest.mark.parametrize("writable", [True, False])
def test_a_loop_compiles_with_and_without_a_place_on_disk(writable, tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path if writable else tmp_path / "file" / "none")
    (tmp_path / "file").write_text("no directory")
    run = [sys.executable, "-c", CODE]
    found = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "4.0 [1.0, 13.0]"
    assert any(tmp_path.rglob("*.nbi")) is writable
