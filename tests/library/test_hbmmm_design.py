"""Which columns enter, how they are scaled, and what is left out with a reason."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.hbmmm.characteristics import (
    characteristic_features,
    learn_characteristics,
    tidy_characteristics,
)
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design, build_design, feature_matrix
from models.hbmmm.problem import build_problem, consumer_row_means
from models.hbmmm.statistics import SufficientStatistics

CONFIG = HBMMMConfig()


def design_of(panel, config=CONFIG):
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    return statistics, frame, build_design(statistics, learn_characteristics(frame, config), config)


def test_every_row_column_has_a_mundlak_mean_in_the_intercept(money_panel):
    _, _, design = design_of(money_panel(60, 8, 4)[0])
    moderated = {design.feature_names[f] for c, f in design.moderators if c == 0}
    for column in design.row_columns[1:]:
        assert f"mean({column.name})" in moderated


def test_slopes_are_moderated_by_characteristics_and_own_mean(money_panel):
    _, _, design = design_of(money_panel(60, 8, 4)[0])
    names = set(design.fixed_names)
    assert {"exposure[channel0]:age", "exposure[channel0]:mean(exposure[channel0])"} <= names
    assert not [name for name in names if name.startswith("exposure_log1p[channel0]:")]
    assert "exposure[channel0]:mean(exposure[channel1])" not in names


def test_sizes_of_slopes_are_those_of_the_within_regression(money_panel):
    panel = money_panel(60, 8, 4)[0]
    _, _, design = design_of(panel)
    columns = np.column_stack([panel.exposures, panel.covariates])
    periods = (panel.period_index[:, None] == np.arange(1, panel.period_index.max() + 1)).astype(float)
    scales = np.array([design.row_columns[c].scale for c in design.market_columns[1:]])
    x = np.column_stack([columns / scales, periods])
    x = x - panel.consumer_means(x)[panel.consumer_index]
    y = panel.gmv / design.outcome_scale
    y = y - panel.consumer_means(y[:, None])[panel.consumer_index][:, 0]
    inverse = np.linalg.inv(x.T @ x)
    b = inverse @ (x.T @ y)
    freedom = len(y) - panel.consumers_count - x.shape[1]
    variance = np.diag(inverse) * ((y - x @ b) ** 2).sum() / freedom
    expected = np.sqrt(b**2 + variance)[: columns.shape[1]]
    np.testing.assert_allclose(design.slope_sizes, expected, rtol=1e-8)


def test_statistics_whose_concave_column_bends_elsewhere_are_refused(money_panel):
    statistics, frame, design = design_of(money_panel(60, 8, 4)[0])
    columns = [replace(c, bend=2 * c.bend) if c.kind == "exposure_log1p" else c for c in statistics.columns]
    with pytest.raises(PanelError, match=r"exposure_log1p\[channel0\] \(bend .*build a new design"):
        build_problem(replace(statistics, columns=tuple(columns)), design, frame)
    with pytest.raises(PanelError, match="build a new design"):
        build_problem(statistics.without("exposure_log1p"), design, frame)


def test_log1p_of_a_yes_no_exposure_is_left_out(money_panel):
    _, _, design = design_of(money_panel(60, 8, 4, binary=True)[0])
    dropped = dict(design.dropped)
    assert "collinear" in dropped["exposure_log1p[channel0]"]
    assert not [c for c in design.row_columns if c.kind == "exposure_log1p"]


def test_a_channel_without_exposure_is_left_out_with_the_reason(money_panel):
    panel = money_panel(40, 8, 4)[0]
    silent = panel.with_exposures(np.array(panel.exposures) * [1.0, 0.0])
    _, _, design = design_of(silent)
    assert design.modelled_channels == ("channel0",)
    assert dict(design.dropped)["exposure[channel1]"] == "no exposure in the panel"


def test_period_effects_can_be_switched_off(money_panel):
    _, _, design = design_of(money_panel(40, 8, 4)[0], HBMMMConfig(include_period_effects="none"))
    assert not [c for c in design.row_columns if c.kind == "period"]


def test_constant_gmv_is_refused(money_panel):
    panel = money_panel(20, 6, 2)[0]
    with pytest.raises(PanelError, match="GMV does not vary"):
        design_of(replace(panel, gmv=np.full(panel.rows_count, 5.0)))


def test_features_are_standardised_and_read_back_from_json(money_panel):
    statistics, frame, design = design_of(money_panel(60, 8, 4)[0])
    again = Design.from_dict(json.loads(json.dumps(design.as_dict())))
    assert again == design
    features = feature_matrix(again, consumer_row_means(statistics, again), frame)
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-8)
    np.testing.assert_allclose(features.std(axis=0), 1.0, atol=1e-6)


def test_characteristics_learn_levels_skewness_and_gaps():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "colour": np.array(["red"] * 60 + ["blue"] * 35 + ["teal"] * 5, dtype=object),
            "spend": rng.lognormal(3, 1.5, 100),
            "same": 1.0,
        }
    )
    frame.loc[:9, "spend"] = np.nan
    features = learn_characteristics(frame, HBMMMConfig(missing_indicators=True))
    assert [f.name for f in features] == ["colour=blue", "colour=other", "spend", "spend is missing"]
    assert features[2].kind == "log1p"
    values = characteristic_features(
        features, pd.DataFrame({"colour": ["mauve", None], "spend": [np.nan, 20.0]})
    )
    assert values[0, 1] > 0  # an unknown level counts as other
    assert values[1, 0] == 0 and values[0, 2] == 0  # a gap counts as average


def test_consumers_listed_twice_are_refused():
    frame = pd.DataFrame({"age": [1.0, 2.0]}, index=["a", "a"])
    with pytest.raises(PanelError, match="more than once"):
        tidy_characteristics(frame, np.array(["a"], dtype=object))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"chains": 0}, "chains must be at least 1"),
        ({"interval_level": 1.0}, "interval_level must lie between 0 and 1"),
        ({"imputations_count": 1}, "imputations_count must be at least 2"),
        ({"prior_row_sd": 0.0}, "prior_row_sd must be positive"),
        ({"include_period_effects": "some"}, "include_period_effects must be"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        HBMMMConfig(**change)
