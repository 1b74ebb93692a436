from dataclasses import replace

import numpy as np
import pytest

from models.simulate.funnel_config import BRAND_IDS, NODE_IDS, FunnelConfig
from models.simulate.funnel_oracle import noise_floor, oracle_futures
from models.simulate.funnel_shops import OUTCOME, simulate_funnel_shops
from models.simulate.shop_graphs import draw_structures
from models.simulate.shop_studies import FUNNEL_KIND, SHOPS_KINDS
from models.simulate.shops import ShopsConfig, s_curve, simulate_shops

SMALL = ShopsConfig(shops_count=12, channels_count=6, periods_count=400, structures_count=3, lags_count=3)
FUNNEL = FunnelConfig(shops_count=6, periods_count=220)


def residuals_given_truth(world, shop):
    """x_j minus its least squares on the own lags of tanh(true parents)."""
    values, lags = world.panel.values[shop], world.kernel.shape[-1]
    past = np.stack([np.tanh(values[lags - k : -k]) for k in range(1, lags + 1)], axis=-1)  # (M, D, K)
    out, weights = [], []
    for target in range(values.shape[1]):
        columns = past[:, world.graph[shop, :, target]].reshape(len(past), -1)
        found = np.linalg.lstsq(columns, values[lags:, target], rcond=None)[0]
        out.append(values[lags:, target] - columns @ found)
        weights.append(found)
    return np.array(out), weights


def test_given_the_true_parents_only_the_noise_is_left():
    world = simulate_shops(SMALL, 1)
    for shop in range(3):
        residual, weights = residuals_given_truth(world, shop)
        np.testing.assert_allclose(residual[-1].var(), SMALL.noise_variance, rtol=0.35)
        truth = world.kernel[shop, world.graph[shop, :, -1], -1].ravel()
        assert np.abs(weights[-1] - truth).max() < 0.35


def test_noise_is_independent_between_nodes_and_shops_of_one_structure():
    world = simulate_shops(replace(SMALL, structures_count=1), 2)
    assert len(np.unique(world.structure)) == 1
    noise = np.concatenate([residuals_given_truth(world, shop)[0] for shop in range(2)])
    correlation = np.corrcoef(noise) - np.eye(len(noise))
    assert np.abs(correlation).max() < 5 / np.sqrt(SMALL.periods_count)


def test_kernels_per_pair_are_shared_and_per_shop_are_not():
    shared = simulate_shops(replace(SMALL, kernels="pair", structures_count=1), 3)
    own = simulate_shops(replace(SMALL, structures_count=1), 3)
    assert (shared.kernel[0] == shared.kernel[1]).all()
    assert not (own.kernel[0] == own.kernel[1])[own.graph[0]].any()
    np.testing.assert_array_equal((own.kernel != 0).any(-1), own.graph)


def test_simulation_2_bends_the_same_outcome_by_context_and_ranks_stay():
    straight = simulate_shops(SMALL, 4).panel.values
    bent = simulate_shops(replace(SMALL, saturating=True), 4).panel
    np.testing.assert_array_equal(bent.values[..., :-1], straight[..., :-1])
    np.testing.assert_array_equal(bent.values[..., -1].argsort(1), straight[..., -1].argsort(1))
    assert np.abs(bent.values[..., -1]).max() < 1 and bent.context.shape == (12, 400, 2)
    assert s_curve(np.array(0.6), 0.0, 0.5) == pytest.approx(0.5)  # half way where |u| is .2 + .8 * .5


def test_lag_and_sign_are_those_of_the_kernel():
    world = simulate_shops(SMALL, 5)
    shop, source, target = np.argwhere(world.graph)[0]
    weight = world.kernel[shop, source, target]
    assert world.sign[shop, source, target] == np.sign(weight.sum())
    assert world.lag[shop, source, target] == pytest.approx(np.average([1, 2, 3], weights=np.abs(weight)))
    assert np.isnan(world.lag[~world.graph]).all() and np.isnan(world.sign[~world.graph]).all()


def has_cycle(graph):
    reach = np.linalg.matrix_power(np.eye(len(graph)) + graph, len(graph)) - np.eye(len(graph))
    return bool(((reach > 0) & (reach.T > 0) & ~np.eye(len(graph), dtype=bool)).any())


def test_structures_differ_have_their_sources_and_cycle_only_when_asked():
    rng = np.random.default_rng(6)
    graphs = draw_structures(10, 20, rng)
    assert len({g.tobytes() for g in graphs}) == 20 and not graphs[:, -1].any()
    sources = ~graphs[:, :, :-1].any(axis=1)
    assert (sources.sum(axis=1) == 7).all() and len(np.unique(sources, axis=0)) > 10
    assert not any(has_cycle(g) for g in graphs)
    assert any(has_cycle(g) for g in draw_structures(10, 20, rng, cyclic=True))
    assert draw_structures(10, 20, rng, density=0.9).mean() > 1.4 * graphs.mean()
    fixed = draw_structures(10, 20, rng, permuted=False)
    assert (~fixed[:, :, :-1].any(axis=1) == (np.arange(10) < 7)).all()
    with pytest.raises(ValueError, match="Ask for fewer"):
        draw_structures(2, 50, rng)


def test_study_kinds_have_their_own_seeds_and_unseen_shops_share_structures():
    numbers = [kind.number for kind in SHOPS_KINDS.values()]
    assert len(set(numbers)) == len(numbers) and FUNNEL_KIND.number not in numbers
    assert SHOPS_KINDS["sim1"].seeds(2) == SHOPS_KINDS["sim1"].seeds(5)[:2] != SHOPS_KINDS["sim2"].seeds(2)
    seen, unseen = SHOPS_KINDS["sim2_unseen"].draw(7)
    assert seen.panel.shops_count == 100 and unseen.panel.shops_count == 50
    assert {g.tobytes() for g in unseen.graph} <= {g.tobytes() for g in seen.graph}
    assert max(FUNNEL_KIND.test_origins) + 30 == FUNNEL_KIND.config.periods_count
    assert max(FUNNEL_KIND.validation_origins) + 30 <= min(FUNNEL_KIND.test_origins)


def test_funnel_leads_from_brand_over_views_to_the_outcome_and_never_back():
    world = simulate_funnel_shops(FUNNEL, 8).world
    node = {name: place for place, name in enumerate(NODE_IDS)}
    brand, views = [node[name] for name in BRAND_IDS], node["pv"]
    assert (world.graph[:, brand, views].sum(1) >= 2).all()
    assert not world.graph[:, OUTCOME].any() and not world.graph[:, :, brand].any()
    assert (world.kernel >= 0).all() and (world.panel.values >= 0).all()
    assert (world.panel.values[:, :, 0] == 0).any() and (world.panel.values[:, :, views] > 0).all()


def test_oracle_knows_the_level_and_not_the_next_shock():
    funnel = simulate_funnel_shops(FUNNEL, 9)
    rng = np.random.default_rng(0)
    futures = oracle_futures(funnel, 200, 2, 400, rng)
    views = NODE_IDS.index("pv")
    spread = np.log(futures[:, :, 0, views]).std(axis=1)
    np.testing.assert_allclose(spread, FUNNEL.views_noise, rtol=0.15)
    miss = np.log(funnel.panel.values[:, 200, views]) - np.log(futures[:, :, 0, views]).mean(axis=1)
    shock = funnel.residual[:, 200, views] - funnel.rho[views] * funnel.residual[:, 199, views]
    np.testing.assert_allclose(miss, shock, atol=0.02)  # the mean of pairs of shocks is zero
    np.testing.assert_array_equal(
        futures[..., 0], np.repeat(funnel.panel.values[:, None, 200:202, 0], 400, axis=1)
    )


def test_noise_floor_lies_below_what_does_not_know_the_world():
    funnel = simulate_funnel_shops(FUNNEL, 10)
    origins = range(160, 211, 10)
    floor = noise_floor(funnel, (1, 7), origins, np.random.default_rng(1), draws_count=50)
    gmv = funnel.panel.values[:, :, OUTCOME]
    scale = gmv[:, :160].std(axis=1)[:, None]
    week_before = np.mean([((gmv[:, o : o + 7] - gmv[:, o - 7 : o]) / scale) ** 2 for o in origins])
    assert 0.05 < floor[1]["mse_mean"] < floor[7]["mse_mean"] < 0.7 * week_before
    assert floor[7]["mse_sum"] == pytest.approx(7 * floor[7]["mse_mean"])
    with pytest.raises(ValueError, match="must lie before the origin"):
        oracle_futures(funnel, 215, 30, 2, np.random.default_rng(2))
