"""Samples that several tests share."""

import pytest

from tests.surveys.samples import pupils


@pytest.fixture(scope="session")
def two():
    """Two levels."""
    return pupils()


@pytest.fixture(scope="session")
def three():
    """Three levels: pupils in schools in districts."""
    return pupils(seed=19, schools=18, size=5, slope=0.0, districts=6)
