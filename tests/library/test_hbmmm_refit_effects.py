"""Light refits: the channel rows of the full path, their warm starts, other columns, and what they refuse."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.hbmmm.effects import compute_effects
from models.hbmmm.refit import design_like, refit_hbmmm
from models.hbmmm.refit_effects import COLUMNS, refit_channel_effects
from models.hbmmm.statistics import SufficientStatistics

KEY = ["channel_id", "estimand", "exposure_distribution"]


@pytest.fixture(scope="module")
def statistics(small_fit):
    return SufficientStatistics.from_panel(small_fit[0])


@pytest.fixture(scope="module")
def light(small_fit, statistics):
    return refit_channel_effects(small_fit[2], statistics, small_fit[0], imputations_count=2)


def test_numbers_are_those_of_the_full_path(small_fit, statistics, light):
    """The same refit by refit_hbmmm and compute_effects: means within a quarter sd, sds within a quarter."""
    panel, _, fit, _ = small_fit
    whole = compute_effects(refit_hbmmm(fit, statistics, imputations_count=2), panel).channel.set_index(KEY)
    light = light.set_index(KEY).loc[whole.index]
    assert tuple(light.reset_index().columns) == (*KEY, *(c for c in COLUMNS if c not in KEY))
    assert ((light["mean"] - whole["mean"]).abs() < 0.25 * whole["standard_deviation"]).all()
    assert (light["standard_deviation"] / whole["standard_deviation"]).between(0.8, 1.25).all()
    np.testing.assert_allclose(light["error_ratio"], whole["error_ratio"], rtol=0.05)
    assert light["unit"].tolist() == whole["unit"].tolist()


def test_intervals_hold_the_truth_of_the_panel(small_fit, light):
    slopes = light[(light["estimand"] == "slope") & (light["exposure_distribution"] == "panel_rows")]
    assert (slopes["interval_lower"] < small_fit[1]).all() and (small_fit[1] < slopes["interval_upper"]).all()


def test_means_hold_no_monte_carlo_error(small_fit, statistics):
    """Another seed moves the draws that spreads are taken from, never the means that differences are taken of."""
    panel, _, fit, _ = small_fit
    one, other = (refit_channel_effects(fit, statistics, panel, seed=seed) for seed in (1, 2))
    assert one["mean"].tolist() == other["mean"].tolist()
    assert one["standard_deviation"].tolist() != other["standard_deviation"].tolist()


def test_a_design_like_that_of_the_fit_is_that_of_the_fit(small_fit, statistics):
    fit = small_fit[2]
    assert design_like(fit, statistics, fit.config) == fit.design


def test_other_columns_keep_the_scales_of_the_fit(small_fit, statistics):
    fit = small_fit[2]
    half = design_like(fit, statistics.subset(np.arange(0, 120, 3)), replace(fit.config, basis="linear"))
    known = {c.name: (c.centre, c.scale) for c in fit.design.row_columns}
    assert all(known[c.name] == (c.centre, c.scale) for c in half.row_columns)
    assert half.outcome_scale == fit.design.outcome_scale
    assert {c.kind for c in fit.design.row_columns} - {c.kind for c in half.row_columns} == {"exposure_log1p"}


def test_a_channel_without_exposure_keeps_its_rows_with_the_reason(small_fit, statistics):
    panel, _, fit, _ = small_fit
    none = panel.with_exposures(panel.exposures * [1.0, 0.0])
    given = SufficientStatistics.from_panel(none)
    table = refit_channel_effects(fit, given, none, design=design_like(fit, given, fit.config))
    rows = table[table["channel_id"] == "channel1"]
    assert len(rows) == 4 and rows["mean"].isna().all()
    assert set(rows["reason"]) == {"no exposure in the panel"}
    assert table.loc[table["channel_id"] == "channel0", "mean"].notna().all()


def test_strangers_are_refused(small_fit, statistics):
    renamed = replace(statistics, consumer_ids=np.array([f"x{i}" for i in range(120)], dtype=object))
    with pytest.raises(PanelError, match=r"120 consumers .* are not in the fit"):
        refit_channel_effects(small_fit[2], renamed, small_fit[0])


def test_rows_are_a_frame_of_its_columns(light):
    assert isinstance(light, pd.DataFrame) and not light.duplicated(KEY).any()
