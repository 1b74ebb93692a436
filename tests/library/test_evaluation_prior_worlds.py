"""Worlds drawn from the prior: statistics hold what was drawn, and each misspecification does what it says."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import PanelError
from models.evaluation.prior_predictive import prior_predictive
from models.evaluation.prior_worlds import MISSPECIFICATIONS, PriorWorlds
from models.hbmmm.characteristics import learn_characteristics, tidy_characteristics
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import build_design
from models.hbmmm.statistics import SufficientStatistics


@pytest.fixture(scope="module")
def source(money_panel):
    panel = money_panel(60, 12, 3)[0]
    config = HBMMMConfig(include_period_effects="none")
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    return PriorWorlds(panel, design, frame, config)


def outcome_squares(world):
    """Sum of squares of the outcome by consumer."""
    return world.statistics.gram()[:, -1, -1]


def test_only_the_outcome_is_drawn(source):
    world = source.draw(np.random.default_rng(1))
    inner = world.statistics.gram()[:, :-1, :-1]
    np.testing.assert_allclose(inner, source.statistics.gram()[:, :-1, :-1])
    assert world.coefficients.shape == (60, len(source.design.slope_columns))
    assert len(world.parameters) == len(source.problem.parameter_names)


def test_each_misspecification_changes_the_outcome_and_nothing_else_is_known(source):
    plain = source.draw(np.random.default_rng(2))
    for kind in MISSPECIFICATIONS:
        other = source.draw(np.random.default_rng(2), kind)
        np.testing.assert_array_equal(other.parameters, plain.parameters)
        assert not np.allclose(outcome_squares(other), outcome_squares(plain))
    with pytest.raises(ValueError, match="misspecification must be"):
        source.draw(np.random.default_rng(2), "confounded")


def test_the_hidden_shock_goes_with_the_first_exposure(source):
    """The within-consumer regression of the outcome on the exposures moves in that channel, in others it does not."""
    slopes = {None: [], "hidden_confounder": []}
    columns = list(source.design.slope_columns[1:])
    for seed in range(60):
        for kind in slopes:
            world = source.draw(np.random.default_rng(seed), kind)
            noise = np.exp(world.parameters[: len(source.problem.strata)]).mean()
            affine = source.design.affine_map(len(source.statistics.columns))
            gram = affine.T @ world.statistics.gram() @ affine
            inner = gram[:, 1:, 1:] - gram[:, 1:, :1] * gram[:, :1, 1:] / gram[:, :1, :1]
            centred = inner.sum(axis=0)[:-1]
            fitted = np.linalg.lstsq(centred[:, :-1], centred[:, -1], rcond=None)[0]
            truth = world.coefficients[:, 1:].mean(axis=0)
            slopes[kind].append((fitted[np.array(columns) - 1] - truth) / noise)
    plain, hidden = (np.array(slopes[kind]) for kind in slopes)
    moved = (hidden - plain).mean(axis=0)
    assert moved[0] > 0.2
    assert np.abs(moved[1:]).max() < 0.1


def test_heavy_tails_are_heavier_at_the_same_variance(source):
    """Residual squares of each consumer's own regression, over the noise variance and their degrees of freedom."""
    ratios = {None: [], "heavy_tails": []}
    for seed in range(40):
        for kind in ratios:
            world = source.draw(np.random.default_rng([5, seed]), kind)
            affine = source.design.affine_map(len(source.statistics.columns))
            gram = affine.T @ world.statistics.gram() @ affine
            inner, cross = gram[:, :-1, :-1], gram[:, :-1, -1]
            fitted = np.linalg.pinv(inner, hermitian=True, rcond=1e-9)
            residual = gram[:, -1, -1] - np.einsum("na,nab,nb->n", cross, fitted, cross)
            free = source.statistics.rows_count - np.linalg.matrix_rank(inner, hermitian=True, tol=1e-6)
            noise = np.exp(2.0 * world.parameters[: len(source.problem.strata)])[source.stratum]
            ratios[kind].append((residual / noise / free)[free > 2])
    plain, heavy = (np.concatenate(ratios[kind]) for kind in ratios)
    assert plain.mean() == pytest.approx(1.0, abs=0.05) and heavy.mean() == pytest.approx(1.0, abs=0.3)
    assert heavy.var() > 2.0 * plain.var()


def test_the_prior_predictive_covers_what_came_from_the_prior_and_not_what_did_not(money_panel):
    """An outcome drawn from the prior lies inside its predictive intervals; one a thousand times larger does not."""
    panel = money_panel(60, 12, 3)[0]
    config = HBMMMConfig(include_period_effects="none")
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    worlds = PriorWorlds(panel, design, frame, config)
    inside = []
    for seed in range(4):
        outcome = worlds.outcome(np.random.default_rng(seed))[1] * design.outcome_scale
        gmv = np.empty(len(outcome))
        gmv[np.lexsort((panel.period_index, panel.consumer_index))] = outcome
        table = prior_predictive(
            replace(panel, gmv=gmv), design, frame, config, np.random.default_rng(100 + seed), draws_count=100
        )
        assert (table["prior_lower"] < table["prior_upper"]).all()
        inside.append(table["is_inside"])
    assert np.mean(inside) > 0.7  # 95 % of such quantities, and 16 of them
    far = prior_predictive(
        replace(panel, gmv=panel.gmv * 1e3), design, frame, config, np.random.default_rng(1), draws_count=50
    )
    assert not far["is_inside"].any()
    with pytest.raises(PanelError, match="have no completed characteristics"):
        prior_predictive(panel, design, frame.iloc[:5], config, np.random.default_rng(1))
