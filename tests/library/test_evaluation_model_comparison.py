"""Table 7 of a fit: every method on every split or the reason, numbers as by hand, nothing held out is seen."""

import numpy as np
import pandas as pd
import pytest

from models.baselines.base import Rows
from models.baselines.market_bayes import MarketBayes
from models.baselines.ols import PooledOLS
from models.evaluation import model_comparison as mc
from models.evaluation.hbmmm_information import hbmmm_information
from models.evaluation.hbmmm_predictor import HBMMMPredictor
from models.evaluation.market_bayes_information import market_bayes_information
from models.evaluation.splits import rolling_origin_splits
from models.figures.model_comparison import comparison_figure

KEY = ["split_kind", "split", "method", "metric"]


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def table(small_fit, told):
    return mc.compare_models(
        small_fit[2],
        small_fit[0],
        origins=1,
        consumer_folds=2,
        progress=lambda text, share: told.append(share),
    )


def value(table, kind, method, metric):
    rows = table[(table["split_kind"] == kind) & (table["method"] == method) & (table["metric"] == metric)]
    return rows["value"].iloc[0]


def test_every_method_has_every_metric_on_every_split(table, told):
    assert tuple(table.columns) == mc.COLUMNS and not table.duplicated(KEY).any()
    held = table[table["split_kind"] != mc.FITTED_ROWS]
    methods = {"hbmmm", *mc.rivals()}
    assert set(held.groupby("split_kind")["split"].nunique().to_dict().items()) == {
        ("rolling_origin", 1), ("by_consumer", 2),
    }  # fmt: skip
    for _, part in held.groupby(["split_kind", "split"]):
        assert set(part["method"]) == methods
        assert set(part.groupby("method").size()) == {10}
    assert (table["value"].isna() == table["reason"].notna()).all()
    assert table["unit"].notna().all()
    assert set(table.loc[table["metric"].isin(["rmse", "crps"]), "unit"]) == {"USD"}
    assert told == sorted(told) and told[-1] == 1.0


def test_numbers_are_those_of_the_splits(small_fit, table):
    panel = small_fit[0]
    split = rolling_origin_splits(panel, horizon=3)[0]
    ols = PooledOLS().fit(split.train).predict(split.test.without_outcome())
    rmse = np.sqrt(np.mean((split.test.outcome - ols.mean) ** 2))
    assert value(table, "rolling_origin", "pooled_ols", "rmse") == pytest.approx(rmse)
    assert value(table, "rolling_origin", "pooled_ols", "rmse_cut") == 0
    own = value(table, "rolling_origin", "hbmmm", "rmse")
    assert value(table, "rolling_origin", "hbmmm", "rmse_cut") == pytest.approx(1 - own / rmse)
    assert value(table, "rolling_origin", "hbmmm", "rows_count") == len(split.test)


def test_known_consumers_are_predicted_better_by_their_own_level(table):
    """Known truth: levels differ by 20 a consumer, noise is 10, and OLS knows nothing of levels."""
    assert value(table, "rolling_origin", "hbmmm", "rmse") < 0.75 * value(
        table, "rolling_origin", "pooled_ols", "rmse"
    )
    assert 0.88 < value(table, "rolling_origin", "hbmmm", "interval_coverage") <= 1.0
    assert value(table, "by_consumer", "hbmmm", "rmse") > value(table, "rolling_origin", "hbmmm", "rmse")


def test_the_held_out_rows_are_not_in_the_fit_that_predicts_them(small_fit, monkeypatch):
    panel, _, fit, _ = small_fit
    seen = []

    def spy(self, train):
        seen.append(train)
        raise mc.ConvergenceError("stop")

    monkeypatch.setattr(HBMMMPredictor, "fit", spy)
    split = rolling_origin_splits(panel, horizon=3)[0]
    rows = mc._scores(fit, split)
    assert (
        seen[0].period_starts.max() < split.test.period_starts.min() and seen[0].rows_count < panel.rows_count
    )
    lost = rows[rows["method"] == "hbmmm"]
    assert lost["reason"].tolist() == ["not evaluated: stop"] and lost["value"].isna().all()
    assert set(rows.loc[rows["value"].notna(), "method"]) == set(mc.rivals())  # they do not fall with it


def test_criteria_are_those_of_the_full_fit_and_say_their_type(small_fit, table):
    panel, _, fit, _ = small_fit
    rows = table[table["split_kind"] == "fitted_rows"].set_index(["method", "metric"])
    for method, found in {
        "hbmmm": hbmmm_information(fit, panel),
        "market_bayes": market_bayes_information(MarketBayes().fit(panel), Rows.of_panel(panel)),
    }.items():
        assert [one.name for one in found] == rows.loc[method].index.tolist()
        for one in found:
            assert rows.loc[(method, one.name), "value"] == pytest.approx(one.value)
            assert rows.loc[(method, one.name), "variant"] == one.variant != ""
    assert (
        rows.loc[("hbmmm", "conditional LOO"), "value"]
        < rows.loc[("market_bayes", "conditional LOO"), "value"]
    )


def test_a_panel_too_short_for_an_origin_keeps_its_other_splits(small_fit):
    panel, _, fit, _ = small_fit
    many = mc.compare_models(fit, panel, origins=9, consumer_folds=2)
    rolling = many[many["split_kind"] == "rolling_origin"]
    assert rolling["value"].isna().all() and set(rolling["method"]) == {"hbmmm", *mc.rivals()}
    assert rolling["reason"].str.contains("Take fewer folds or a shorter horizon").all()
    assert many.loc[many["split_kind"] == "by_consumer", "value"].notna().any()


def test_nothing_evaluated_is_a_row_a_method_with_the_reason():
    table = mc.not_evaluated("run the job")
    assert tuple(table.columns) == mc.COLUMNS and not table.duplicated(KEY).any()
    assert set(table["reason"]) == {"not evaluated: run the job"} and table["value"].isna().all()
    assert set(table["split_kind"]) == set(mc.SPLIT_KINDS)


def test_the_picture_and_the_summary(table):
    png = comparison_figure(table)
    assert png.startswith(b"\x89PNG") and len(png) < 300_000 and comparison_figure(table) == png
    assert comparison_figure(mc.not_evaluated("x")).startswith(b"\x89PNG")
    summary = mc.summary_of(table)
    assert summary["split_kind"].drop_duplicates().tolist() == list(mc.SPLIT_KINDS)
    rolling = summary[summary["split_kind"] == "rolling_origin"]
    assert rolling["rmse"].is_monotonic_increasing and list(summary.columns[:3]) == [
        "split_kind",
        "method",
        "rmse",
    ]
    assert isinstance(summary, pd.DataFrame)
