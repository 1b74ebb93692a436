"""IPW on W and lagged AIPW as comparison rows: the same scores as the causal layer, and sums that follow from them."""

import numpy as np
import pytest

from models.effects.causal_effects import CausalConfig, causal_effects
from models.effects.comparators import UNTRIMMED, characteristics_ipw_effects, lagged_aipw_effects
from models.effects.propensity import fit_propensity

KEY = ["channel_id", "estimand", "exposure_distribution"]


@pytest.fixture(scope="module")
def panel(money_panel):
    return money_panel(150, 8, 3, seed=6)[0]


def test_lagged_aipw_is_that_of_the_causal_layer(panel):
    config = CausalConfig(trimming_threshold=0.0, clipping_threshold=0.001, bootstrap_draws=50)
    found = lagged_aipw_effects(panel, np.random.default_rng(1), config).set_index(KEY)["mean"]
    layer = causal_effects(panel, np.random.default_rng(1), config).channel
    layer = layer[layer["method"] == "aipw_lagged"].set_index(KEY)["mean"]
    for channel in panel.channel_ids:
        key = (channel, "att_exposed", "exposed_rows")
        assert found[key] == pytest.approx(layer[key], rel=1e-12)


def test_ipw_on_characteristics_by_hand_and_contributions_count_exposed_rows(panel):
    rows = characteristics_ipw_effects(panel, np.random.default_rng(1)).set_index(KEY)
    for c, channel in enumerate(panel.channel_ids):
        exposed = panel.exposures[:, c] > 0
        e = fit_propensity(panel, channel, conditioning="characteristics").propensity_raw
        odds = (e / (1 - e))[~exposed]
        by_hand = panel.gmv[exposed].mean() - np.average(panel.gmv[~exposed], weights=odds)
        att = rows.loc[(channel, "att_exposed", "exposed_rows")]
        assert e.min() > 0.001 and e.max() < 0.999  # nothing clipped
        assert att["mean"] == pytest.approx(by_hand, rel=1e-9)
        total = rows.loc[(channel, "contribution", "panel_rows")]
        for name in ("mean", "standard_deviation", "interval_lower", "interval_upper"):
            assert total[name] == pytest.approx(exposed.sum() * att[name])
        assert total["probability_positive"] == att["probability_positive"]


def test_ipw_slope_is_right_where_characteristics_are_all_there_is_and_wrong_under_a_hidden_wish(money_panel):
    wish = {}
    for targeting in (0.0, 0.8):
        panel, slopes = money_panel(400, 8, 3, seed=7, targeting=targeting)
        rows = characteristics_ipw_effects(panel, np.random.default_rng(1))
        slope = rows[rows["estimand"] == "slope"].set_index("channel_id").loc["channel1"]
        assert slopes[1] == 0
        wish[targeting] = slope["interval_lower"] > 0
    assert wish == {0.0: False, 0.8: True}


def test_a_channel_everybody_sees_has_a_reason_and_trimming_is_refused(panel):
    exposures = panel.exposures.copy()
    exposures[:, 0] += 1
    rows = characteristics_ipw_effects(panel.with_exposures(exposures), np.random.default_rng(1))
    binary = rows[(rows["channel_id"] == "channel0") & (rows["estimand"] != "slope")]
    assert binary["mean"].isna().all() and binary["not_identified_reason"].str.contains("no other arm").all()
    assert rows[rows["channel_id"] == "channel1"]["mean"].notna().all()
    assert UNTRIMMED.trimming_threshold == 0
    for estimate in (characteristics_ipw_effects, lagged_aipw_effects):
        with pytest.raises(ValueError, match="Set it to 0"):
            estimate(panel, np.random.default_rng(1), CausalConfig())
