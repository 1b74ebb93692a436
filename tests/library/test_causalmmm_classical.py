from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import multivariate_t

from models.causalmmm import parent_rounds
from models.causalmmm.classical import choose_lags, fit_classical
from models.causalmmm.classical_config import ClassicalConfig
from models.causalmmm.lag_gram import lag_gram
from models.causalmmm.parent_rounds import first_guess, flat_prior, run_round
from models.causalmmm.structures import edge_priors, find_structures
from models.errors import ConvergenceError
from models.evaluation.graph_scores import lag_and_sign_recovery, score_probabilities, structure_recovery
from models.shops.panel import ShopPanel
from models.simulate.shops import ShopsConfig, simulate_shops
from models.transforms.lag_windows import lag_windows

WORLD = ShopsConfig(shops_count=18, channels_count=5, periods_count=90, structures_count=2, lags_count=3)
CONFIG = ClassicalConfig(lags_count=3, sweeps=(8, 8, 12))
TRAINED = 12


@pytest.fixture(scope="module")
def world():
    return simulate_shops(replace(WORLD, saturating=True), 1)


@pytest.fixture(scope="module")
def fitted(world):
    return fit_classical(world.panel.shops(np.arange(TRAINED)), CONFIG)


def with_values(panel: ShopPanel, values: np.ndarray) -> ShopPanel:
    return replace(panel, values=values)


def scores(posterior, world, shops):
    return score_probabilities(posterior.edge_probability, world.graph[shops], world.panel.allowed)


def test_parents_have_the_probabilities_of_enumeration():
    """Every set of parents weighed by the density of y itself, a multivariate t: no Gram matrix, sweep or sampler."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 25, 3))
    values[0, 1:, 2] += 0.35 * values[0, :-1, 0]
    panel = ShopPanel(
        values, ("a",), ("x", "z", "y"), "y", np.zeros((1, 25, 0)), (), (), ~np.eye(3, dtype=bool)
    )
    config = ClassicalConfig(lags_count=2, scales=(0.3,), decays=(0.5,), normal_scores="none", controls=False)
    gram = lag_gram(panel, 2, ranked=np.zeros(3, dtype=bool))
    learned = first_guess(config, 3, None)
    found = run_round(gram, flat_prior(1, panel.allowed, learned), learned, config, 4_000, rng)

    scaled = (values - values.mean(1)) / values.std(1)
    windows, y = lag_windows(scaled, 2)[0], scaled[0, 2:, 2]
    centre = np.eye(23) - 1 / 23
    turned = np.linalg.svd(centre)[0][:, :22]  # an orthonormal basis of what the intercept leaves
    weight, total = np.zeros(3), 0.0
    for size in range(4):
        for parents in combinations(range(3), size):
            columns = turned.T @ windows[:, list(parents)].reshape(23, -1)
            spread = np.eye(22) + 0.3 * columns * np.tile([1, 0.5], size) @ columns.T
            a, b = config.variance_shape, config.variance_scale
            density = multivariate_t(np.zeros(22), b / a * spread, df=2 * a).logpdf(turned.T @ y)
            prior = [0.15 if p != 2 else 0.5 for p in range(3)]
            odds = np.prod([prior[p] if p in parents else 1 - prior[p] for p in range(3)])
            weight[list(parents)] += np.exp(density) * odds
            total += np.exp(density) * odds
    expected = weight / total
    assert 0.05 < expected.min() and expected.max() < 0.95  # nothing is decided beforehand
    np.testing.assert_allclose(found.probability[0, :, 2], expected, atol=0.015)


def test_graphs_lags_signs_and_structures_are_found(world, fitted):
    seen = np.arange(TRAINED)
    found = scores(fitted.posterior, world, seen)
    assert found.auroc_pooled > 0.99 and found.accuracy > 0.97 > found.all_absent
    assert found.calibration_error < 0.03
    structures = structure_recovery(fitted.posterior.structure_probability, world.structure[seen])
    assert structures["structures_found"] == 2 and structures["adjusted_rand_index"] == 1
    part = world.shops(seen)
    lags = lag_and_sign_recovery(fitted.posterior.lag, fitted.posterior.sign, part.lag, part.sign, part.graph)
    assert lags["lag_error"] < 0.5 * lags["lag_error_of_mean"] and lags["sign_agreement"] > 0.85


def test_unseen_shops_are_scored_by_what_others_taught(world, fitted):
    unseen = np.arange(TRAINED, 18)
    posterior = fitted.score(world.panel.shops(unseen))
    assert scores(posterior, world, unseen).auroc_pooled > 0.99
    truth = [
        np.bincount(fitted.learned.structures.group[world.structure[:TRAINED] == s]).argmax() for s in (0, 1)
    ]
    np.testing.assert_array_equal(
        posterior.structure_probability.argmax(1), np.array(truth)[world.structure[unseen]]
    )
    short = replace(world.panel, node_ids=tuple("abcdef"), outcome_id="f")
    with pytest.raises(ValueError, match="same nodes in the same order"):
        fitted.score(short)


def test_more_columns_than_rows_and_generous_lags_still_rank_edges():
    """Full regressions on all windows have nothing left to compare with here (37 columns, 18 rows)."""
    world = simulate_shops(replace(WORLD, periods_count=24), 2)
    posterior = fit_classical(world.panel, replace(CONFIG, lags_count=6)).posterior
    assert scores(posterior, world, np.arange(18)).auroc_pooled > 0.8


def test_far_more_lags_than_the_data_bear_keep_the_digits_of_the_gram_matrix(monkeypatch):
    """Slabs that fall to .4 ** 39 swept rows of the Gram matrix out with numbers of 1e17, and nan came back."""
    world = simulate_shops(replace(WORLD, shops_count=4, channels_count=3), 1)
    config = replace(CONFIG, lags_count=40, units="node", sweeps=(8, 8))
    posterior = fit_classical(world.panel, config).posterior
    assert scores(posterior, world, np.arange(4)).auroc_pooled > 0.9
    monkeypatch.setattr(parent_rounds, "LEAST_DECAY", 0.0)
    with np.errstate(all="ignore"), pytest.raises(ConvergenceError, match="fewer lags"):
        fit_classical(world.panel, config)


def test_units_and_rising_curves_of_the_outcome_do_not_matter(world):
    panel = world.panel.shops(np.arange(TRAINED))
    curved = panel.values.copy()
    curved[:, :, -1] = np.exp(3 * curved[:, :, -1])
    plain = fit_classical(panel, CONFIG).posterior.edge_probability
    bent = fit_classical(with_values(panel, curved), CONFIG).posterior.edge_probability
    np.testing.assert_array_equal(bent, plain)
    factors = 10.0 ** np.random.default_rng(3).uniform(-3, 3, (TRAINED, 1, 6))
    rescaled = fit_classical(with_values(panel, panel.values * factors), CONFIG)
    assert np.isnan(rescaled.posterior.diagnostics["common_scale"])  # no factor for all
    assert scores(rescaled.posterior, world, np.arange(TRAINED)).auroc_pooled > 0.98


def test_a_shared_week_makes_false_edges_until_it_is_taken_out():
    rng = np.random.default_rng(4)
    week = np.tile(rng.normal(size=7), 20)[None, :, None]
    values = 2 * week * rng.uniform(0.5, 1.5, (6, 1, 4)) + rng.normal(size=(6, 140, 4))
    ids = tuple("abcd")
    panel = ShopPanel(
        values, tuple("123456"), ids, "d", np.zeros((6, 140, 0)), (), (), ~np.eye(4, dtype=bool)
    )
    config = replace(CONFIG, share_structures=False, sweeps=(8,))
    naive = fit_classical(panel, config).posterior.edge_probability.max()
    clean = fit_classical(panel, replace(config, season_lengths=(7,))).posterior.edge_probability.max()
    assert clean < 0.5 < naive


def test_lag_order_is_that_of_the_world():
    world = simulate_shops(replace(WORLD, shops_count=8, lags_count=4), 5)
    config = ClassicalConfig(lags_count=None, lag_candidates=(1, 2, 4, 8), decays=(1.0,), sweeps=(8,))
    assert choose_lags(world.panel, config, np.random.default_rng(0), lambda text: None) == 4


def two_graphs():
    rng = np.random.default_rng(6)
    graph = rng.random((2, 40)) < 0.3
    group = np.repeat([0, 1], 8)
    return np.where(graph[group], 2.0, -2.0) + 1.5 * rng.normal(size=(16, 40)), graph, group


def test_structures_are_found_and_help_against_noise():
    evidence, graph, group = two_graphs()
    structures = find_structures(evidence, 0.3)
    assert (
        structure_recovery(np.eye(len(structures.sizes))[structures.group], group)["adjusted_rand_index"] == 1
    )
    prior, member = edge_priors(structures, evidence, seen=True)
    assert ((prior > 0.5) == graph[group]).mean() > ((evidence > 0) == graph[group]).mean() + 0.05
    np.testing.assert_allclose(member.sum(1), 1)


def test_a_shops_own_evidence_is_no_part_of_its_prior():
    evidence, _, _ = two_graphs()
    changed = evidence.copy()
    changed[0, 0] = -evidence[0, 0]
    structures = [find_structures(one, 0.3) for one in (evidence, changed)]
    priors = [edge_priors(s, e, seen=True)[0] for s, e in zip(structures, (evidence, changed), strict=True)]
    assert structures[0].slip == structures[1].slip
    np.testing.assert_allclose(priors[0][0, 0], priors[1][0, 0], atol=1e-3)
    assert abs(priors[0][1, 0] - priors[1][1, 0]) > 1e-6  # but it is of the others'


def test_shops_that_share_nothing_do_not_teach_one_another():
    rng = np.random.default_rng(7)
    graph = rng.random((20, 40)) < 0.3
    evidence = np.where(graph, 4.0, -4.0) + rng.normal(size=graph.shape)
    structures = find_structures(evidence, 0.3)
    prior, _ = edge_priors(structures, evidence, seen=True)
    assert structures.slip >= 0.5 and np.abs(prior - 0.3).max() < 0.35


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lags_count": 0}, "from 1 period on"),
        ({"units": "dollars"}, "'node', 'common' or 'auto'"),
        ({"sweeps": (2,)}, "a round needs 4"),
        ({"edge_share": 1.0}, "between 0 and 1"),
        ({"scales": ()}, "one positive number or more"),
    ],
)
def test_what_a_configuration_refuses(change, said):
    with pytest.raises(ValueError, match=said):
        ClassicalConfig(**change)


def test_too_few_periods_are_refused():
    world = simulate_shops(replace(WORLD, shops_count=2), 8)
    with pytest.raises(ValueError, match="3 are the least"):
        fit_classical(world.panel.periods(0, 5), CONFIG)
