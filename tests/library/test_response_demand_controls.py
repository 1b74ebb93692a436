"""Controls of demand: what they are, and that they mend a world where demand drives spend."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from benchmarks.normal_fits import normal_fit
from benchmarks.study_response import panel_of
from models.errors import PanelError
from models.response.calibration import calibration_table
from models.response.config import ResponseConfig
from models.response.demand_controls import typical_controls, with_demand_controls
from models.response.lift_tests import lift_tests_from_frame
from models.response.planned_spend import recent_plan, scenario_of
from models.response.returns import return_table
from models.response.scenarios import predict
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.market_lift_tests import LiftTestSpec, lift_tests_frame, run_lift_test
from models.simulate.market_truth import truth_table
from models.simulate.markets import MarketWorld, simulate_market_world

CHANNELS = (
    MarketChannelSpec("tv", spend_mean=0.5, roi=1.5, decay=0.6),
    MarketChannelSpec("search", spend_mean=0.4, roi=2.0, decay=0.4),
)
WORLD = MarketWorldConfig(
    CHANNELS,
    10,
    104,
    date(2022, 1, 3),
    noise_sd=0.03,
    demand_sd=0.3,
    demand_autocorrelation=0.5,
    demand_on_spend=0.4,
)
CONFIG = ResponseConfig(max_lag=6, kept_draws=150, noise_differs=0.0)


@pytest.fixture(scope="module")
def world() -> MarketWorld:
    return simulate_market_world(WORLD, 5)


def test_controls_are_logs_about_the_markets_mean(world: MarketWorld) -> None:
    panel = panel_of(world, False)
    found = with_demand_controls(panel, ("tv",))
    assert found.control_names == ("price", "demand[tv]")
    shown = panel.intensity[3, :, panel.channel_index("tv")]
    lit = shown > 0
    assert 0 < lit.sum() < len(lit)
    assert found.controls[3, lit, 1] == pytest.approx(np.log(shown[lit]) - np.log(shown[lit]).mean())
    assert (found.controls[3, ~lit, 1] == 0).all()
    assert with_demand_controls(panel).control_names[1:] == ("demand[search]", "demand[tv]")
    with pytest.raises(ValueError, match="add controls of demand once"):
        with_demand_controls(found)
    with pytest.raises(PanelError, match="radio"):
        with_demand_controls(panel, ("radio",))


def test_they_take_out_what_demand_put_into_the_effects(world: MarketWorld) -> None:
    """Error of national ROI: far off without, near with; a sharp lift test of one channel narrows that one alone."""
    truth = truth_table(world).query("market_id.isna()").set_index("channel_id")["roi"]
    panel = panel_of(world, False)
    plain, held = normal_fit(panel, CONFIG), normal_fit(with_demand_controls(panel), CONFIG)
    errors = []
    for fit in (plain, held):
        roi = return_table(fit).query("market_id.isna() and estimand == 'roi'").set_index("channel_id")
        errors.append(np.abs(roi["mean"] / truth - 1.0).mean())
    assert errors[0] > 0.7 and errors[1] < 0.5 * errors[0]
    test = run_lift_test(
        world, LiftTestSpec("t", ("tv",), world.market_ids[:5], 60, 12, 26, 1.0), np.random.default_rng(0)
    )
    sharp = replace(test, lift=test.true_lift, standard_error=abs(test.true_lift) / 40)
    tests = lift_tests_from_frame(lift_tests_frame([sharp]), "gmv")
    after = normal_fit(with_demand_controls(panel), CONFIG, tests)
    moved = calibration_table(held, after).query("estimand == 'roi'").set_index("channel_id")
    assert moved.loc["tv", "width_ratio"] < 0.6 < moved.loc["search", "width_ratio"] < 1.2
    assert abs(moved.loc["tv", "mean_after"] / truth["tv"] - 1.0) < 0.2
    plan = recent_plan(after, 5)
    controls = typical_controls(after, 5)
    assert controls.shape == (10, 5, 3)
    forecast = predict(after, scenario_of(after, plan, controls))
    assert np.isfinite(forecast.kpi).all()
