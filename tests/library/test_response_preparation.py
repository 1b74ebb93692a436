"""From raw marts to a panel: what cannot be used is named, what is merged adds up, defaults follow the amounts."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.response.market_panel import MarketPanel
from models.response.panel_defaults import config_for_panel, presumed_share
from models.response.preparation import OTHER_MARKETS, prepare_market_panel, varying_controls
from models.response.priors import DEFAULT_CONTRIBUTION

WEEKS = pd.date_range("2023-01-02", periods=30, freq="7D").date
MARKETS = {"big": 1000.0, "mid": 500.0, "small": 50.0, "tiny": 20.0}


def frames(spend: bool = True) -> dict[str, pd.DataFrame]:
    """Four markets, two channels; market m sells MARKETS[m] a week, on which `tv` is 10 % of spend."""
    rng = np.random.default_rng(3)
    outcomes, media, covariates = [], [], []
    for market, size in MARKETS.items():
        for t, week in enumerate(WEEKS):
            outcomes.append((market, week, size * (1 + 0.1 * rng.standard_normal()), "market_outcomes"))
            covariates += [(market, "price", week, float(t % 5)), (market, "flat", week, 1.0)]
            for channel in ("tv", "radio"):
                paid = 0.1 * size if spend else None
                media.append((market, channel, week, None, 3.0 * size, paid, "EUR" if spend else None))
    columns = ["market_id", "channel_id", "period_start_date", "exposures_count", "intensity"]
    return {
        "market_periods": pd.DataFrame(
            outcomes, columns=["market_id", "period_start_date", "gmv_net_amount", "source_kind"]
        ),
        "market_channel_periods": pd.DataFrame(
            media, columns=[*columns, "spend_amount", "currency_code"]
        ).assign(reach_count=np.nan, frequency=2.0),
        "market_covariate_periods": pd.DataFrame(
            covariates, columns=["market_id", "covariate_name", "period_start_date", "covariate_value"]
        ),
        "mediator_periods": pd.DataFrame(
            columns=["market_id", "mediator_name", "period_start_date", "mediator_value"]
        ),
    }


def prepared(tables: dict[str, pd.DataFrame], **settings):
    return prepare_market_panel(**tables, **({"currency_code": "EUR", "period": "week"} | settings))


def test_a_whole_panel_is_the_marts_own_and_leaves_nothing_out():
    tables = frames()
    found = prepared(tables, population={"big": 10.0})
    whole = MarketPanel.from_frames(*tables.values(), currency_code="EUR", period="week")
    np.testing.assert_allclose(found.panel.kpi, whole.kpi)
    np.testing.assert_allclose(found.panel.intensity, whole.intensity)
    assert found.left_out.empty and found.merged_markets == ()
    assert varying_controls(found.panel) == ("price",)  # `flat` is one with the level


def test_merged_markets_are_the_sum_of_the_smallest_and_nothing_gets_lost():
    tables = frames()
    media = tables["market_channel_periods"]
    unknown = (media["market_id"] == "tiny") & (media["channel_id"] == "radio")
    media.loc[unknown, "spend_amount"] = np.nan
    found = prepared(tables, markets_most=3, population={"small": 5.0, "tiny": 2.0})
    panel = found.panel
    assert found.merged_markets == ("small", "tiny")
    assert list(panel.market_ids) == [OTHER_MARKETS, "big", "mid"]
    assert panel.kpi.sum() == pytest.approx(tables["market_periods"]["gmv_net_amount"].sum())
    assert panel.intensity.sum() == pytest.approx(media["intensity"].sum())
    assert panel.population[0] == 7.0 and np.isnan(panel.population[1])
    tv, radio = panel.channel_index("tv"), panel.channel_index("radio")
    np.testing.assert_allclose(panel.spend[0, :, tv], 7.0)
    assert np.isnan(panel.spend[0, :, radio]).all()  # a sum with an unknown part is unknown
    price = panel.control_names.index("price")
    np.testing.assert_allclose(panel.controls[0, :, price], np.arange(len(WEEKS)) % 5)


def test_a_small_market_with_a_gap_is_left_out_rather_than_summed_with_a_jump():
    tables = frames()
    outcomes = tables["market_periods"]
    gap = (outcomes["market_id"] == "tiny") & (outcomes["period_start_date"] == WEEKS[4])
    found = prepared(tables | {"market_periods": outcomes[~gap]}, markets_most=3)
    assert found.left_out[["kind", "name"]].values.tolist() == [["market", "tiny"]]
    assert found.merged_markets == ("small",)
    assert "tiny" not in found.panel.market_ids


def test_purchases_that_homes_were_chosen_by_do_not_count_and_recorded_outcomes_do():
    tables = frames()
    end = dt.date(2023, 2, 6)  # five weeks
    assert prepared(tables, pre_period_end=end).panel.is_observed.all()
    derived = tables["market_periods"].assign(source_kind="transactions")
    found = prepared(tables | {"market_periods": derived}, pre_period_end=end)
    assert found.panel.is_observed.sum() == 4 * 25
    assert found.panel.intensity.shape[1] == 30  # exposure before it still carries over
    assert found.left_out["name"].tolist() == ["20"]


def test_markets_without_sales_and_silent_channels_are_named():
    tables = frames()
    outcomes, media = tables["market_periods"], tables["market_channel_periods"]
    outcomes.loc[outcomes["market_id"] == "tiny", "gmv_net_amount"] = 0.0
    media.loc[media["channel_id"] == "radio", "intensity"] = 0.0
    found = prepared(tables)
    assert found.left_out[["kind", "name"]].values.tolist() == [["market", "tiny"], ["channel", "radio"]]
    assert list(found.panel.channel_ids) == ["tv"]


def test_too_few_periods_are_refused_with_the_number():
    tables = frames()
    kept = {n: t[t["period_start_date"] < WEEKS[19]] if len(t) else t for n, t in tables.items()}
    with pytest.raises(PanelError, match="19 periods have GMV; a response model needs 20"):
        prepared(kept)


def test_priors_are_of_roi_only_where_spend_and_gmv_are_amounts_of_one_size():
    tables = frames()
    panel = prepared(tables).panel
    assert 0.2 < presumed_share(panel) < 0.3  # two channels, 10 % of GMV each, ROI 1.22
    assert config_for_panel(panel, ()).priors == {}
    media = tables["market_channel_periods"]
    in_thousands = media.assign(spend_amount=media["spend_amount"] / 1000)
    other = prepared(tables | {"market_channel_periods": in_thousands}).panel
    config = config_for_panel(other, ("price",), draws=50)
    assert {name: one.effect for name, one in config.priors.items()} == dict.fromkeys(
        ("radio", "tv"), DEFAULT_CONTRIBUTION
    )
    assert (config.controls, config.draws, config.max_lag) == (("price",), 50, 12)
    unpaid = prepared(frames(spend=False)).panel
    assert config_for_panel(unpaid, ()).priors == {}  # unknown spend has contribution priors anyway


def test_long_daily_series_are_fitted_as_weeks_that_add_up():
    days = pd.date_range("2022-01-01", periods=403, freq="D").date
    tables = {name: table.head(0) for name, table in frames().items()}
    one = {"market_id": "all", "period_start_date": days}
    tables["market_periods"] = pd.DataFrame(
        one | {"gmv_net_amount": np.arange(403.0) + 1, "source_kind": "market_outcomes"}
    )
    media = one | {"channel_id": "tv", "exposures_count": None, "intensity": 2.0, "spend_amount": 1.0}
    tables["market_channel_periods"] = pd.DataFrame(
        media | {"currency_code": "EUR", "reach_count": 1.0, "frequency": 2.0}
    )
    tables["market_channel_periods"].loc[400, "spend_amount"] = np.nan
    found = prepared(tables, period="day")
    panel = found.panel
    assert (panel.period, len(panel.period_starts)) == ("week", 57)
    assert panel.period_starts[0] == np.datetime64(days[4])  # four days at the start make no week
    assert panel.kpi[0, -1] == pytest.approx(np.arange(397, 404).sum())
    assert (panel.intensity == 14.0).all()
    assert np.isnan(panel.spend[0, -1, 0]) and (panel.spend[0, :-1, 0] == 7.0).all()
    assert found.left_out["name"].tolist() == ["day"]
    short = {n: t[t["period_start_date"] < days[300]] if len(t) else t for n, t in tables.items()}
    assert prepared(short, period="day").panel.period == "day"
