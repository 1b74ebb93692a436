"""The weighted working model: parity with weighted least squares, right where W holds all, wrong where it does not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from models.effects.causal_effects import CausalConfig, causal_effects
from models.effects.cross_fitting import consumer_folds, cross_fit
from models.effects.doubly_robust import exposure_scores
from models.effects.weighted_pseudo_posterior import stabilised_weights, weighted_pseudo_posterior
from models.simulate.wave_worlds import WaveWorldConfig, simulate_wave_world

EFFECT = 20.0
WORLDS = 60


def scored(seed: int, **settings):
    """Scores of a world whose propensity is estimated on W and the period, and W of the scores' rows."""
    rng = np.random.default_rng([9, seed])
    panel = simulate_wave_world(WaveWorldConfig(consumers_count=150, periods_count=10, **settings), rng)
    w = np.zeros((panel.rows_count, 0))
    if "who" in panel.characteristics:
        w = panel.characteristics["who"].to_numpy()[panel.consumer_index][:, None]
    season = (panel.period_index[:, None] == np.arange(1, 10)).astype(float)
    treatment = panel.exposures[:, 0] > 0
    fold = consumer_folds(panel.consumer_index, 3, rng)
    nuisances = cross_fit(np.column_stack([w, season]), treatment, panel.gmv, fold)
    scores = exposure_scores(
        treatment, panel.gmv, panel.consumer_index, nuisances, period_index=panel.period_index
    )
    return scores, np.column_stack([w, season])[scores.rows]


def test_it_is_weighted_least_squares_with_a_clustered_sandwich():
    scores, w = scored(1, is_recorded=True)
    scores = replace(scores, period_index=None)
    found = weighted_pseudo_posterior(scores, w)
    design = np.column_stack([scores.treatment, np.ones(len(w)), w]).astype(float)
    reference = sm.WLS(scores.outcome, design, weights=stabilised_weights(scores)).fit(
        cov_type="cluster", cov_kwds={"groups": scores.consumer_index, "use_correction": False}
    )
    assert found.estimate == pytest.approx(reference.params[0], rel=1e-8)
    clusters = len(np.unique(scores.consumer_index))
    assert found.standard_error == pytest.approx(
        reference.bse[0] * np.sqrt(clusters / (clusters - 1)), rel=1e-6
    )
    assert found.draws_count == 0


def test_it_covers_where_w_holds_all_and_not_where_the_wish_is_latent():
    hits = {True: [], False: []}
    for seed in range(WORLDS):
        for is_recorded, found in hits.items():
            estimate = weighted_pseudo_posterior(*scored(seed, is_recorded=is_recorded, shock_sd=5.0))
            found.append(estimate.interval_lower < EFFECT < estimate.interval_upper)
    assert 0.88 <= np.mean(hits[True]) <= 1.0
    assert np.mean(hits[False]) < 0.05


def test_its_sandwich_is_wider_than_counting_weights_as_rows():
    """What a posterior of the weighted likelihood would say (weights as rows, all independent) is too narrow."""
    scores, w = scored(2, is_recorded=False)
    design = np.column_stack([scores.treatment, np.ones(len(w)), w]).astype(float)
    naive = sm.WLS(scores.outcome, design, weights=stabilised_weights(scores)).fit()
    assert weighted_pseudo_posterior(scores, w).standard_error > 1.5 * naive.bse[0]


def test_in_the_causal_layer_it_stands_beside_ipw_under_its_own_name():
    rng = np.random.default_rng(3)
    panel = simulate_wave_world(WaveWorldConfig(is_recorded=True), rng)
    table = causal_effects(panel, rng, CausalConfig(bootstrap_draws=50)).channel
    row = table[table["method"] == "weighted_pseudo_posterior"].squeeze()
    assert row["estimand"] == "ate_exposed"
    assert row["exposure_distribution"] == "overlap_rows"
    assert pd.isna(row["not_identified_reason"])
    assert row["interval_lower"] < EFFECT < row["interval_upper"]
