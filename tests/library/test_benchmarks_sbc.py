"""The band that is drawn is the one that the verdict uses: who leaves it fails, who stays inside passes."""

import numpy as np
import pytest

from benchmarks.study_sbc import ALPHA, RANK_DRAWS, simultaneous_band
from models.evaluation.calibration import uniformity_p_values

REPLICATES, PARAMETERS, SIMULATIONS = 60, 5, 4_000


def outside(ranks):
    """(d,) whether the ECDF of ranks (replicates, d) leaves the band anywhere."""
    rng = np.random.default_rng(1)
    points, least, greatest = simultaneous_band(REPLICATES, PARAMETERS, rng, SIMULATIONS)
    at_most = np.round(points * (RANK_DRAWS + 1) - 1)
    share = (ranks[:, :, None] <= at_most).mean(axis=0)
    return ((share < least - 1e-12) | (share > greatest + 1e-12)).any(axis=1)


def test_leaving_the_band_is_failing_the_verdict():
    rng = np.random.default_rng(2)
    uniform = rng.integers(0, RANK_DRAWS + 1, (REPLICATES, 300))
    shifted = np.clip(uniform + np.linspace(-40, 40, 300).round().astype(int), 0, RANK_DRAWS)
    ranks = np.concatenate([uniform, shifted], axis=1)
    p_values = uniformity_p_values(ranks, RANK_DRAWS, np.random.default_rng(1), SIMULATIONS)
    fails = p_values * PARAMETERS <= ALPHA
    np.testing.assert_array_equal(outside(ranks), fails)
    assert 50 < fails.sum() < 350 and fails[:300].mean() < 0.05


def test_too_few_simulations_cannot_draw_a_band():
    with pytest.raises(ValueError, match="simulate more"):
        simultaneous_band(REPLICATES, 1_000, np.random.default_rng(1), SIMULATIONS)
