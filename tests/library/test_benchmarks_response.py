"""The study of the response model counts right, and its least squares is least squares."""

from datetime import date

import numpy as np
import pytest

from benchmarks.response_rivals import fixed_effects_roi
from benchmarks.study_response import panel_of
from benchmarks.study_response_page import false_alarms, page, sampling, summary
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.markets import simulate_market_world


@pytest.mark.parametrize("markets", [6, 1])
def test_least_squares_finds_a_line_through_fixed_effects(markets: int) -> None:
    channels = (MarketChannelSpec("a", 0.5, 1.0), MarketChannelSpec("b", 0.5, 1.0))
    config = MarketWorldConfig(channels, markets, 104, date(2022, 1, 3))
    panel = panel_of(simulate_market_world(config, 1), False)
    rng = np.random.default_rng(0)
    level = panel.kpi.mean(axis=1, keepdims=True)
    effects = level * (1 + 0.1 * rng.normal(size=level.shape))
    if markets > 1:
        effects = effects + level * 0.3 * rng.normal(size=104)
    kpi = effects + panel.spend @ [2.0, -0.5] + 0.01 * level * rng.normal(size=panel.kpi.shape)
    found = fixed_effects_roi(panel.with_kpi(kpi, "gmv")).set_index("channel_id")
    truth = np.array([2.0, -0.5])
    assert found["mean"].to_numpy() == pytest.approx(truth, abs=0.15)
    half = (found["interval_upper"] - found["interval_lower"]).to_numpy() / 2
    assert (np.abs(found["mean"].to_numpy() - truth) < 3 * half).all() and (half < 0.3).all()


def result(truths: list[float], means: list[float], r_hat: float) -> dict:
    rows = [
        {
            "channel_id": name,
            "truth": truth,
            "model": [mean, mean - 0.5, mean + 0.5],
            "oracle": [truth, truth - 0.1, truth + 0.1],
            "least squares": [0.0, 0.1, 0.2],
            "covered_by_market": 0.5,
        }
        for name, truth, mean in zip(("a", "billboard"), truths, means, strict=True)
    ]
    chains = {"r_hat": r_hat, "ess": 500.0, "divergences": 0, "e_bfmi": 1.0, "gradients": 10}
    return {
        "kind": "k",
        "variant": "plain",
        "seed": 1,
        "rows": rows,
        "seconds": 1.0,
        "cpu_seconds": 1.0,
    } | chains


def test_errors_leave_placebos_out_and_coverage_counts_them() -> None:
    found = [result([2.0, 0.0], [1.0, 0.7], 1.005), result([2.0, 0.0], [2.4, 0.1], 1.02)]
    table = summary(found).set_index("method")
    assert table.loc["model", "error"] == pytest.approx((0.5 + 0.2) / 2)
    assert table.loc["model", "covered"] == 2 and table.loc["model", "intervals"] == 4
    assert table.loc["model", "width"] == pytest.approx(0.5)
    assert table.loc["oracle", "error"] == 0.0 and table.loc["least squares", "error"] == 1.0
    assert false_alarms(found, "billboard") == (1, 2)
    assert sampling(found)["converged"].tolist() == [1]
    content = {
        "command": "make study-response",
        "provenance": {"date": "2026-11-22", "commit": "0" * 40, "tree_is_clean": True, "cores": 2},
        "settings": {},
        "summary": summary(found).to_dict("records"),
        "sampling": sampling(found).to_dict("records"),
        "false_alarms": false_alarms(found, "billboard"),
    }
    text = page(content)
    assert (
        "excludes 0 in 1 of 2 worlds" in text and "| k | plain | model | 2 | 0.350 (0.150) | 2 of 4" in text
    )
