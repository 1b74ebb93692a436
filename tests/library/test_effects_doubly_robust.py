"""Weighting and AIPW on rows: by hand on the same folds, known truths, double robustness, honest intervals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from models.effects.consumer_bootstrap import bootstrap_consumers, consumer_sums, ratio_difference
from models.effects.cross_fitting import Nuisances, consumer_folds, cross_fit
from models.effects.doubly_robust import (
    ESTIMANDS,
    ExposureScores,
    estimate_effect,
    estimator_terms,
    exposure_scores,
)
from models.errors import OverlapError

EFFECT, SLOPE_ON_LAG = 20.0, 0.5
COVERAGE_WORLDS = 120
COVERAGE_BOUNDS = (0.88, 0.99)  # 95 % less and plus what 120 worlds can show


def lagged_world(rng: np.random.Generator, consumers: int = 400, months: int = 9, effect: float = EFFECT):
    """Who bought last month is shown the ad and buys again: features (last GMV), treatment, GMV, consumers.

    y_t = 50 + 0.5 (y_t-1 - 50) + (effect, larger for the exposed-prone) d_t + noise; ATE is `effect`.
    """
    y = 50 + 12 * rng.normal(size=consumers)
    rows = []
    for _ in range(months):
        last = y
        d = rng.random(consumers) < expit(0.1 * (last - 60))
        y = 50 + SLOPE_ON_LAG * (last - 50) + effect * d + 10 * rng.normal(size=consumers)
        rows.append((last, d, y))
    last, d, y = (np.stack(column, axis=1).ravel() for column in zip(*rows, strict=True))
    return last[:, None], d, y, np.repeat(np.arange(consumers), months)


def scored(world, rng: np.random.Generator, folds: int = 3, **options) -> ExposureScores:
    features, d, y, who = world
    nuisances = cross_fit(features, d, y, consumer_folds(who, folds, rng), **options)
    return exposure_scores(d, y, who, nuisances, trimming_threshold=0.0)


# ------------------------------------------------------------------------------ independent
def test_agrees_with_a_second_implementation_on_the_same_folds():
    """Row by row, without clipping or trimming, from the formulas of Chernozhukov et al. (2018), 5.3 and 5.4."""
    features, d, y, who = lagged_world(np.random.default_rng(1), consumers=120, months=5)
    fold = consumer_folds(who, 4, np.random.default_rng(2))
    learners = {
        "propensity_learner": LogisticRegression(C=1e6, max_iter=500, tol=1e-8),
        "outcome_learner": LinearRegression(),
    }
    nuisances = cross_fit(features, d, y, fold, **learners)
    scores = exposure_scores(d, y, who, nuisances, trimming_threshold=0.0, clipping_threshold=1e-9)
    ate_terms, att_terms, weights = [], [], []
    for k in range(4):
        train = [r for r in range(len(y)) if fold[r] != k]
        model = LogisticRegression(C=1e6, max_iter=500, tol=1e-8).fit(features[train], d[train])
        lines = {}
        for arm in (False, True):
            chosen = [r for r in train if d[r] == arm]
            design = np.column_stack([np.ones(len(chosen)), features[chosen, 0]])
            lines[arm] = np.linalg.solve(design.T @ design, design.T @ y[chosen])
        for r in (r for r in range(len(y)) if fold[r] == k):
            e = float(expit(model.intercept_[0] + model.coef_[0, 0] * features[r, 0]))
            g0, g1 = (lines[arm] @ [1.0, features[r, 0]] for arm in (False, True))
            ate_terms.append(g1 - g0 + d[r] * (y[r] - g1) / e - (1 - d[r]) * (y[r] - g0) / (1 - e))
            att_terms.append(d[r] * (y[r] - g0) - (1 - d[r]) * e / (1 - e) * (y[r] - g0))
            weights.append((d[r] / e, (1 - d[r]) / (1 - e), r))
    rng = np.random.default_rng(3)
    aipw = {estimand: estimate_effect(scores, "aipw", estimand, rng).estimate for estimand in ESTIMANDS}
    assert aipw["ate_exposed"] == pytest.approx(np.mean(ate_terms), rel=1e-8)
    assert aipw["att_exposed"] == pytest.approx(np.sum(att_terms) / d.sum(), rel=1e-8)
    treated = sum(w1 * y[r] for w1, _, r in weights) / sum(w1 for w1, _, _ in weights)
    untreated = sum(w0 * y[r] for _, w0, r in weights) / sum(w0 for _, w0, _ in weights)
    ipw = estimate_effect(scores, "ipw", "ate_exposed", rng).estimate
    assert ipw == pytest.approx(treated - untreated, rel=1e-8)


def test_stabilised_weights_in_a_saturated_regression_are_the_same_ipw():
    """Least squares of GMV on D with weights P(D = d) / P(D = d | X): the coefficient is the IPW estimate."""
    scores = scored(lagged_world(np.random.default_rng(4)), np.random.default_rng(5))
    d, e = scores.treatment, scores.propensity
    weight = np.where(d, d.mean() / e, (1 - d.mean()) / (1 - e))
    root = np.sqrt(weight)[:, None]
    design = np.column_stack([np.ones(len(d)), d])
    expected = np.linalg.lstsq(root * design, root[:, 0] * scores.outcome, rcond=None)[0][1]
    found = estimate_effect(scores, "ipw", "ate_exposed", np.random.default_rng(6))
    assert found.estimate == pytest.approx(expected, rel=1e-9)
    assert weight.mean() == pytest.approx(1.0, abs=0.1)


def test_bootstrap_of_sums_is_the_bootstrap_of_rows():
    """Same resampled consumers, once through their sums and once through their rows."""
    scores = scored(lagged_world(np.random.default_rng(7), consumers=40, months=4), np.random.default_rng(8))
    found = estimate_effect(scores, "ipw", "att_exposed", np.random.default_rng(9), draws_count=50)
    terms = estimator_terms(scores, "ipw", "att_exposed")
    chosen = np.random.default_rng(9).integers(40, size=(50, 40))
    draws = []
    for consumers in chosen:
        rows = np.concatenate([np.flatnonzero(scores.consumer_index == c) for c in consumers])
        a, b, c, d = terms[rows].sum(axis=0)
        draws.append(a / b - c / d)
    assert found.standard_error == pytest.approx(np.std(draws, ddof=1), rel=1e-9)
    assert found.interval_lower == pytest.approx(np.quantile(draws, 0.025), rel=1e-9)


# --------------------------------------------------------------------------------- recovery
@pytest.mark.parametrize("effect", [EFFECT, 0.0])
def test_confounding_by_lagged_purchases_is_removed(effect: float):
    """3,600 rows: IPW and AIPW find the effect (or none), the raw difference does not."""
    scores = scored(lagged_world(np.random.default_rng(10), effect=effect), np.random.default_rng(11))
    for estimand in ESTIMANDS:
        found = {
            name: estimate_effect(scores, name, estimand, np.random.default_rng(12))
            for name in ("naive", "ipw", "aipw")
        }
        assert found["naive"].interval_lower > effect + 2  # negative control
        for name, width in (("ipw", 6.0), ("aipw", 3.0)):
            assert found[name].interval_lower < effect < found[name].interval_upper
            assert abs(found[name].estimate - effect) < 3 * found[name].standard_error < width


def test_doubly_robust_means_one_wrong_model_is_forgiven_and_two_are_not():
    world = lagged_world(np.random.default_rng(13), consumers=800)
    blind = {"propensity_learner": DummyClassifier(), "outcome_learner": DummyRegressor()}
    z = {}
    for wrong in ((), ("propensity_learner",), ("outcome_learner",), tuple(blind)):
        options = {name: blind[name] for name in wrong}
        scores = scored(world, np.random.default_rng(14), **options)
        found = estimate_effect(scores, "aipw", "ate_exposed", np.random.default_rng(15))
        z[wrong] = (found.estimate - EFFECT) / found.standard_error
    assert all(abs(value) < 3 for wrong, value in z.items() if len(wrong) < 2)
    assert z[tuple(blind)] > 8


def coverage_world(rng: np.random.Generator):
    """150 consumers, 6 months: exposure follows a characteristic, purchases it and a level nobody records."""
    w, level = rng.normal(size=150), 25 * rng.normal(size=150)
    who = np.repeat(np.arange(150), 6)
    lucky = rng.normal(size=150)  # moves exposure only: months of a consumer are alike in both
    d = rng.random(len(who)) < expit(0.7 * w + 2.5 * lucky)[who]
    y = 50 + (10 * w + level)[who] + EFFECT * d + 10 * rng.normal(size=len(who))
    return w[who][:, None], d, y, who


def test_intervals_over_consumers_cover_and_intervals_over_rows_do_not():
    """120 worlds at 95 %: AIPW covers within the bounds, IPW at least as often (estimating the propensity makes it
    more precise than an interval that holds it fixed says); resampling rows, the control, falls short."""
    hits = {"aipw": [], "ipw": [], "rows": []}
    for seed in range(COVERAGE_WORLDS):
        rng = np.random.default_rng(1_000 + seed)
        scores = scored(coverage_world(rng), rng, folds=2)
        as_rows = replace(scores, consumer_index=np.arange(len(scores.outcome)))
        for name, given in (("aipw", scores), ("ipw", scores), ("rows", as_rows)):
            estimator = "aipw" if name == "rows" else name
            found = estimate_effect(given, estimator, "ate_exposed", rng, draws_count=400)
            hits[name].append(found.interval_lower < EFFECT < found.interval_upper)
    share = {name: np.mean(values) for name, values in hits.items()}
    assert COVERAGE_BOUNDS[0] <= share["aipw"] <= COVERAGE_BOUNDS[1], share
    assert share["ipw"] >= COVERAGE_BOUNDS[0], share
    assert share["rows"] < COVERAGE_BOUNDS[0] - 0.03, share


# ---------------------------------------------------------------------------- limits, errors
def test_folds_never_split_a_consumer_and_nobody_is_predicted_by_own_rows():
    features, d, y, who = lagged_world(np.random.default_rng(16), consumers=50, months=6)
    fold = consumer_folds(who, 5, np.random.default_rng(17))
    assert all(len(set(fold[who == i])) == 1 for i in range(50))
    assert np.bincount(fold).tolist() == [60] * 5
    changed = y + 1_000.0 * (fold == 2)
    before, after = (cross_fit(features, d, values, fold) for values in (y, changed))
    same = fold == 2
    np.testing.assert_allclose(before.outcome_exposed[same], after.outcome_exposed[same])
    assert np.abs(before.outcome_exposed[~same] - after.outcome_exposed[~same]).min() > 10


def test_trimming_and_clipping():
    raw = np.array([0.01, 0.03, 0.5, 0.6, 0.98])
    d = np.array([False, True, False, True, True])
    nuisances = Nuisances(raw, np.zeros(5), np.zeros(5))
    scores = exposure_scores(
        d, np.arange(5.0), np.arange(5), nuisances, trimming_threshold=0.025, clipping_threshold=0.1
    )
    assert scores.propensity_raw.tolist() == [0.03, 0.5, 0.6]
    assert scores.propensity.tolist() == [0.1, 0.5, 0.6]
    assert scores.trimmed_share == pytest.approx(0.4)
    assert scores.outcome.tolist() == [1.0, 2.0, 3.0]


def test_refusals_say_what_is_wrong():
    features, d, y, who = lagged_world(np.random.default_rng(18), consumers=30, months=3)
    nuisances = cross_fit(features, d, y, consumer_folds(who, 2, np.random.default_rng(19)))
    with pytest.raises(OverlapError, match="no two arms"):
        exposure_scores(d, y, who, replace(nuisances, propensity_raw=np.full(len(d), 0.001)))
    with pytest.raises(ValueError, match=r"\[0, 0\.5\)"):
        exposure_scores(d, y, who, nuisances, trimming_threshold=0.5)
    with pytest.raises(OverlapError, match="Outside fold 0"):
        cross_fit(features, who == 0, y, (who > 0).astype(int))
    with pytest.raises(ValueError, match="give 2 to 30 folds"):
        consumer_folds(who, 31, np.random.default_rng(20))
    scores = exposure_scores(d, y, who, nuisances, trimming_threshold=0.0)
    with pytest.raises(ValueError, match="estimators are naive, ipw, aipw"):
        estimate_effect(scores, "magic", "ate_exposed", np.random.default_rng(21))


def test_too_few_consumers_have_an_estimate_and_no_interval():
    sums = consumer_sums(np.ones((38, 4)), np.repeat(np.arange(19), 2))
    found = bootstrap_consumers(sums, ratio_difference, np.random.default_rng(22))
    assert found.estimate == 0.0
    assert np.isnan([found.standard_error, found.interval_lower, found.interval_upper]).all()
    assert np.isnan(found.numbers()["probability_positive"])
