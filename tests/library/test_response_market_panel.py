"""The market panel: what is recorded, what is unknown and what is zero stay apart."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.response.market_panel import MarketPanel
from models.simulate.market_config import MarketChannelSpec, MarketWorldConfig
from models.simulate.markets import CURRENCY_CODE, mart_frames, simulate_market_world

CHANNELS = (MarketChannelSpec("tv", 0.5, 1.5), MarketChannelSpec("search", 0.3, 2.0))


@pytest.fixture(scope="module")
def world():
    return simulate_market_world(MarketWorldConfig(CHANNELS, markets_count=3, periods_count=10), 1)


def build(world, change=None, **options):
    frames = mart_frames(world)
    if change is not None:
        name, edit = change
        frames[name] = edit(frames[name].copy())
    return MarketPanel.from_frames(
        *frames.values(), **{"currency_code": CURRENCY_CODE, "period": "week"} | options
    )


def test_a_world_comes_back_as_it_was(world):
    panel = build(world, population=dict(zip(world.market_ids, world.population, strict=True)))
    order = [world.config.channel_ids.index(channel) for channel in panel.channel_ids]
    assert list(panel.channel_ids) == ["search", "tv"] and panel.channel_index("tv") == 1
    np.testing.assert_allclose(panel.kpi, world.gmv)
    np.testing.assert_allclose(panel.spend, world.spend[..., order])
    np.testing.assert_allclose(panel.intensity, world.impressions[..., order])
    np.testing.assert_allclose(panel.controls[..., 0], world.price)
    np.testing.assert_allclose(panel.population, world.population)
    assert panel.control_names == ("price",) and panel.has_population and not panel.is_national
    assert panel.has_spend.all() and not panel.has_reach.any() and panel.absent_cells_count == 0
    with pytest.raises(ValueError, match="read-only"):
        panel.kpi[0, 0] = 1.0


def test_reads_the_types_of_the_marts(world):
    """Decimals, dates and whole numbers that may be missing, as Parquet hands them over."""

    def typed(frame):
        frame["spend_amount"] = [
            None if i == 0 else Decimal(f"{v:.4f}") for i, v in enumerate(frame["spend_amount"])
        ]
        frame["reach_count"] = pd.array([None] + [3] * (len(frame) - 1), dtype="Int64")
        frame["period_start_date"] = frame["period_start_date"].dt.date
        frame["channel_id"] = frame["channel_id"].astype("category")
        return frame

    panel = build(world, ("market_channel_periods", typed))
    expected = np.array(world.spend[..., [1, 0]])
    expected[0, 0, 1] = np.nan
    np.testing.assert_allclose(panel.spend, expected, atol=1e-4)
    assert np.isnan(panel.reach[0, 0, 1]) and (panel.reach[1:] == 3).all()


def test_rows_in_any_order_make_the_same_panel(world):
    shuffled = build(world, ("market_channel_periods", lambda f: f.sample(frac=1.0, random_state=1)))
    np.testing.assert_array_equal(shuffled.spend, build(world).spend)


def test_no_row_is_no_activity_and_a_null_spend_is_unknown(world):
    gone = build(world, ("market_channel_periods", lambda f: f.drop(index=f.index[4])))
    assert gone.absent_cells_count == 1
    assert (gone.intensity[0, 4, 1], gone.spend[0, 4, 1]) == (0, 0) and gone.has_spend.all()

    def forget(frame):
        active = frame.index[(frame["channel_id"] == "tv") & (frame["intensity"] > 0)]
        frame.loc[active[:2], "spend_amount"] = np.nan
        return frame

    unknown = build(world, ("market_channel_periods", forget))
    assert list(unknown.has_spend) == [True, False]
    with pytest.raises(PanelError, match=r"'tv' is unknown in 2 active market-periods.*contributions only"):
        unknown.require_spend("tv")
    np.testing.assert_array_equal(unknown.require_spend("search"), unknown.spend[..., 0])


def test_a_channel_without_any_spend_has_none_where_it_has_no_row(world):
    def forget(frame):
        frame.loc[frame["channel_id"] == "tv", "spend_amount"] = np.nan
        return frame.drop(index=frame.index[4])

    panel = build(world, ("market_channel_periods", forget))
    assert np.isnan(panel.spend[..., 1]).all() and panel.intensity[0, 4, 1] == 0
    assert list(panel.has_spend) == [True, False]


def test_activity_before_the_first_kpi_is_history_and_after_the_last_is_left_out(world):
    inside = world.period_starts[2:8]

    def shorten(frame):
        return frame[frame["period_start_date"].isin(inside)]

    panel = build(world, ("market_periods", shorten))
    assert (
        len(panel.period_starts) == 8
        and not panel.is_observed[:, :2].any()
        and panel.is_observed[:, 2:].all()
    )
    assert panel.left_out_count == 3 * 2 * (2 + 1)  # markets x weeks x (channels + covariate)
    assert panel.spend[:, :2].sum() > 0


def test_reach_and_frequency_are_known_where_active(world):
    def reached(frame):
        frame["reach_count"] = np.where(frame["channel_id"] == "tv", frame["intensity"] / 2, np.nan)
        frame["frequency"] = np.where(frame["channel_id"] == "tv", 2.0, np.nan)
        return frame

    panel = build(world, ("market_channel_periods", reached))
    assert list(panel.has_reach) == [False, True]
    np.testing.assert_allclose((panel.reach * panel.frequency)[..., 1], panel.intensity[..., 1])


def test_a_covariate_with_gaps_is_named_and_not_a_control(world):
    panel = build(world, ("market_covariate_periods", lambda f: f.drop(index=f.index[3])))
    assert panel.control_names == () and panel.controls_incomplete == ("price",)
    assert panel.controls.shape == (3, 10, 0)


def test_mediators_stand_apart_from_controls(world):
    def visits(frame):
        priced = mart_frames(world)["market_covariate_periods"]
        named = {"covariate_name": "mediator_name", "covariate_value": "mediator_value"}
        return priced.assign(covariate_name="visits", covariate_value=2 * priced["covariate_value"]).rename(
            columns=named
        )

    panel = build(world, ("mediator_periods", visits))
    assert panel.mediator_names == ("visits",) and panel.control_names == ("price",)
    np.testing.assert_allclose(panel.mediators[..., 0], 2 * world.price)
    gaps = build(world, ("mediator_periods", lambda f: visits(f).iloc[1:]))
    assert gaps.mediators_incomplete == ("visits",) and gaps.mediators.shape == (3, 10, 0)
    assert build(world).mediator_names == ()


def test_one_market_is_a_national_series_and_another_kpi_takes_its_place():
    world = simulate_market_world(MarketWorldConfig(CHANNELS, markets_count=1, periods_count=8), 2)
    panel = build(world)
    assert panel.is_national and not panel.has_population
    other = panel.with_kpi(panel.kpi / 10, "orders")
    assert other.kpi_name == "orders" and panel.kpi_name == "gmv"
    np.testing.assert_allclose(other.kpi * 10, panel.kpi)


def put(column, value, row=0):
    def edit(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[frame.index[row], column] = value
        return frame

    return edit


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("market_periods", lambda f: f.drop(columns="gmv_net_amount")),
            "market_periods lacks gmv_net_amount",
        ),
        (("market_periods", lambda f: f.iloc[:0]), "0 market-periods have gmv_net_amount and 60 rows"),
        (("market_periods", lambda f: f.assign(market_id="elsewhere").iloc[:10]), "compare the market_id"),
        (
            ("market_channel_periods", lambda f: pd.concat([f, f.iloc[:1]])),
            "market_channel_periods has 1 rows whose",
        ),
        (("market_channel_periods", put("market_id", None)), "market_id is null in 1 rows"),
        (("market_channel_periods", put("intensity", None)), "intensity is null in 1 rows"),
        (("market_channel_periods", put("spend_amount", -1.0)), "`spend` holds 1 values that are negative"),
        (("market_channel_periods", put("currency_code", "EUR")), "spend is in EUR and the KPI in USD"),
        (("market_periods", put("period_start_date", np.datetime64("2021-01-06"))), "are no start of a week"),
        (("market_periods", put("gmv_net_amount", np.inf)), "`kpi` is infinite"),
        (
            ("mediator_periods", lambda f: f.drop(columns="mediator_name")),
            "mediator_periods lacks mediator_name",
        ),
    ],
)
def test_refuses_marts_that_break_their_promises(world, change, says):
    with pytest.raises(PanelError, match=says):
        build(world, change)


def test_refuses_what_does_not_fit(world):
    panel = build(world)
    with pytest.raises(PanelError, match="no channel 'radio'; it has search, tv"):
        panel.channel_index("radio")
    with pytest.raises(PanelError, match="no market 'x'"):
        panel.market_index("x")
    with pytest.raises(PanelError, match="`population` holds 1 values"):
        build(world, population={"m000": 0.0})
    with pytest.raises(PanelError, match="period is 'year'"):
        replace(panel, period="year")
    with pytest.raises(PanelError, match=r"`spend` has shape \(1, 10, 2\)"):
        replace(panel, spend=panel.spend[:1])
