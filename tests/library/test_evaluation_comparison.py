"""Predictors side by side: the table by hand, nothing held out is seen, and the known order on the paper's world."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from models.baselines.base import Prediction, Rows
from models.baselines.consumer_ols import ConsumerOLS
from models.baselines.market_bayes import MarketBayes
from models.baselines.ols import PooledOLS
from models.baselines.oracle import Oracle
from models.baselines.ridge import Ridge
from models.baselines.seasonal_naive import SeasonalNaive
from models.errors import PanelError
from models.evaluation.comparison import compare_predictors, score_prediction, wide_table
from models.evaluation.group_slopes import group_slope_draws
from models.evaluation.hbmmm_predictor import HBMMMPredictor
from models.evaluation.metrics import rmse
from models.evaluation.paper_panel import paper_oracle, paper_panel, paper_population
from models.evaluation.paper_parameters import intercept_weights, paper_parameters
from models.evaluation.splits import by_consumer_splits, rolling_origin_splits
from models.hbmmm.statistics import SufficientStatistics
from models.simulate import consumer_months as paper
from models.simulate.consumer_months import ConsumerMonthsConfig, consumer_months

SEED, CONSUMERS, MARKETS = 1, 400, 4
HBMMM = HBMMMPredictor(
    {"basis": "linear", "include_period_effects": "none", "inference": "nuts", "chains": 2, "draws": 80,
     "tune": 20, "effect_draws": 80}
)  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """Predicts one number; remembers nothing."""

    value: float
    sd: float = 1.0

    def fit(self, train):
        return self

    def predict(self, rows: Rows) -> Prediction:
        assert np.isnan(rows.outcome).all(), "held-out outcomes were handed over"
        return Prediction(np.full(len(rows), self.value), np.full(len(rows), self.sd))


@pytest.fixture(scope="module")
def small(money_panel):
    return money_panel(40, 10, 3, seed=2)[0]


# ------------------------------------------------------------------------------ the table
def test_table_by_hand_with_cuts_against_ols_and_oracle(small):
    split = rolling_origin_splits(small, horizon=2)[0]
    truth = split.test.outcome
    expected = small.gmv.copy()
    expected[split.test_positions] = truth + 3.0  # an oracle that misses each row by 3
    predictors = {
        "pooled_ols": Constant(10.0),
        "better": Constant(40.0),
        "oracle": Oracle.of_panel(small, expected, 3.0),
    }
    table = compare_predictors([split], predictors, oracle="oracle")
    assert list(table.columns) == ["model_name", "split", "metric", "value"]
    assert (
        not table.duplicated(["model_name", "split", "metric"]).any() and (table["split"] == split.name).all()
    )
    value = table.set_index(["model_name", "metric"])["value"]
    ols, better = (np.sqrt(np.mean((truth - v) ** 2)) for v in (10.0, 40.0))
    assert value["better", "rmse"] == pytest.approx(better)
    assert value["better", "rmse_cut"] == pytest.approx(1 - better / ols)
    assert value["pooled_ols", "rmse_cut"] == 0.0
    assert value["better", "oracle_rmse_cut"] == pytest.approx(1 - 3.0 / ols)
    assert value["better", "rmse_cut_to_oracle"] == pytest.approx((better - 3.0) / ols)
    assert value["better", "rmse_over_oracle"] == pytest.approx(better / 3.0 - 1)
    assert value["oracle", "rmse"] == pytest.approx(3.0) and value["oracle", "mae"] == pytest.approx(3.0)
    assert value["oracle", "interval_coverage"] == 1.0
    assert value["oracle", "interval_width"] == pytest.approx(2 * 1.959964 * 3.0)
    assert value["better", "rows_count"] == len(truth)
    wide = wide_table(table)
    assert wide.index[0] == "oracle" and wide.loc["better", "rmse"] == pytest.approx(better)


def test_without_an_oracle_there_is_no_oracle_row(small):
    table = compare_predictors(rolling_origin_splits(small, horizon=1, folds=2), {"pooled_ols": PooledOLS()})
    assert table["split"].nunique() == 2
    assert not table["metric"].str.contains("oracle").any()


def test_scores_of_a_point_prediction_have_no_log_score():
    scores = score_prediction(np.array([1.0, 2.0]), Prediction(np.zeros(2), np.zeros(2)))
    assert np.isnan(scores["log_score"]) and scores["crps"] == scores["mae"] == 1.5


def test_wrong_requests_are_refused_by_name(small):
    splits = rolling_origin_splits(small, horizon=2)
    with pytest.raises(ValueError, match="reference 'pooled_ols' is not among"):
        compare_predictors(splits, {"ridge": Ridge()})
    with pytest.raises(ValueError, match="oracle 'truth' is not among"):
        compare_predictors(splits, {"pooled_ols": PooledOLS()}, oracle="truth")
    with pytest.raises(ValueError, match="two splits have one name"):
        compare_predictors(splits * 2, {"pooled_ols": PooledOLS()})

    class Short(Constant):
        def predict(self, rows):
            return Prediction(np.zeros(1), np.ones(1))

    with pytest.raises(ValueError, match="short gave 1 predictions"):
        compare_predictors(splits, {"pooled_ols": PooledOLS(), "short": Short(0.0)})


def test_new_consumers_fall_back_where_a_model_knows_nobody(small):
    table = compare_predictors(
        by_consumer_splits(small, folds=2),
        {"pooled_ols": PooledOLS(), "consumer_ols": ConsumerOLS(), "seasonal_naive": SeasonalNaive()},
    )
    share = table[table["metric"] == "fallback_share"].groupby("model_name")["value"].agg(["min", "max"])
    assert share.loc["pooled_ols"].tolist() == [0.0, 0.0]
    assert share.loc["consumer_ols"].tolist() == share.loc["seasonal_naive"].tolist() == [1.0, 1.0]


# ------------------------------------------------------------------------------ the paper's world
@pytest.fixture(scope="module")
def world() -> dict:
    """400 consumers, 24 months each, 4 markets, months 19-24 held out; and the same world drawn without noise."""
    config = ConsumerMonthsConfig(CONSUMERS, MARKETS, shortest=24, seed=SEED)
    months = next(consumer_months(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "NOISE_SD", 0.0)
        quiet = next(consumer_months(config))
    panel = paper_panel(months)
    split = rolling_origin_splits(panel, horizon=6)[0]
    population = paper_population(config, months)
    return {"months": months, "quiet": quiet, "panel": panel, "split": split, "population": population}


def test_the_panel_is_the_world_and_its_truth_differs_by_the_noise_alone(world: dict):
    months, panel = world["months"], world["panel"]
    np.testing.assert_array_equal(panel.exposures, months.exposures)
    np.testing.assert_array_equal(world["quiet"].exposures, months.exposures)
    np.testing.assert_array_equal(world["quiet"].slopes, months.slopes)
    dense = np.stack([panel.exposures_by_calendar(c) for c in range(4)], axis=2)
    np.testing.assert_array_equal(dense[panel.consumer_index, panel.period_index], months.exposures)
    np.testing.assert_array_equal(panel.consumer_market_index[panel.consumer_index], panel.market_index)
    np.testing.assert_allclose(months.expected, world["quiet"].outcome, rtol=0, atol=1e-12)
    noise = months.outcome - months.expected
    assert noise.std() == pytest.approx(paper.NOISE_SD, rel=4 / np.sqrt(2 * len(noise)))
    assert abs(np.corrcoef(noise, world["quiet"].outcome)[0, 1]) < 4 / np.sqrt(len(noise))


@pytest.fixture(scope="module")
def fitted(world: dict) -> dict:
    """Every predictor fitted once on months 1-18."""
    predictors = {
        "oracle": paper_oracle(world["months"]),
        "known_population": world["population"],
        "hbmmm": HBMMM,
        "market_bayes": MarketBayes(),
        "pooled_ols": PooledOLS(),
        "pooled_ols_characteristics": PooledOLS(with_characteristics=True),
        "ridge": Ridge(),
        "consumer_ols": ConsumerOLS(),
        "seasonal_naive": SeasonalNaive(),
    }
    return {name: predictor.fit(world["split"].train) for name, predictor in predictors.items()}


@dataclass(frozen=True)
class AlreadyFitted:
    model: object

    def fit(self, train):
        return self.model


def test_held_out_errors_have_the_order_that_the_world_implies(world: dict, fitted: dict):
    split = world["split"]
    table = compare_predictors([split], {k: AlreadyFitted(m) for k, m in fitted.items()}, oracle="oracle")
    wide = wide_table(table)
    print(wide.round(4).to_string())
    ranked = ["oracle", "known_population", "hbmmm", "market_bayes", "pooled_ols"]
    assert wide.loc[ranked, "rmse"].is_monotonic_increasing
    assert wide.loc[ranked, "crps"].is_monotonic_increasing
    assert wide.loc[ranked, "log_score"].is_monotonic_decreasing
    squares = {
        k: (split.test.outcome - fitted[k].predict(split.test.without_outcome()).mean) ** 2 for k in ranked
    }
    codes = np.unique(split.test.consumer_ids, return_inverse=True)[1]
    for better, worse in pairwise(ranked):
        gap = np.bincount(codes, squares[worse] - squares[better])
        z = gap.mean() / (gap.std(ddof=1) / np.sqrt(len(gap)))
        print(f"{better} before {worse}: z = {z:.1f}")
        if (better, worse) == ("known_population", "hbmmm"):
            assert (
                wide.loc[worse, "rmse"] < 1.01 * wide.loc[better, "rmse"]
            )  # what is left to learn is little
            continue
        assert z > 2.0, (better, worse, z)
    assert wide.loc["ridge", "rmse"] == pytest.approx(wide.loc["pooled_ols", "rmse"], rel=0.002)
    assert wide.loc["hbmmm", "rmse_cut_to_oracle"] < 0.035  # 1.7 to 2.6 points over seeds 1-4
    assert 0.2 < wide.loc["hbmmm", "rmse_cut"] < wide.loc["oracle", "rmse_cut"]
    error = np.sqrt(
        0.95 * 0.05 / len(split.test)
    )  # as if rows were independent, which only the oracle's errors are
    for name in (
        "oracle",
        "known_population",
        "hbmmm",
        "market_bayes",
        "pooled_ols",
        "ridge",
        "consumer_ols",
    ):
        assert wide.loc[name, "interval_coverage"] == pytest.approx(0.95, abs=4 * error)
    assert wide.loc["hbmmm", "interval_width"] < 0.8 * wide.loc["pooled_ols", "interval_width"]


def test_the_papers_parameters_are_found_in_the_papers_units(world: dict, fitted: dict):
    fit = fitted["hbmmm"].fit
    means = dict(zip(paper.CHANNEL_IDS, paper.EXPOSURE_MEANS, strict=True))
    sds = dict(zip(paper.CHANNEL_IDS, paper.EXPOSURE_SDS, strict=True))
    found = paper_parameters(fit, means, sds)
    own = np.sum(paper.INTERCEPT_LOADINGS**2) + paper.PROPENSITY_LOADING**2 + paper.INTERCEPT_OWN_SD**2
    truth = {
        "mu_alpha": paper.LOG_INTERCEPT_MEAN,
        "sigma_alpha": np.sqrt(own),
        "sigma_epsilon": paper.NOISE_SD,
    }
    for i, channel in enumerate(paper.CHANNEL_IDS):
        truth |= {f"mu_beta[{channel}]": paper.SLOPE_MEANS[i], f"sigma_beta[{channel}]": paper.SLOPE_SDS[i]}
    assert set(found) == set(truth)
    for name, value in truth.items():
        assert found[name].shape == fit.draws.shape[1:3]
        assert abs(found[name].mean() - value) < 4 * found[name].std(), name
    assert found["sigma_epsilon"].std() < 0.02 and found["sigma_alpha"].std() < 0.1
    # the intercept is what the fixed coefficients expect of a month with average exposures and covariates at zero
    weights, _ = intercept_weights(fit, fit.completed[0], means)
    split = world["split"]
    who = 7
    row = np.concatenate([[1.0], paper.EXPOSURE_MEANS, np.zeros(3)])
    columns = {c.name: c for c in fit.design.row_columns}
    train = split.train
    mine = train.consumer_index == who
    raw_means = np.concatenate([[0.0], train.exposures[mine].mean(0), train.covariates[mine].mean(0)])
    names = [
        "intercept",
        *(f"exposure[{c}]" for c in train.channel_ids),
        *(f"covariate[{z}]" for z in train.covariate_names),
    ]
    for j, name in enumerate(names):
        at = list(columns).index(name)
        assert weights[who, at] == pytest.approx((row[j] - raw_means[j]) / columns[name].scale)


def test_draws_of_group_slopes_average_to_the_consumers_own(world: dict, fitted: dict):
    fit, train = fitted["hbmmm"].fit, world["split"].train
    members = np.stack([np.ones(CONSUMERS, bool), np.arange(CONSUMERS) < 50])
    found = group_slope_draws(fit, SufficientStatistics.from_panel(train), members)
    columns = list(fit.design.slope_columns[1:])
    scale = fit.design.outcome_scale / np.array([fit.design.row_columns[c].scale for c in columns])
    own = fit.coefficient_mean[:, columns] * scale
    error = found.std(axis=0) / np.sqrt(len(found))
    for g in range(2):
        assert (np.abs(found[:, g].mean(axis=0) - own[members[g]].mean(axis=0)) < 6 * error[g]).all()
    with pytest.raises(ValueError, match="no consumer"):
        group_slope_draws(fit, SufficientStatistics.from_panel(train), members & False)


def test_a_stranger_is_predicted_from_market_and_characteristics_alone(world: dict, fitted: dict):
    test = world["split"].test
    renamed = {c: f"stranger {c}" for c in set(test.consumer_ids)}
    ids = np.array([renamed[c] for c in test.consumer_ids], dtype=object)
    strangers = replace(test, consumer_ids=ids, characteristics=test.characteristics.rename(index=renamed))
    known = fitted["hbmmm"].predict(test)
    found = fitted["hbmmm"].predict(strangers.without_outcome())
    assert (known.source == "model").all() and (found.source == "new_consumer").all()
    assert (found.sd > known.sd).all()
    error = rmse(test.outcome, found.mean)
    assert 1.2 * rmse(test.outcome, known.mean) < error
    assert error < 1.02 * rmse(test.outcome, fitted["pooled_ols"].predict(test).mean)
    inside = np.abs(test.outcome - found.mean) < 1.96 * found.sd
    assert 0.92 < inside.mean() < 0.98


def test_names_that_a_scenario_cannot_tell_apart_are_refused(world: dict, fitted: dict):
    test = world["split"].test
    channel = test.channel_ids[0]
    namesake = replace(test, covariate_names=(channel, *test.covariate_names[1:]))
    with pytest.raises(PanelError, match="name two columns"):
        fitted["hbmmm"].predict(namesake)
