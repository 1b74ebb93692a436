"""Refresh stability: the overlap is the area it claims to be, and every planted cause is found as that cause."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from models.checks.refresh_stability import KEY, PARTS, Refreshed, overlap, refresh_stability
from models.errors import PanelError
from models.evaluation.splits import panel_subset
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.effects import compute_effects
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.statistics import SufficientStatistics

CONFIG = HBMMMConfig(inference="laplace", draws=100, effect_draws=100, seed=3)


def refreshed(panel, config=CONFIG):
    fit = fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, config)
    effects = compute_effects(fit, panel).channel
    return Refreshed(
        fit, panel, effects[effects["horizon"] == "immediate"] if "horizon" in effects else effects
    )


def up_to(panel, periods):
    starts = np.sort(panel.period_starts)
    return panel_subset(panel, panel.period_starts[panel.period_index] < starts[periods], starts[periods])


def slopes(table, channel="channel0"):
    rows = table[(table["estimand"] == "slope") & (table["channel_id"] == channel)]
    (row,) = rows[rows["exposure_distribution"] == "panel_rows"].to_dict("records")
    return row


@pytest.fixture(scope="module")
def panel(money_panel):
    return money_panel(80, 12, seed=4)[0]


@pytest.fixture(scope="module")
def previous(panel):
    return refreshed(up_to(panel, 10))


@pytest.mark.parametrize(
    ("mean", "sd"), [(0.0, 1.0), (1.0, 1.0), (0.5, 2.0), (-3.0, 0.3), (0.0, 5.0), (40.0, 1.0)]
)
def test_the_overlap_is_the_area_under_the_lower_density(mean, sd):
    x = np.linspace(-60, 60, 400_001)
    area = np.minimum(norm.pdf(x), norm.pdf(x, mean, sd)).sum() * (x[1] - x[0])
    assert overlap(0.0, 1.0, mean, sd) == pytest.approx(area, abs=1e-6)
    assert overlap(mean, sd, 0.0, 1.0) == pytest.approx(area, abs=1e-6)
    assert np.isnan(overlap(0.0, 0.0, mean, sd)) and np.isnan(overlap(np.nan, 1.0, mean, sd))


def test_the_parts_add_up_and_new_rows_are_new_data(panel, previous):
    table = refresh_stability(previous, refreshed(panel))
    assert not table.duplicated(list(KEY)).any()
    assert table["reason"].isna().all()
    np.testing.assert_allclose(table[list(PARTS)].sum(axis=1), table["change_total"], atol=1e-9)
    row = slopes(table)
    assert abs(row["change_revised_data"]) < 1e-6  # nothing was
    assert abs(row["change_new_data"]) > 20 * abs(row["change_revised_data"])
    assert 0.5 < row["overlap"] < 1.0


def test_halved_exposures_are_a_revision(panel, previous):
    events = panel.exposure_events
    first = events[:, 2] == panel.channel_ids.tolist().index("channel0")
    exposures = panel.exposures.copy()
    exposures[:, panel.channel_ids.tolist().index("channel0")] *= 0.5
    counts = np.where(first, panel.exposure_event_counts * 0.5, panel.exposure_event_counts)
    spoilt = replace(panel, exposures=exposures, exposure_event_counts=counts)
    row = slopes(refresh_stability(previous, refreshed(spoilt)))
    assert row["change_revised_data"] > 0.4 * row["change_total"] > 0.5
    assert abs(row["change_revised_data"]) > 3 * abs(row["change_new_data"])
    assert row["overlap"] < 0.5


def test_another_prior_is_the_models(panel, previous):
    tight = replace(CONFIG, prior_row_sd=0.02)
    row = slopes(refresh_stability(previous, refreshed(panel, tight)))
    assert abs(row["change_model"]) > 5 * max(abs(row["change_revised_data"]), 0.01)
    assert row["change_model"] < 0  # towards zero


def test_what_was_not_published_has_a_reason_and_an_earlier_end_is_refused(panel, previous):
    current = refreshed(panel)
    without = replace(current, effects=current.effects[current.effects["channel_id"] != "channel1"])
    table = refresh_stability(previous, without)
    gone = table[table["channel_id"] == "channel1"]
    assert gone["reason"].eq("the current refresh published no number").all() and gone["overlap"].isna().all()
    with pytest.raises(PanelError, match="before the previous one's last"):
        refresh_stability(current, previous)
