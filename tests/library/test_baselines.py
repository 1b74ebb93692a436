"""Baselines by hand and against second derivations; what they do for consumers and markets they cannot fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from models.baselines.base import DesignMap, Rows, rows_where
from models.baselines.consumer_ols import ConsumerOLS
from models.baselines.known_population import KnownPopulation
from models.baselines.market_bayes import MarketBayes
from models.baselines.ols import PooledOLS, pooled_ols_effects
from models.baselines.oracle import Oracle
from models.baselines.ridge import Ridge
from models.baselines.seasonal_naive import SeasonalNaive
from models.errors import PanelError

MONTHS = np.arange("2023-01", "2025-01", dtype="datetime64[M]").astype("datetime64[D]")


def make_rows(consumers: int, periods: int, *, markets: int = 3, channels: int = 2, seed: int = 0) -> Rows:
    """Every consumer in every period; outcomes with slopes and levels of their own."""
    rng = np.random.default_rng(seed)
    who, when = np.repeat(np.arange(consumers), periods), np.tile(np.arange(periods), consumers)
    x = rng.poisson(3.0, (len(who), channels)).astype(float)
    outcome = rng.normal(0, 2, consumers)[who] + who % markets
    outcome += np.einsum("rc,rc->r", x, rng.normal(0.5, 0.3, (consumers, channels))[who])
    return Rows(
        consumer_ids=np.array([f"c{i:04d}" for i in who], dtype=object),
        market_ids=np.array([f"m{i % markets}" for i in who], dtype=object),
        period_starts=MONTHS[when],
        exposures=x,
        covariates=np.zeros((len(who), 0)),
        outcome=outcome + rng.normal(size=len(who)),
        channel_ids=tuple(f"channel{c}" for c in range(channels)),
    )


def split_last(rows: Rows, periods: int) -> tuple[Rows, Rows]:
    last = np.unique(rows.period_starts)[-periods]
    return rows_where(rows, rows.period_starts < last), rows_where(rows, rows.period_starts >= last)


# ------------------------------------------------------------------------------ OLS and ridge
def test_pooled_ols_predicts_with_the_slopes_that_are_published(money_panel):
    panel, _ = money_panel(80, 8, 4, seed=1)
    rows = replace(Rows.of_panel(panel), covariates=np.zeros((panel.rows_count, 0)), covariate_names=())
    fitted = PooledOLS().fit(rows)
    published = pooled_ols_effects(panel).query("estimand == 'slope'").set_index("channel_id")["mean"]
    for j, (name, _, scale) in enumerate(fitted.design_map.columns, start=1):
        channel = name.removeprefix("exposure[").removesuffix("]")
        assert fitted.coefficients[j] / scale == pytest.approx(published[channel], rel=1e-9)


def test_pooled_ols_prediction_by_the_textbook():
    train, test = split_last(make_rows(20, 6), 2)
    found = PooledOLS().fit(train).predict(test)
    x = np.column_stack([np.ones(len(train)), train.exposures])
    z = np.column_stack([np.ones(len(test)), test.exposures])
    b = np.linalg.lstsq(x, train.outcome, rcond=None)[0]
    degrees = len(x) - 3
    variance = ((train.outcome - x @ b) ** 2).sum() / degrees
    wide = variance * (1 + np.einsum("np,pq,nq->n", z, np.linalg.inv(x.T @ x), z)) * degrees / (degrees - 2)
    np.testing.assert_allclose(found.mean, z @ b, rtol=1e-9)
    np.testing.assert_allclose(found.sd, np.sqrt(wide), rtol=1e-9)
    assert (found.degrees_of_freedom == degrees).all()


def test_ridge_scores_and_coefficients_are_those_of_the_hat_matrix():
    train, test = split_last(make_rows(10, 5, channels=3, seed=3), 1)
    penalties = (1e-4, 0.05, 0.5, 20.0)
    fitted = Ridge(penalties=penalties).fit(train)
    x = (train.exposures - train.exposures.mean(0)) / train.exposures.std(0)
    y = train.outcome - train.outcome.mean()
    n = len(y)
    expected = []
    for penalty in penalties:
        hat = x @ np.linalg.solve(x.T @ x + penalty * n * np.eye(3), x.T) + 1.0 / n
        residual = train.outcome - hat @ train.outcome
        expected.append(n * residual @ residual / (n - np.trace(hat)) ** 2)
    np.testing.assert_allclose(fitted.scores, expected, rtol=1e-9)
    assert fitted.penalty == pytest.approx(penalties[int(np.argmin(expected))] * n)
    by_hand = np.linalg.solve(x.T @ x + fitted.penalty * np.eye(3), x.T @ y)
    np.testing.assert_allclose(fitted.coefficients, by_hand, rtol=1e-9)
    z = (test.exposures - train.exposures.mean(0)) / train.exposures.std(0)
    np.testing.assert_allclose(fitted.predict(test).mean, train.outcome.mean() + z @ by_hand, rtol=1e-9)


def test_ridge_shrinks_where_columns_are_noise_and_hardly_elsewhere():
    rows = make_rows(30, 4, channels=2, seed=4)
    rng = np.random.default_rng(5)
    noise = replace(rows, outcome=rng.normal(size=len(rows)))
    shrunk = Ridge().fit(noise)
    assert shrunk.effective_columns < 1.5
    strong = replace(rows, outcome=rows.exposures @ [2.0, -1.0] + 0.1 * rng.normal(size=len(rows)))
    kept = Ridge().fit(strong)
    assert kept.effective_columns > 2.99
    np.testing.assert_allclose(kept.predict(rows).mean, PooledOLS().fit(strong).predict(rows).mean, atol=0.02)


# ------------------------------------------------------------------------------ market by market
def test_market_bayes_is_the_ratio_of_two_evidences():
    """p(y* | y) = p(y, y*) / p(y), both multivariate t: no posterior is computed on the way."""
    settings = MarketBayes(prior_sd=1.5, noise_shape=2.5, noise_scale=0.7)
    train, test = split_last(make_rows(6, 5, markets=2, seed=6), 1)
    found = settings.fit(train).predict(test)
    design_map = DesignMap.learn(train)
    for market in ("m0", "m1"):
        mine, ask = train.market_ids == market, np.flatnonzero(test.market_ids == market)
        level, spread = train.outcome[mine].mean(), train.outcome[mine].std()
        x, y = design_map.matrix(train)[mine], (train.outcome[mine] - level) / spread

        def evidence(design, outcome):
            shape = np.eye(len(outcome)) + settings.prior_sd**2 * design @ design.T
            scale = settings.noise_scale / settings.noise_shape * shape
            return stats.multivariate_t.logpdf(outcome, shape=scale, df=2 * settings.noise_shape)

        for row in ask:
            new = design_map.matrix(rows_where(test, np.array([row])))
            for value in (level - spread, level + 0.3 * spread):
                both = np.append(y, (value - level) / spread)
                expected = evidence(np.vstack([x, new]), both) - evidence(x, y) - np.log(spread)
                n = found.degrees_of_freedom[row]
                scale = found.sd[row] * np.sqrt((n - 2) / n)
                assert stats.t.logpdf(value, n, found.mean[row], scale) == pytest.approx(expected, abs=1e-8)


def test_markets_share_nothing():
    train, test = split_last(make_rows(12, 6, seed=7), 2)
    before = MarketBayes().fit(train).predict(test)
    other = train.market_ids == "m1"
    after = MarketBayes().fit(replace(train, outcome=train.outcome + 50.0 * other)).predict(test)
    same = test.market_ids != "m1"
    assert np.array_equal(before.mean[same], after.mean[same])
    assert np.array_equal(before.sd[same], after.sd[same])
    np.testing.assert_allclose(after.mean[~same] - before.mean[~same], 50.0)


def test_a_wide_prior_gives_least_squares_in_each_market_and_an_unknown_market_the_overall_mean():
    train, test = split_last(make_rows(30, 8, seed=8), 2)
    test.market_ids[:3] = "elsewhere"
    found = MarketBayes(prior_sd=1e4).fit(train).predict(test)
    assert (found.source[:3] == "overall_mean").all() and (found.source[3:] == "model").all()
    np.testing.assert_allclose(found.mean[:3], train.outcome.mean())
    mine, ask = train.market_ids == "m2", test.market_ids == "m2"
    x = np.column_stack([np.ones(mine.sum()), train.exposures[mine]])
    b = np.linalg.lstsq(x, train.outcome[mine], rcond=None)[0]
    np.testing.assert_allclose(found.mean[ask], b[0] + test.exposures[ask] @ b[1:], rtol=1e-6)


# ------------------------------------------------------------------------------ consumer by consumer
def test_no_pooling_fits_each_consumer_and_counts_those_it_cannot():
    rows = make_rows(12, 9, seed=9)
    train, test = split_last(rows, 2)
    short = np.isin(train.consumer_ids, ["c0003", "c0007"]) & (train.period_starts > MONTHS[4])
    train = rows_where(
        train, ~short
    )  # five rows left: two beyond the rank of three columns, three are needed
    fitted = ConsumerOLS().fit(train)
    found = fitted.predict(test)
    assert (~fitted.is_fitted).sum() == 2
    fallen = np.isin(test.consumer_ids, ["c0003", "c0007"])
    assert (found.source[fallen] == "market_mean").all() and (found.source[~fallen] == "model").all()
    assert found.fallback_share == pytest.approx(2 / 12)
    for row in np.flatnonzero(fallen):
        mine = train.outcome[train.market_ids == test.market_ids[row]]
        assert found.mean[row] == pytest.approx(mine.mean())
        assert found.sd[row] == pytest.approx(mine.std(ddof=1))
    for row in np.flatnonzero(~fallen):
        mine = train.consumer_ids == test.consumer_ids[row]
        x = np.column_stack([np.ones(mine.sum()), train.exposures[mine]])
        b, squares, rank, _ = np.linalg.lstsq(x, train.outcome[mine], rcond=None)
        z, degrees = np.append(1.0, test.exposures[row]), mine.sum() - rank
        assert found.mean[row] == pytest.approx(z @ b)
        wide = squares[0] / degrees * (1 + z @ np.linalg.inv(x.T @ x) @ z)
        assert found.sd[row] == pytest.approx(np.sqrt(wide * degrees / (degrees - 2)))


def test_a_consumer_whose_exposure_never_varies_is_fitted_without_that_column():
    train, test = split_last(make_rows(4, 9, seed=10), 1)
    train.exposures[train.consumer_ids == "c0001", 0] = 4.0
    test.exposures[test.consumer_ids == "c0001", 0] = 4.0
    found = ConsumerOLS().fit(train).predict(test)
    mine = train.consumer_ids == "c0001"
    x = np.column_stack([np.ones(mine.sum()), train.exposures[mine, 1]])
    b = np.linalg.lstsq(x, train.outcome[mine], rcond=None)[0]
    row = int(np.flatnonzero(test.consumer_ids == "c0001")[0])
    assert found.mean[row] == pytest.approx(b[0] + b[1] * test.exposures[row, 1])
    assert found.degrees_of_freedom[row] == mine.sum() - 2


def test_predictive_intervals_of_seven_rows_cover_because_they_are_t():
    consumers = 3000
    train, test = split_last(make_rows(consumers, 8, seed=11), 1)
    found = ConsumerOLS().fit(train).predict(test)
    n = found.degrees_of_freedom
    scale = found.sd * np.sqrt((n - 2) / n)
    z = np.abs(test.outcome - found.mean) / scale
    error = np.sqrt(0.95 * 0.05 / consumers)
    assert np.mean(z < stats.t.ppf(0.975, n)) == pytest.approx(0.95, abs=4 * error)
    assert np.mean(z < 1.96) < 0.95 - 8 * error  # a normal would promise too much


# ------------------------------------------------------------------------------ naive and oracle
def test_seasonal_naive_takes_last_year_then_the_recent_mean_then_the_market():
    rows = make_rows(3, 14, markets=2, seed=12)
    train = rows_where(rows, rows.period_starts < MONTHS[12])
    gap = (train.consumer_ids == "c0001") & (train.period_starts == MONTHS[1])
    train = rows_where(train, ~gap & (train.consumer_ids != "c0002"))
    test = rows_where(rows, rows.period_starts >= MONTHS[12])
    found = SeasonalNaive(recent_periods=4).fit(train).predict(test)
    for row, (who, when) in enumerate(zip(test.consumer_ids, test.period_starts, strict=True)):
        own = train.outcome[train.consumer_ids == who]
        before = (train.consumer_ids == who) & (
            train.period_starts == MONTHS[np.searchsorted(MONTHS, when) - 12]
        )
        if who == "c0002":
            assert found.source[row] == "market_mean"
            assert found.mean[row] == pytest.approx(train.outcome[train.market_ids == "m0"].mean())
        elif before.any():
            assert found.source[row] == "model" and found.mean[row] == train.outcome[before][0]
        else:
            assert found.source[row] == "recent_mean" and found.mean[row] == pytest.approx(own[-4:].mean())
    assert sorted(set(found.source)) == ["market_mean", "model", "recent_mean"]


def test_the_season_of_weeks_keeps_weekdays_and_the_spread_is_that_of_seasonal_differences():
    rows = make_rows(40, 24, seed=13)
    fitted = SeasonalNaive().fit(rows)
    by = pd.DataFrame({"c": rows.consumer_ids, "p": rows.period_starts, "y": rows.outcome}).pivot(
        index="c", columns="p", values="y"
    )
    steps = by.to_numpy()[:, 12:] - by.to_numpy()[:, :12]
    assert fitted.seasonal_sd == pytest.approx(np.sqrt((steps**2).mean()))
    weekly = replace(rows, period="week", period_starts=np.tile(MONTHS[0] + 7 * np.arange(24), 40))
    later = rows_where(weekly, weekly.period_starts == MONTHS[0] + 35)
    later = replace(later, period_starts=later.period_starts + 364)
    found = SeasonalNaive().fit(weekly).predict(later)
    np.testing.assert_array_equal(found.mean, weekly.outcome[weekly.period_starts == MONTHS[0] + 35])


def test_the_oracle_answers_by_identifier_and_refuses_rows_it_does_not_know(money_panel):
    panel, _ = money_panel(20, 6, 2, seed=2)
    truth = np.arange(panel.rows_count, dtype=float)
    oracle = Oracle.of_panel(panel, truth, 0.5)
    keep = np.random.default_rng(0).random(panel.rows_count) < 0.3
    rows = Rows.of_panel(panel, keep)
    found = oracle.fit(panel).predict(rows.without_outcome())
    np.testing.assert_array_equal(found.mean, truth[keep])
    assert (found.sd == 0.5).all()
    later = replace(rows, period_starts=rows.period_starts + 3650)
    with pytest.raises(PanelError, match="lacks the truth"):
        oracle.predict(later)


def test_who_knows_the_population_learns_consumers_by_bayes_rule():
    """Against conditioning the joint normal of a consumer's training and held-out rows."""
    rows = make_rows(6, 6, seed=14)
    train, test = split_last(rows, 2)
    rng = np.random.default_rng(15)
    population, design = rng.normal(size=len(rows)), np.column_stack([np.ones(len(rows)), rows.exposures])
    root = rng.normal(size=(3, 3))
    covariance, noise_sd = root @ root.T, 0.6
    known = KnownPopulation(rows.consumer_ids, rows.period_starts, population, design, covariance, noise_sd)
    train = rows_where(train, train.consumer_ids != "c0005")
    found = known.fit(train).predict(test.without_outcome())
    for i in range(6):
        who = f"c{i:04d}"
        at = rows.consumer_ids == who
        joint = design[at] @ covariance @ design[at].T + noise_sd**2 * np.eye(6)
        seen = np.arange(6) < (0 if who == "c0005" else 4)
        new = np.arange(6) >= 4
        gain = joint[np.ix_(new, seen)] @ np.linalg.pinv(joint[np.ix_(seen, seen)])
        mean = population[at][new] + gain @ (rows.outcome[at] - population[at])[seen]
        variance = np.diag(joint[np.ix_(new, new)] - gain @ joint[np.ix_(seen, new)])
        mine = test.consumer_ids == who
        np.testing.assert_allclose(found.mean[mine], mean)
        np.testing.assert_allclose(found.sd[mine], np.sqrt(variance))
    assert (found.source == np.where(test.consumer_ids == "c0005", "new_consumer", "model")).all()
    with pytest.raises(PanelError, match="was not given"):
        known.fit(replace(train, period_starts=train.period_starts + 3650))
