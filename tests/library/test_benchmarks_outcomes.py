"""Truth in log points of worlds in dollars: the quadrature against purchases drawn one by one."""

import numpy as np
import pytest

from benchmarks.log_truth import KEYS, MONTH_DAYS, expected_log_outcome, log_truth, return_shares
from benchmarks.study_outcomes import KINDS, LABELS
from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig
from models.simulate.consumer_tables import RETURN_DELAY_DAYS
from models.simulate.consumers import PURCHASE_MEAN, PURCHASE_SHAPE, simulate_consumers


@pytest.mark.parametrize(("purchases", "returns"), [(0.0, 0.0), (0.4, 0.0), (1.3, 0.05), (9.0, 0.02)])
def test_expected_log_outcome_is_the_mean_of_drawn_ones(purchases, returns):
    rng = np.random.default_rng(4)
    size = 200_000
    kept, back = rng.poisson(purchases, size), np.minimum(rng.poisson(returns, size), 1)
    scale = PURCHASE_MEAN / PURCHASE_SHAPE
    gmv = rng.gamma(np.maximum(PURCHASE_SHAPE * kept, 1e-12)) * (kept > 0) * scale
    gmv -= rng.gamma(PURCHASE_SHAPE, size=size) * back * scale
    drawn = np.sign(gmv) * np.log1p(np.abs(gmv))
    found = float(expected_log_outcome(np.array([purchases]), np.array([returns]))[0])
    assert found == pytest.approx(drawn.mean(), abs=5 * drawn.std() / size**0.5 + 1e-3)


def test_returns_come_back_as_their_delays_say():
    rng = np.random.default_rng(5)
    at = rng.uniform(0, MONTH_DAYS, 200_000) + rng.exponential(RETURN_DELAY_DAYS, 200_000)
    shares = np.bincount((at / MONTH_DAYS).astype(int), minlength=12)[:12] / 200_000
    np.testing.assert_allclose(return_shares(12), shares, atol=0.005)


def test_a_world_in_dollars_has_the_mean_that_its_rows_show():
    """Over all panel rows the mean of f(net GMV) is the mean of its expectations; a null channel moves nothing."""
    config = ConsumerWorldConfig(
        consumers_count=3_000, markets_count=3, periods_count=8, pre_periods_count=2, null_channel_name="null",
        channels=tuple(c for c in PAPER_CHANNELS if c.name in ("tv", "email")), returns_share=0.04,
    )  # fmt: skip
    world = simulate_consumers(config, np.random.default_rng(6))
    truth = log_truth(world).set_index(KEYS)["truth"]
    assert truth["null"].abs().max() == 0.0 and truth["email"].min() > 0 and truth["tv"].min() > 0
    assert truth["email", "slope", "panel_rows"] > truth["tv", "slope", "panel_rows"]
    panel = world.to_panel()
    drawn = np.sign(panel.gmv) * np.log1p(np.abs(panel.gmv))
    expected = expected_log_outcome(world.gmv_means / PURCHASE_MEAN, np.zeros_like(world.gmv_means)).mean()
    assert drawn.mean() == pytest.approx(expected, rel=0.06)


def test_every_outcome_meets_a_world_that_it_is_not_made_for():
    methods = {kind: set(content[1]) for kind, content in KINDS.items()}
    assert "hbmmm_log1p" in methods["zero_heavy"] and "hbmmm" in methods["log1p"]
    assert set().union(*methods.values()) <= set(LABELS)
    assert all("oracle" in content[2] for content in KINDS.values())
