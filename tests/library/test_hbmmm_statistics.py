"""Sufficient statistics: by hand, the same from marts and from rows, and refusals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.errors import PanelError
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import build_design
from models.hbmmm.statistics import SufficientStatistics, row_design


@pytest.fixture(scope="module")
def panel(money_panel):
    return money_panel(12, 6, 3)[0]


def sql_name(name: str) -> str:
    """The mart writes exposure:tv where Python writes exposure[tv]."""
    return name.replace("[", ":").removesuffix("]")


def as_marts(statistics: SufficientStatistics) -> tuple[pd.DataFrame, pd.DataFrame]:
    marts = pd.DataFrame(
        {
            "basis_id": "concave",
            "consumer_id": statistics.consumer_ids,
            "market_id": statistics.market_ids[statistics.market_index],
            "spend_stratum": statistics.spend_stratum,
            "rows_count": statistics.rows_count,
            "statistics": list(statistics.packed),
        }
    )
    columns = pd.DataFrame(
        {
            "basis_id": "concave",
            "column_index": pd.array([*range(len(statistics.columns)), None], dtype="Int64"),
            "column_name": [*(sql_name(c.name) for c in statistics.columns), "covariate:gappy"],
            "column_kind": [*(c.kind for c in statistics.columns), "covariate_incomplete"],
            "channel_id": [*(c.channel_id for c in statistics.columns), None],
            "covariate_name": [*(c.covariate_name for c in statistics.columns), "gappy"],
            "period_start_date": pd.to_datetime([*(c.period_start_date for c in statistics.columns), None]),
            "exposure_bend": [
                *(c.bend if c.kind == "exposure_log1p" else None for c in statistics.columns),
                None,
            ],
        }
    )
    return marts, columns


def test_gram_is_the_sum_over_the_consumers_rows(panel):
    statistics = SufficientStatistics.from_panel(panel)
    rows = row_design(panel)[1]
    for i, consumer in enumerate(statistics.consumer_ids):
        mine = rows[panel.consumer_ids[panel.consumer_index] == consumer]
        np.testing.assert_allclose(statistics.gram()[i], mine.T @ mine, rtol=1e-12)
        assert statistics.rows_count[i] == len(mine)


def test_columns_are_in_the_marts_order(panel):
    kinds = [c.kind for c in SufficientStatistics.from_panel(panel).columns]
    expected = [
        "intercept",
        *["exposure"] * 2,
        *["exposure_log1p"] * 2,
        "covariate",
        *["period"] * 5,
        "outcome",
    ]
    assert kinds == expected


def test_marts_in_any_row_order_give_the_same(panel):
    statistics = SufficientStatistics.from_panel(panel)
    marts, columns = as_marts(statistics)
    read = SufficientStatistics.from_marts(
        marts.sample(frac=1, random_state=1), columns.sample(frac=1, random_state=2)
    )
    assert read.columns == statistics.columns
    assert read.consumer_ids.tolist() == statistics.consumer_ids.tolist()
    np.testing.assert_array_equal(read.packed, statistics.packed)
    np.testing.assert_array_equal(read.market_index, statistics.market_index)


def test_slopes_have_their_own_mean_terms_whatever_the_mart_calls_the_columns(panel):
    """With the mart's own names the design found no mean(exposure[channel]), and no slope depended on its own mean."""
    marts = as_marts(SufficientStatistics.from_panel(panel))
    made = [
        build_design(statistics, (), HBMMMConfig())
        for statistics in (SufficientStatistics.from_panel(panel), SufficientStatistics.from_marts(*marts))
    ]
    assert made[0] == made[1]
    assert "exposure[channel0]:mean(exposure[channel0])" in made[1].fixed_names


def test_columns_of_a_kind_can_be_left_out(panel):
    statistics = SufficientStatistics.from_panel(panel)
    fewer = statistics.without("covariate")
    assert [c.kind for c in fewer.columns] == [c.kind for c in statistics.columns if c.kind != "covariate"]
    keep = [c.kind != "covariate" for c in statistics.columns]
    np.testing.assert_array_equal(fewer.gram(), statistics.gram()[:, keep][:, :, keep])


def test_two_bases_at_once_are_refused(panel):
    marts, columns = as_marts(SufficientStatistics.from_panel(panel))
    with pytest.raises(PanelError, match="expected one basis_id"):
        SufficientStatistics.from_marts(marts, columns.assign(basis_id="linear"))


def test_a_wrong_column_list_is_refused(panel):
    statistics = SufficientStatistics.from_panel(panel)
    with pytest.raises(PanelError, match="12 consumers with 11 design columns need"):
        replace(statistics, columns=statistics.columns[:-2] + statistics.columns[-1:])


def test_values_that_are_not_finite_are_refused(panel):
    statistics = SufficientStatistics.from_panel(panel)
    with pytest.raises(PanelError, match="not finite"):
        replace(
            statistics,
            packed=np.where(statistics.packed == statistics.packed[0, 1], np.nan, statistics.packed),
        )


def test_an_empty_mart_is_refused(panel):
    marts, columns = as_marts(SufficientStatistics.from_panel(panel))
    with pytest.raises(PanelError, match="statistics have shape"):
        SufficientStatistics.from_marts(marts.iloc[:0], columns)
