"""What is published of a fit, on a world whose truth is known: rows, curves, periods, checks that can fail, plans."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from models.errors import NotFittedError, PanelError
from models.response import fit_checks
from models.response.adjustment import Adjustment, ChannelIdentification
from models.response.config import ResponseConfig
from models.response.contributions import baseline, contributions
from models.response.effect_tables import effect_tables, silent_channel_rows
from models.response.fit import ResponseFit, fit_response
from models.response.fit_checks import (
    check_baseline,
    check_contributions,
    check_prior_shift,
    check_returns,
    expected_totals,
)
from models.response.lift_tests import LiftTest
from models.response.market_panel import MarketPanel
from models.response.period_tables import contribution_periods, response_curves
from models.response.plans import forecast_of_plan, plan_columns, scenario_of_plan
from models.response.priors import ChannelPriors, EffectPrior, LogNormal, Normal
from models.response.returns import response_curve, return_table
from models.response.scenarios import Scenario, predict
from models.response.storage import config_as_dict, config_from_dict, load_response_fit, save_response_fit
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.markets import MarketWorld, mart_frames, simulate_market_world

CHANNELS = (
    MarketChannelSpec("search", spend_mean=0.4, roi=2.5, decay=0.3),
    MarketChannelSpec("tv", spend_mean=0.5, roi=1.5, decay=0.6),
    MarketChannelSpec("unpaid", spend_mean=0.3, roi=1.0, decay=0.3),
)
WORLD = MarketWorldConfig(
    channels=CHANNELS, markets_count=4, periods_count=60, start_date=date(2022, 1, 3), noise_sd=0.03
)
CONFIG = ResponseConfig(max_lag=6, chains=2, draws=60, tune=40, kept_draws=60, noise_differs=0.0)
WHY = "no graph in this test"
OPEN = Adjustment(
    ("price",),
    {
        "search": ChannelIdentification("search", None),
        "tv": ChannelIdentification("tv", None, ("search",), "goes through search"),
        "unpaid": ChannelIdentification("unpaid", WHY, total_reason=WHY),
    },
    (),
    True,
)


def panel_of(world: MarketWorld) -> MarketPanel:
    """The world as recorded, but for the spend of `unpaid`."""
    frames = mart_frames(world)
    media = frames["market_channel_periods"]
    media.loc[media["channel_id"] == "unpaid", "spend_amount"] = None
    names = ("market_periods", "market_channel_periods", "market_covariate_periods", "mediator_periods")
    return MarketPanel.from_frames(*(frames[n] for n in names), currency_code="USD", period="week")


@pytest.fixture(scope="module")
def world() -> MarketWorld:
    return simulate_market_world(WORLD, 5)


@pytest.fixture(scope="module")
def fitted(world: MarketWorld) -> ResponseFit:
    panel = panel_of(world)
    test = LiftTest(
        "t1", ("tv",), (str(panel.market_ids[0]),), panel.period_starts[20], panel.period_starts[24],
        100.0, None, 150.0, 500.0,
    )  # fmt: skip
    return fit_response(panel, CONFIG, lift_tests=(test,))


@pytest.fixture(scope="module")
def tables(fitted: ResponseFit) -> tuple[pd.DataFrame, pd.DataFrame]:
    return effect_tables(fitted, OPEN, model_name="mediamix-response", is_primary=True)


@pytest.fixture(scope="module")
def periods(fitted: ResponseFit) -> pd.DataFrame:
    return contribution_periods(fitted)


def test_rows_by_channel_hold_the_truth_and_are_the_librarys_own(world, fitted, tables):
    channel, market = tables
    brought = world.contributions(world.spend).sum(axis=(0, 1))
    rows = channel.set_index(["channel_id", "estimand"])
    for c, name in enumerate(world.config.channel_ids):
        row = rows.loc[name, "contribution"]
        assert abs(row["mean"] - brought[c]) < max(4 * row["standard_deviation"], 0.1 * brought[c])
        assert row["interval_lower"] < row["mean"] < row["interval_upper"]
        assert (row["horizon"], row["exposure_distribution"], row["kpi"]) == (
            "total",
            "market_periods",
            "gmv_net",
        )
        assert np.isfinite([row["r_hat"], row["ess"]]).all()
        assert np.isnan(row["probability_positive"])  # the prior allows no other sign
    roas = rows.loc[("tv", "roas"), "mean"]
    spend = world.spend[..., list(world.config.channel_ids).index("tv")].sum()
    assert roas == pytest.approx(rows.loc[("tv", "contribution"), "mean"] / spend)
    table = return_table(fitted).query("market_id.isna() and channel_id == 'tv'").set_index("estimand")
    assert roas == pytest.approx(table.loc["roi", "mean"])
    assert rows.loc[("tv", "marginal_roas"), "mean"] == pytest.approx(table.loc["marginal_roi", "mean"])
    assert market["market_id"].nunique() == 4
    assert set(market["estimand"]) == {"contribution", "roas", "marginal_roas"}


def test_spend_that_is_unknown_refuses_ratios_and_the_graph_names_effects(tables):
    channel, market = tables
    refused = channel[(channel["channel_id"] == "unpaid") & channel["estimand"].str.endswith("roas")]
    assert len(refused) == 2 and refused["mean"].isna().all() and not refused["is_identified"].any()
    assert refused["not_identified_reason"].str.contains("spend of channel 'unpaid' is unknown").all()
    assert not market["channel_id"][market["estimand"].str.endswith("roas")].eq("unpaid").any()
    rows = channel.set_index(["channel_id", "estimand"])
    assert rows.loc[("search", "total_effect"), "mean"] == rows.loc[("search", "contribution"), "mean"]
    assert np.isnan(rows.loc[("tv", "total_effect"), "mean"])  # refused: part of it goes through search
    assert rows.loc[("tv", "total_effect"), "not_identified_reason"] == "goes through search"
    assert rows.loc[("tv", "direct_effect"), "mean"] == rows.loc[("tv", "contribution"), "mean"]
    unpaid = rows.loc[("unpaid", "contribution")]
    assert np.isfinite(unpaid["mean"]) and not unpaid["is_identified"]  # published all the same, marked
    assert np.isnan(rows.loc[("unpaid", "total_effect"), "mean"])  # a causal name is not
    assert ("search", "direct_effect") not in rows.index


def test_a_silent_channel_has_a_row_that_says_so():
    rows = silent_channel_rows(
        {"radio": "no exposure"}, model_name="m", interval_level=0.9, currency_code="EUR", is_primary=True
    )
    assert rows[["channel_id", "estimand", "is_identified", "not_identified_reason"]].values.tolist() == [
        ["radio", "contribution", False, "no exposure"]
    ]
    assert rows["mean"].isna().all()


def test_rows_by_period_add_up_to_expected_gmv_and_to_the_contributions(fitted, periods, tables):
    per_market = periods[periods["market_id"].notna()]
    expected, _ = expected_totals(fitted)
    assert per_market["mean"].sum() == pytest.approx(expected.mean())
    everywhere = periods[periods["market_id"].isna()]
    assert everywhere["mean"].sum() == pytest.approx(expected.mean())
    by_channel = everywhere.groupby("channel_id")["mean"].sum()
    contribution = tables[0].query("estimand == 'contribution'").set_index("channel_id")["mean"]
    pd.testing.assert_series_equal(by_channel, contribution[by_channel.index], check_names=False)
    week = fitted.panel.period_starts[30]
    one = per_market[(per_market["period_start_date"] == week) & per_market["component"].eq("baseline")]
    mean = np.mean([baseline(fitted, k)[:, 30] for k in range(len(fitted.draws))], axis=0)
    assert one.set_index("market_id")["mean"].to_numpy() == pytest.approx(mean)
    sums = everywhere[everywhere["component"].eq("channel")]
    assert (sums["interval_lower"] <= sums["mean"]).all() and (sums["mean"] <= sums["interval_upper"]).all()


def test_curves_pass_through_nothing_and_what_happened_and_equal_the_librarys(fitted, tables):
    curves = response_curves(fitted, (0.0, 0.5, 1.0))
    contribution = tables[0].query("estimand == 'contribution'").set_index("channel_id")["mean"]
    everywhere = curves[curves["market_id"].isna()].set_index(["channel_id", "multiple"])
    for channel in ("search", "tv", "unpaid"):
        assert everywhere.loc[(channel, 0.0), "mean"] == 0.0
        assert everywhere.loc[(channel, 1.0), "mean"] == pytest.approx(contribution[channel])
    single = response_curve(fitted, "tv", (0.5,)).iloc[0]
    assert everywhere.loc[("tv", 0.5), "mean"] == pytest.approx(single["mean"])
    assert everywhere.loc[("tv", 0.5), "spend_amount"] == pytest.approx(single["spend_amount"])
    assert np.isnan(everywhere.loc[("unpaid", 1.0), "spend_amount"])
    assert everywhere.loc[("unpaid", 1.0), "intensity"] == pytest.approx(fitted.panel.intensity[..., 2].sum())
    by_market = curves[curves["multiple"].eq(1.0) & curves["market_id"].notna()]
    assert by_market.groupby("channel_id")["mean"].sum()["tv"] == pytest.approx(contribution["tv"])


def test_the_identity_check_passes_and_bites(fitted, periods, tables, monkeypatch):
    assert check_contributions(fitted, periods, tables[0]).passed is True
    moved = periods.assign(mean=periods["mean"].where(periods["channel_id"] != "tv", periods["mean"] * 1.01))
    assert check_contributions(fitted, moved, tables[0]).passed is False
    wrong = lambda fit, draws=None: (1.001 * one for one in contributions(fit, draws))  # noqa: E731
    monkeypatch.setattr(fit_checks, "contributions", wrong)
    assert check_contributions(fitted, periods, tables[0]).passed is False


def test_the_baseline_check_bites_where_channels_explain_more_than_everything(fitted):
    assert check_baseline(fitted, 0.05).passed is True
    draws = fitted.draws
    greedy = replace(fitted, draws=replace(draws, effect=draws.effect * 30, level=draws.level - 29 * 0.3))
    assert check_baseline(greedy, 1e9).passed is False
    assert "negative with probability 1.00" in check_baseline(greedy, 1e9).text
    unknown = replace(fitted, draws=replace(draws, level=draws.level * np.nan))
    assert check_baseline(unknown, 0.05).passed is None


def test_prior_and_returns_checks_tell_data_from_prior(fitted):
    found = check_prior_shift(fitted)
    assert found.passed is True and found.table["learned_share"].gt(0.3).all()
    prior = fitted.effects[1].prior
    silent = fitted.draws.mean_effect.copy()
    scores = ndtri((np.arange(len(silent)) + 0.5) / len(silent))  # the prior's own quantiles
    silent[:, 1] = prior.median * np.exp(prior.log_sd * scores)
    of_prior = replace(fitted, draws=replace(fitted.draws, mean_effect=silent))
    assert check_prior_shift(of_prior).passed is False and "tv" in check_prior_shift(of_prior).text
    assert check_returns(fitted).passed is None  # unpaid has no prior of ROI
    absurd = fitted.draws.mean_effect * np.array([1.0, 40.0, 1.0])
    judged = check_returns(replace(fitted, draws=replace(fitted.draws, mean_effect=absurd)))
    assert judged.passed is False and "ROI of tv" in judged.text


def test_a_saved_fit_comes_back_the_same_without_pickle(fitted, tables, tmp_path):
    save_response_fit(fitted, tmp_path / "fit")
    read = load_response_fit(tmp_path / "fit")
    again = effect_tables(read, OPEN, model_name="mediamix-response", is_primary=True)
    for one, two in zip(tables, again, strict=True):
        pd.testing.assert_frame_equal(one, two)
    assert read.config == fitted.config and read.scaling == fitted.scaling
    assert read.lift_tests == fitted.lift_tests and read.effects == fitted.effects
    assert read.diagnostics.has_converged == fitted.diagnostics.has_converged
    assert not read.panel.kpi.flags.writeable
    for path in (tmp_path / "fit").glob("*.npz"):
        with np.load(path, allow_pickle=False) as stored:
            assert all(stored[name].dtype != object for name in stored.files)
    (tmp_path / "fit" / "draws.npz").unlink()
    with pytest.raises(NotFittedError, match=r"draws\.npz"):
        load_response_fit(tmp_path / "fit")


def test_a_configuration_with_priors_of_every_kind_is_read_back():
    priors = {
        "a": ChannelPriors(EffectPrior("coefficient", Normal(0.0, 1.0)), {"slope": LogNormal(1.5, 0.2)}),
        "b": ChannelPriors(),
    }
    config = ResponseConfig(priors=priors, controls=("x", "y"), kernel="weibull_pdf", saturation="hill")
    assert config_from_dict(config_as_dict(config)) == config


def test_a_plan_in_money_is_the_scenario_in_exposures(fitted):
    panel = fitted.panel
    starts = panel.period_starts[-1] + np.array([7, 14], dtype="timedelta64[D]")
    rows = [(market, start) for market in panel.market_ids for start in starts]
    plan = pd.DataFrame(rows, columns=["market_id", "period_start_date"])
    plan = plan.assign(
        **{"spend[search]": 1000.0, "intensity[tv]": 5000.0, "intensity[unpaid]": 0.0, "control[price]": 0.1}
    ).sample(frac=1.0, random_state=1)
    assert ("spend[tv]", "intensity[tv]") in plan_columns(fitted)
    scenario = scenario_of_plan(fitted, plan)
    price = panel.spend[..., 0].sum(axis=1) / panel.intensity[..., 0].sum(axis=1)
    np.testing.assert_allclose(scenario.intensity[:, 0, 0], 1000.0 / price)
    np.testing.assert_allclose(scenario.intensity[..., 1], 5000.0)
    table = forecast_of_plan(fitted, plan)
    direct = predict(fitted, Scenario(starts, scenario.intensity, np.full((4, 2, 1), 0.1)))
    np.testing.assert_allclose(table["mean"], direct.table["mean"])
    last = table[table["market_id"].isna()].iloc[0]
    np.testing.assert_allclose(last["contribution[tv]"], direct.contributions.mean(axis=0)[:, 0, 1].sum())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda plan: plan.drop(columns="control[price]"), r"no column where one of control\[price\]"),
        (lambda plan: plan.assign(**{"intensity[tv]": 1.0}), r"spend\[tv\] and intensity\[tv\] where one"),
        (lambda plan: plan.assign(**{"spend[unpaid]": 1.0}), r"has the columns spend\[unpaid\]"),
        (lambda plan: plan.iloc[1:], "3 rows where 4 markets x 1 periods make 4"),
        (lambda plan: plan.assign(market_id="nowhere").iloc[:1], "names the markets nowhere"),
        (lambda plan: plan.assign(**{"spend[tv]": -1.0}), "negative or not finite"),
    ],
)
def test_a_plan_that_says_too_little_or_too_much_is_refused(fitted, change, match):
    start = fitted.panel.period_starts[-1] + np.timedelta64(7, "D")
    plan = pd.DataFrame({"market_id": fitted.panel.market_ids, "period_start_date": start})
    plan = plan.assign(
        **{"spend[search]": 10.0, "spend[tv]": 10.0, "intensity[unpaid]": 10.0, "control[price]": 0.0}
    )
    with pytest.raises(PanelError, match=match):
        forecast_of_plan(fitted, change(plan))
