"""The consumer panel: what from_frames keeps, derives and refuses."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.panel import ConsumerPanel

MONTHS = pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"])


def frames() -> dict[str, pd.DataFrame]:
    """Two consumers x 4 months, January is the pre-period; an odd id that must survive."""
    consumers = ["007", "'; drop table x; --"]
    periods = pd.DataFrame(
        [(c, "north", m, Decimal("10.5") * (i + 1)) for i, c in enumerate(consumers) for m in MONTHS],
        columns=["consumer_id", "market_id", "period_start_date", "gmv_net_amount"],
    )
    periods["is_in_panel"] = periods["period_start_date"] > MONTHS[0]
    cells = pd.DataFrame(
        {
            "consumer_id": ["007", "007", "007", "stranger"],
            "channel_id": ["tv", "email", "tv", "tv"],
            "period_start_date": [MONTHS[0], MONTHS[2], MONTHS[3], MONTHS[3]],
            "exposures_count": [4, 2, 1, 9],
        }
    )
    characteristics = pd.DataFrame(
        [
            ("007", "age", "numeric", "declared", 40.0, None),
            ("007", "plan", "categorical", "declared", np.nan, "NULL"),
            ("007", "pre_period_spend_stratum", "categorical", "pre_period", np.nan, "high"),
        ],
        columns=[
            "consumer_id",
            "characteristic_name",
            "characteristic_kind",
            "characteristic_origin",
            "value_numeric",
            "value_text",
        ],
    )
    covariates = pd.DataFrame(
        [("north", "price", m, 1.0 + i) for i, m in enumerate(MONTHS)] + [("north", "gappy", MONTHS[1], 3.0)],
        columns=["market_id", "covariate_name", "period_start_date", "covariate_value"],
    )
    return {
        "consumer_periods": periods,
        "consumer_channel_periods": cells,
        "consumer_characteristics": characteristics,
        "market_covariate_periods": covariates,
    }


def build(**changes: pd.DataFrame) -> ConsumerPanel:
    return ConsumerPanel.from_frames(**{**frames(), **changes}, currency_code="USD", period="month")


def test_keeps_panel_rows_sorted_and_reads_every_table():
    source = frames()
    shuffled = {name: frame.sample(frac=1.0, random_state=3) for name, frame in source.items()}
    panel = build(**shuffled)
    assert panel.consumer_ids.tolist() == ["'; drop table x; --", "007"]
    assert panel.channel_ids.tolist() == ["email", "tv"]
    assert panel.rows_count == 6
    assert panel.period_index.tolist() == [0, 1, 2, 0, 1, 2]
    assert panel.gmv.tolist() == [21.0] * 3 + [10.5] * 3
    np.testing.assert_array_equal(panel.exposures, [[0, 0]] * 3 + [[0, 0], [2, 0], [0, 1]])
    assert panel.covariate_names == ("price",)
    assert panel.covariates_incomplete == ("gappy",)
    assert panel.covariates[:, 0].tolist() == [2.0, 3.0, 4.0] * 2
    assert panel.exposures_unmatched_count == 1
    assert panel.spend_stratum.tolist() == ["none", "high"]
    assert panel.characteristics.loc["007", "plan"] == "NULL"
    assert panel.characteristics.loc["'; drop table x; --", "plan"] is None
    assert np.isnan(panel.characteristics.loc["'; drop table x; --", "age"])
    assert panel.characteristic_kinds == {"age": "numeric", "plan": "categorical"}


def test_texts_may_come_as_categories_in_any_order_with_some_that_no_row_has():
    def as_categories(column: pd.Series) -> pd.Series:
        if not pd.api.types.is_string_dtype(column.dropna()):
            return column
        levels = [*sorted(set(column.dropna()), reverse=True), "of nobody"]
        return pd.Series(pd.Categorical(column, categories=levels), index=column.index)

    plain, coded = build(), build(**{name: frame.apply(as_categories) for name, frame in frames().items()})
    for name, value in vars(plain).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(coded, name), value, err_msg=name)
            assert getattr(coded, name).dtype == value.dtype, name
    pd.testing.assert_frame_equal(coded.characteristics, plain.characteristics)
    lost = frames()["consumer_periods"].assign(
        consumer_id=lambda f: pd.Categorical(f["consumer_id"].where(f.index > 0))
    )
    with pytest.raises(PanelError, match="consumer_id is null in 1 rows"):
        build(consumer_periods=lost)


def test_lead_sums_the_next_periods_and_marks_unobserved_rows():
    panel = build()
    leads, is_observed = panel.lead_exposures(1)
    assert is_observed.tolist() == [True, True, False] * 2
    np.testing.assert_array_equal(leads[3:], [[2, 0], [0, 1], [0, 0]])
    leads, is_observed = panel.lead_exposures(2)
    assert is_observed.tolist() == [True, False, False] * 2
    np.testing.assert_array_equal(leads[3], [2, 1])
    with pytest.raises(PanelError, match="at least one later period"):
        panel.lead_exposures(0)


def test_consumer_means_are_over_panel_rows_only():
    panel = build()
    np.testing.assert_allclose(panel.consumer_means(panel.exposures), [[0, 0], [2 / 3, 1 / 3]])
    np.testing.assert_allclose(panel.consumer_means(panel.gmv), [21.0, 10.5])


def test_arrays_are_read_only_and_input_is_untouched():
    source = frames()
    before = {name: frame.copy() for name, frame in source.items()}
    panel = build(**source)
    for name, frame in source.items():
        pd.testing.assert_frame_equal(frame, before[name])
    with pytest.raises(ValueError, match="read-only"):
        panel.gmv[0] = 1.0


def test_a_panel_without_exposures_or_covariates_is_valid():
    source = frames()
    panel = build(
        consumer_channel_periods=source["consumer_channel_periods"].iloc[:0],
        market_covariate_periods=source["market_covariate_periods"].iloc[:0],
        consumer_characteristics=source["consumer_characteristics"].iloc[:0],
    )
    assert panel.exposures.shape == (6, 0)
    assert panel.covariates.shape == (6, 0)
    assert panel.characteristics.shape == (2, 0)


def test_refuses_what_breaks_the_contract():
    source = frames()
    periods = source["consumer_periods"]
    with pytest.raises(PanelError, match="lacks gmv_net_amount"):
        build(consumer_periods=periods.drop(columns="gmv_net_amount"))
    with pytest.raises(PanelError, match=r"whose key .* occurs before"):
        build(consumer_periods=pd.concat([periods, periods.iloc[:1]]))
    with pytest.raises(PanelError, match="not finite in 1 rows"):
        build(consumer_periods=periods.assign(gmv_net_amount=[np.nan if i == 1 else 1.0 for i in range(8)]))
    with pytest.raises(PanelError, match="none is in the panel"):
        build(consumer_periods=periods.assign(is_in_panel=False))
    with pytest.raises(PanelError, match="one home market"):
        build(consumer_periods=periods.assign(market_id=["north", "south"] * 4))
    with pytest.raises(PanelError, match="start of a month"):
        moved = periods.assign(period_start_date=periods["period_start_date"] + pd.Timedelta(days=1))
        build(consumer_periods=moved)
    with pytest.raises(PanelError, match="numeric or categorical"):
        build(consumer_characteristics=source["consumer_characteristics"].assign(characteristic_kind="text"))
    with pytest.raises(PanelError, match="one of day, week, month"):
        ConsumerPanel.from_frames(**source, currency_code="USD", period="year")
    with pytest.raises(PanelError, match="is null in 1 rows"):
        build(consumer_periods=periods.assign(market_id=["north", None, *["north"] * 6]))
