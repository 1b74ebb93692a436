"""Scenario predictions from a saved fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.hbmmm.predict import gmv_over_panel, predict_scenario


def scenario_of(panel, count=40):
    rows = np.arange(count)
    return pd.DataFrame(
        {
            "consumer_id": panel.consumer_ids[panel.consumer_index[rows]],
            "market_id": panel.market_ids[panel.market_index[rows]],
            **{c: panel.exposures[rows, i] for i, c in enumerate(panel.channel_ids)},
            "weather": panel.covariates[rows, 0],
        }
    )


def test_a_folder_predicts_like_the_fit(small_fit, tmp_path):
    panel, _, fit, _ = small_fit
    fit.save(tmp_path / "fit")
    scenario = scenario_of(panel)
    pd.testing.assert_frame_equal(
        predict_scenario(tmp_path / "fit", scenario), predict_scenario(fit, scenario)
    )


def test_known_consumers_are_predicted_well_and_intervals_hold(small_fit):
    panel, _, fit, _ = small_fit
    scenario = scenario_of(panel, panel.rows_count)
    found = predict_scenario(fit, scenario)
    assert np.corrcoef(found["mean"], panel.gmv)[0, 1] > 0.85
    assert found["mean"].mean() == pytest.approx(panel.gmv.mean(), rel=0.03)
    inside = found["predictive_lower"].to_numpy() <= panel.gmv
    inside &= panel.gmv <= found["predictive_upper"].to_numpy()
    assert 0.9 < inside.mean() < 0.99
    assert (
        found["interval_upper"] - found["interval_lower"]
        < found["predictive_upper"] - found["predictive_lower"]
    ).all()


def test_gmv_over_the_panel_is_the_sum_of_its_predictions_whatever_channels_are_called(small_fit):
    panel, _, fit, _ = small_fit
    expected, observed = gmv_over_panel(fit, panel)
    scenario = scenario_of(panel, panel.rows_count)
    assert expected == pytest.approx(predict_scenario(fit, scenario)["mean"].sum())
    assert observed == pytest.approx(panel.gmv.sum())

    def renamed(column):
        return replace(column, covariate_name="channel0") if column.covariate_name else column

    design = replace(fit.design, row_columns=tuple(renamed(column) for column in fit.design.row_columns))
    namesakes = replace(panel, covariate_names=("channel0",))
    assert gmv_over_panel(replace(fit, design=design), namesakes)[0] == pytest.approx(expected)


def test_one_more_exposure_costs_what_the_effect_says(small_fit):
    panel, slopes, fit, _ = small_fit
    scenario = scenario_of(panel, panel.rows_count)
    more = scenario.assign(channel0=scenario["channel0"] + 1)
    difference = (predict_scenario(fit, more)["mean"] - predict_scenario(fit, scenario)["mean"]).mean()
    assert difference == pytest.approx(slopes[0], abs=1.2)


def test_unknown_consumers_are_average_and_uncertain(small_fit):
    panel, _, fit, _ = small_fit
    scenario = pd.DataFrame(
        {"consumer_id": ["new", "new"], "market_id": ["m0", "nowhere"], "channel0": 1, "channel1": 1}
    )
    found = predict_scenario(fit, scenario)
    known = predict_scenario(fit, scenario_of(panel, 1))
    width = found["interval_upper"] - found["interval_lower"]
    assert (width > 1.5 * (known["interval_upper"] - known["interval_lower"]).iloc[0]).all()
    assert found["mean"].between(panel.gmv.min(), panel.gmv.max()).all()


def test_a_new_market_adds_its_own_spread_and_a_new_consumer_the_covariance_of_slopes(small_fit):
    """Raising one prior sd of the draws raises the spread of a stranger by exactly what the model says."""
    _, _, fit, _ = small_fit
    scenario = pd.DataFrame({"consumer_id": ["new"], "market_id": ["nowhere"], "channel0": 3, "channel1": 2})
    names = list(fit.parameter_names)
    scale = fit.design.row_columns[fit.design.slope_columns[1]].scale

    def width(changed: dict[str, float]) -> float:
        draws = fit.draws.copy()
        for name, value in changed.items():
            draws[..., names.index(name)] = value
        found = predict_scenario(replace(fit, draws=draws), scenario)
        sd = (found["interval_upper"] - found["interval_lower"]) / (2 * 1.959964 * fit.design.outcome_scale)
        return float(sd.iloc[0] ** 2)

    market = "market_sd[exposure[channel0]]"
    added = width({market: 0.7}) - width({market: 0.0})
    typical = fit.row_means.mean(axis=0)[list(fit.design.slope_columns)]  # a stranger's own means
    centred = 3.0 / scale - typical[1]
    assert added == pytest.approx((0.7 * centred) ** 2, rel=0.02)
    own = {"consumer_sd[exposure[channel0]]": 0.6, "consumer_sd[exposure[channel1]]": 0.5}
    z = next(n for n in names if n.startswith("slope_correlation_z"))
    turned = width(own | {z: 1.0}) - width(own | {z: -1.0})
    other = 2.0 / fit.design.row_columns[fit.design.slope_columns[2]].scale - typical[2]
    assert turned == pytest.approx(4 * np.tanh(1.0) * 0.6 * 0.5 * centred * other, rel=0.02)


def test_characteristics_of_an_unknown_consumer_count(small_fit):
    scenario = pd.DataFrame({"channel0": [1.0, 1.0], "channel1": [0.0, 0.0], "age": [20.0, 60.0]})
    found = predict_scenario(small_fit[2], scenario)
    assert found["mean"].iloc[0] != found["mean"].iloc[1]


def test_rows_without_a_channel_or_with_impossible_counts_are_refused(small_fit):
    fit = small_fit[2]
    with pytest.raises(PanelError, match=r"lacks the channel columns \['channel1'\]"):
        predict_scenario(fit, pd.DataFrame({"channel0": [1.0]}))
    with pytest.raises(PanelError, match="negative or not finite"):
        predict_scenario(fit, pd.DataFrame({"channel0": [-1.0], "channel1": [0.0]}))
