"""High periods against a consumer's other periods: what it removes, what lagged AIPW leaves, what breaks both."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from models.effects.cross_fitting import consumer_folds, cross_fit
from models.effects.doubly_robust import ExposureScores, estimate_effect, exposure_scores
from models.effects.own_median import above_own_median, own_median_nuisances, own_median_scores
from models.errors import OverlapError
from models.simulate.wave_worlds import WaveWorldConfig, simulate_wave_world

CONSUMERS, MONTHS = 300, 10
EFFECT, SLOPE = 20.0, 4.0
COVERAGE_WORLDS = 100
COVERAGE_BOUNDS = (0.88, 0.99)


def latent_world(
    rng: np.random.Generator, consumers: int = CONSUMERS, months: int = MONTHS, *, effect=EFFECT
):
    """Exposure follows a wish to buy that never changes and is never recorded, and the season: (N, T) arrays."""
    wish = rng.normal(size=(consumers, 1))
    season = np.sin(np.arange(months))
    exposed = rng.random((consumers, months)) < expit(-0.2 + 1.2 * wish + 0.8 * season)
    gmv = 60 + 25 * wish + 15 * season + effect * exposed + 10 * rng.normal(size=(consumers, months))
    return exposed.astype(float), gmv


def rows(*arrays: np.ndarray):
    consumers, months = arrays[0].shape
    index = np.divmod(np.arange(consumers * months), months)
    return *(a.ravel() for a in arrays), *index


def own_median(exposures: np.ndarray, gmv: np.ndarray, rng: np.random.Generator) -> ExposureScores:
    x, y, who, when = rows(exposures, gmv)
    d, varies = above_own_median(x, who)
    columns = (when[:, None] == np.arange(1, exposures.shape[1])).astype(float)
    d, y, who, columns = (a[varies] for a in (d, y, who, columns))
    fold = consumer_folds(who, 3, rng)
    return own_median_scores(d, y, who, when[varies], columns, fold, trimming_threshold=0.0)


def lagged(exposures: np.ndarray, gmv: np.ndarray, rng: np.random.Generator) -> ExposureScores:
    """The same rows with last and mean earlier exposure and GMV, and the period, as history."""
    history = []
    for a in (exposures, gmv):
        before = np.column_stack([np.zeros(len(a)), np.cumsum(a, axis=1)[:, :-1]])
        history += [before / np.maximum(np.arange(a.shape[1]), 1)]
        history += [np.column_stack([np.zeros(len(a)), a[:, :-1]])]
    x, y, who, when = rows(exposures, gmv)
    season = (when[:, None] == np.arange(1, exposures.shape[1])).astype(float)
    features = np.column_stack([*(h.ravel() for h in history), season])
    nuisances = cross_fit(features, x > 0, y, consumer_folds(who, 3, rng))
    return exposure_scores(x > 0, y, who, nuisances)


def estimate(scores: ExposureScores, name: str = "aipw", draws_count: int = 400):
    return estimate_effect(scores, name, "ate_exposed", np.random.default_rng(0), draws_count=draws_count)


# ------------------------------------------------------------------------------- definition
def test_above_own_median_by_hand():
    x = np.array([0, 0, 1, 5, 2, 2, 2, 0, 1, 1, 1, 0, 3.0, 4.0, 9, 9, 1, 1, 2, 3])
    who = np.array([7, 7, 7, 7, 3, 3, 3, 5, 5, 5, 5, 5, 9, 9, 2, 2, 2, 4, 4, 4])
    treatment, varies = above_own_median(x, who)
    expected = [0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1]
    assert treatment.tolist() == [bool(v) for v in expected]
    assert varies.tolist() == [True] * 4 + [False] * 3 + [True] * 13  # a constant exposure is left out
    binary = np.random.default_rng(1).random(200) < 0.7
    again, varies = above_own_median(binary.astype(float), np.repeat(np.arange(20), 10))
    np.testing.assert_array_equal(again[varies], binary[varies])


def test_without_other_columns_it_averages_own_differences_by_hand():
    exposures, gmv = latent_world(np.random.default_rng(2), consumers=40, months=6)
    x, y, who, _ = rows(exposures, gmv)
    d, varies = above_own_median(x, who)
    d, y, who = d[varies], y[varies], who[varies]
    nothing = np.zeros((len(y), 0))
    fold = consumer_folds(who, 2, np.random.default_rng(3))
    nuisances = own_median_nuisances(d, y, who, nothing, fold).nuisances
    scores = exposure_scores(d, y, who, nuisances, trimming_threshold=0.0, clipping_threshold=1e-6)
    gaps = [y[(who == i) & d].mean() - y[(who == i) & ~d].mean() for i in np.unique(who)]
    sizes = [np.sum(who == i) for i in np.unique(who)]
    assert estimate(scores).estimate == pytest.approx(np.average(gaps, weights=sizes), rel=1e-9)


def test_outcome_predictions_meet_every_consumers_own_mean():
    """a_i is the own mean residual: predicted under the observed exposure, each consumer's mean is the observed one."""
    scores = own_median(*latent_world(np.random.default_rng(11), consumers=60), np.random.default_rng(12))
    predicted = np.where(scores.treatment, scores.outcome_exposed, scores.outcome_unexposed)
    for i in np.unique(scores.consumer_index):
        own = scores.consumer_index == i
        assert predicted[own].mean() == pytest.approx(scores.outcome[own].mean(), abs=1e-9)
    assert np.std(scores.outcome - predicted) < 12  # noise is 10


# --------------------------------------------------------------------------------- recovery
@pytest.mark.parametrize("effect", [EFFECT, 0.0])
def test_a_latent_wish_is_removed_within_and_not_by_lagged_history(effect: float):
    """3,000 rows: the own-median estimate is right; naive is far off and lagged AIPW is biased, a documented limit."""
    exposures, gmv = latent_world(np.random.default_rng(4), effect=effect)
    own = estimate(own_median(exposures, gmv, np.random.default_rng(5)))
    assert own.interval_lower < effect < own.interval_upper
    assert abs(own.estimate - effect) < 3 * own.standard_error < 2.0
    second = lagged(exposures, gmv, np.random.default_rng(6))
    naive, aipw = estimate(second, "naive"), estimate(second)
    assert naive.estimate > effect + 15
    assert aipw.estimate - effect > 3 * aipw.standard_error  # the limit: history does not carry the wish
    assert effect + 2 < aipw.estimate < naive.estimate - 5


def test_doses_have_the_effect_of_their_own_swing():
    """Counts: the truth is the slope times the mean own gap between high and other periods."""
    rng = np.random.default_rng(7)
    wish = rng.normal(size=(CONSUMERS, 1))
    doses = rng.poisson(np.exp(0.7 + 0.5 * wish), (CONSUMERS, MONTHS)).astype(float)
    gmv = 60 + 25 * wish + SLOPE * doses + 10 * rng.normal(size=doses.shape)
    x, _, who, _ = rows(doses, gmv)
    d, varies = above_own_median(x, who)
    gaps = [x[(who == i) & d].mean() - x[(who == i) & ~d].mean() for i in np.unique(who[varies])]
    truth = SLOPE * np.mean(gaps)
    own = estimate(own_median(doses, gmv, rng))
    assert 5 < truth < 20
    assert abs(own.estimate - truth) < 3 * own.standard_error < 2.0
    naive = gmv[doses > np.median(doses)].mean() - gmv[doses <= np.median(doses)].mean()
    assert naive > truth + 10


def test_season_in_both_is_removed_by_either_model():
    """Period effects move exposure and purchases; without the columns (control) the estimate is off.

    In units of the error of consumers alone: the two-way error sees what periods have in common and grows with it.
    """
    exposures, gmv = latent_world(np.random.default_rng(8), consumers=600)
    x, y, who, when = rows(exposures, gmv)
    d, varies = above_own_median(x, who)
    season = (when[:, None] == np.arange(1, MONTHS)).astype(float)
    z = {}
    for name, columns in (("with", season), ("without", np.zeros((len(y), 0)))):
        d_, y_, who_, columns_ = (a[varies] for a in (d, y, who, columns))
        fold = consumer_folds(who_, 3, np.random.default_rng(9))
        scores = own_median_scores(d_, y_, who_, when[varies], columns_, fold, trimming_threshold=0.0)
        found = estimate(scores)
        z[name] = (found.estimate - EFFECT) / (found.standard_error / found.error_ratio)
    assert abs(z["with"]) < 3
    assert z["without"] > 5


def test_intervals_cover():
    """100 worlds under time-constant confounding, coverage at 95 % within what that many can show."""
    hits = []
    for seed in range(COVERAGE_WORLDS):
        rng = np.random.default_rng(2_000 + seed)
        found = estimate(own_median(*latent_world(rng, consumers=120, months=8), rng))
        hits.append(found.interval_lower < EFFECT < found.interval_upper)
    assert COVERAGE_BOUNDS[0] <= np.mean(hits) <= COVERAGE_BOUNDS[1]


def test_a_passing_wish_breaks_it():
    """The documented limit: a wish that comes and goes moves both, and no within estimator can tell."""
    rng = np.random.default_rng(10)
    passing = rng.normal(size=(CONSUMERS, MONTHS))
    exposed = (rng.random(passing.shape) < expit(passing)).astype(float)
    gmv = 60 + 15 * passing + 10 * rng.normal(size=passing.shape)
    found = estimate(own_median(exposed, gmv, rng))
    assert found.interval_lower > 5


def test_consumers_of_one_kind_are_refused():
    who = np.repeat(np.arange(30), 4)
    d = np.tile([True, False, True, False], 30)
    d[:4] = True
    with pytest.raises(OverlapError, match="1 consumers have periods of one kind"):
        own_median_nuisances(d, np.ones(120), who, np.zeros((120, 0)), who % 2)


# ------------------------------------------------------------------- waves, and fitting's error
def waves(seed: int, **settings):
    """Exposure in waves that all share: rows of consumers that vary, period columns, folds."""
    rng = np.random.default_rng([12, seed])
    panel = simulate_wave_world(WaveWorldConfig(waves_count=4, periods_count=16, **settings), rng)
    d, varies = above_own_median(panel.exposures[:, 0], panel.consumer_index)
    when = panel.period_index[varies]
    columns = (when[:, None] == np.arange(1, 16)).astype(float)
    who = panel.consumer_index[varies]
    return d[varies], panel.gmv[varies], who, when, columns, consumer_folds(who, 3, rng)


@pytest.mark.parametrize("trimming", [0.0, 0.02])
def test_influence_of_fitting_is_what_leaving_a_consumer_out_does(trimming: float):
    """Jackknife of the whole procedure, folds as they are: the same error, and not that of fixed nuisances alone."""
    rows_ = waves(1, consumers_count=90)
    scores = own_median_scores(*rows_, trimming_threshold=trimming)
    kept_out = []
    for i in np.unique(rows_[2]):
        others = rows_[2] != i
        part = own_median_scores(*(a[others] for a in rows_), trimming_threshold=trimming)
        kept_out.append(part.aipw.mean())
    count = len(kept_out)
    jackknife = np.sqrt((count - 1) * np.var(kept_out))
    found = estimate(replace(scores, period_index=None), draws_count=2_000).standard_error
    fixed = estimate(replace(scores, period_index=None, fitting=None), draws_count=2_000).standard_error
    assert found == pytest.approx(jackknife, rel=0.12)
    if trimming == 0.0:
        assert fixed < 0.5 * jackknife


def test_in_shared_waves_intervals_cover_and_untrimmed_ones_with_fixed_nuisances_do_not():
    """What was published too narrow: rows outside waves have the fitted effect for a score, without its error."""
    hits = {"published": [], "old": []}
    for seed in range(60):
        rows_ = waves(seed, consumers_count=120, taste_sd=3.0)
        old = replace(own_median_scores(*rows_, trimming_threshold=0.0), fitting=None, period_index=None)
        for name, scores in (("published", own_median_scores(*rows_)), ("old", old)):
            found = estimate(scores, draws_count=200)
            hits[name].append(found.interval_lower < EFFECT < found.interval_upper)
    assert np.mean(hits["published"]) >= 0.88
    assert np.mean(hits["old"]) < 0.6
