"""Outcome log1p: its statistics, unit and estimands; known effects found in the log1p world; mixtures refused."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import PanelError
from models.evaluation.paper_panel import paper_panel
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.effects import compute_effects
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.outcome import outcome_values
from models.hbmmm.refit import refit_hbmmm
from models.hbmmm.refit_effects import refit_channel_effects
from models.hbmmm.statistics import SufficientStatistics
from models.simulate import consumer_months as paper

CONFIG = HBMMMConfig(
    outcome="log1p",
    basis="linear",
    include_period_effects="none",
    inference="laplace",
    draws=200,
    chains=2,
    effect_draws=200,
    seed=2,
)


@pytest.fixture(scope="module")
def months():
    return next(paper.consumer_months(paper.ConsumerMonthsConfig(700, markets_count=6, seed=5)))


@pytest.fixture(scope="module")
def panel(months):
    """The paper's world carried to dollars, where its log1p is the outcome: sign(y) log1p(|y|) = the world's y."""
    made = paper_panel(months)
    y = months.outcome
    return replace(made, gmv=np.sign(y) * np.expm1(np.abs(y)), currency_code="USD")


@pytest.fixture(scope="module")
def fit(panel):
    return fit_hbmmm(SufficientStatistics.from_panel(panel, outcome="log1p"), panel.characteristics, CONFIG)


def test_log1p_is_odd_and_money_is_money():
    gmv = np.array([-3.0, 0.0, 1.5])
    np.testing.assert_allclose(outcome_values(gmv, "log1p"), [-np.log(4.0), 0.0, np.log(2.5)])
    assert outcome_values(gmv, "money") is gmv
    with pytest.raises(ValueError, match="explains one of"):
        outcome_values(gmv, "sqrt")


def test_only_the_outcome_differs_between_statistics(panel):
    money, log1p = (SufficientStatistics.from_panel(panel, outcome=outcome) for outcome in ("money", "log1p"))
    assert (money.outcome, log1p.outcome) == ("money", "log1p")
    assert log1p.columns[:-1] == money.columns[:-1]
    np.testing.assert_array_equal(log1p.gram()[:, :-1, :-1], money.gram()[:, :-1, :-1])
    np.testing.assert_allclose(
        log1p.gram()[:, 0, -1],
        np.bincount(panel.consumer_index, outcome_values(panel.gmv, "log1p")),
        atol=1e-9,
    )


def test_the_papers_slopes_are_found_in_log_points(fit, panel, months):
    """Truth: the mean over rows of the consumers' slopes, per exposure."""
    table = compute_effects(fit, panel).channel
    slope = table[(table["estimand"] == "slope") & (table["exposure_distribution"] == "panel_rows")]
    truth = (months.slopes[months.consumer] / paper.EXPOSURE_SDS).mean(axis=0)
    error = (slope["mean"].to_numpy() - truth) / slope["standard_deviation"].to_numpy()
    assert slope["channel_id"].tolist() == list(paper.CHANNEL_IDS)
    assert np.abs(error).max() < 3.0
    assert (slope["mean"] / truth).between(0.5, 1.6).all()
    assert (slope["interval_lower"] > 0).any()


def test_log_points_claim_no_money(fit, panel):
    tables = compute_effects(fit, panel)
    for table in (tables.channel, tables.market, tables.segment, tables.consumer):
        assert not table["estimand"].astype(str).eq("contribution").any()
        assert table["unit"].astype(str).str.startswith("log points per exp").all()
        assert table["kpi"].astype(str).eq("gmv_net_log1p").all()
    assert set(tables.channel["estimand"]) == {"slope", "att_exposed"}


def test_another_outcome_than_the_fits_is_refused(fit, panel):
    money = SufficientStatistics.from_panel(panel)
    with pytest.raises(PanelError, match="hold the outcome 'money' and the configuration asks for 'log1p'"):
        fit_hbmmm(money, panel.characteristics, CONFIG)
    with pytest.raises(PanelError, match="hold the outcome 'money'"):
        refit_hbmmm(fit, money)
    with pytest.raises(PanelError, match="hold the outcome 'money'"):
        refit_channel_effects(fit, money, panel)


def test_a_refit_on_its_own_outcome_says_the_same(fit, panel):
    statistics = SufficientStatistics.from_panel(panel, outcome="log1p")
    again = refit_channel_effects(fit, statistics, panel)
    full = compute_effects(fit, panel).channel
    both = again.merge(full, on=["channel_id", "estimand", "exposure_distribution"])
    assert len(both) == len(again) == len(full)
    assert (both["unit_x"] == both["unit_y"]).all()
    assert (np.abs(both["mean_x"] - both["mean_y"]) < 0.3 * both["standard_deviation_y"]).all()
