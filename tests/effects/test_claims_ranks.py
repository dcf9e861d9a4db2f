"""Ends of an interval of ranks are ranks: the first with enough of the draws at or below it."""

import numpy as np
import pytest

from mixedfx.effects.effects import effects
from tests.effects.drawn_fit import draw_fit

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("draws", [7, 41, 101])
def test_the_interval_of_a_rank_is_made_of_ranks(people, level, draws):
    """Few draws, where a quantile between two of them would be no rank."""
    fit = draw_fit("y ~ z*race + (1 + z | school)", people, "gaussian", draws=draws)
    eff = effects(fit, "z", by="school", level=level)
    found = eff.rank()
    values = eff.draws()
    ranks = np.array([[1 + np.sum(row > row[s]) for s in range(len(row))] for row in values])
    for s in range(len(found)):
        for column, share in (("lower", 0.5 - level / 2), ("upper", 0.5 + level / 2)):
            below = [r for r in range(1, len(found) + 1) if np.mean(ranks[:, s] <= r) >= share - 1e-12]
            assert found[column][s] == below[0]
