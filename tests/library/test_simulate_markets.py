"""Market worlds: their truth against plain loops and derivatives, their oracle and their lift tests against chance."""

from dataclasses import replace

import numpy as np
import pytest

from models.simulate.market_config import FunnelSpec, MarketChannelSpec, MarketWorldConfig
from models.simulate.market_lift_tests import LiftTestSpec, lift_tests_frame, run_lift_test
from models.simulate.market_oracle import oracle_roi
from models.simulate.market_studies import MARKET_WORLD_KINDS, PLACEBO_CHANNEL, one_test_per_channel
from models.simulate.market_truth import contribution, spend_with_channel_scaled, truth_table
from models.simulate.markets import mart_frames, simulate_market_world
from models.transforms.carryover_kernels import carry_over, geometric_kernel
from models.transforms.saturation import saturation_derivative

CHANNELS = (
    MarketChannelSpec("tv", 0.5, 1.5, decay=0.7, slope=1.5),
    MarketChannelSpec("search", 0.35, 2.5, decay=0.2),
    MarketChannelSpec("display", 0.2, 1.0, follows="search", follows_correlation=0.95),
)
CONFIG = MarketWorldConfig(CHANNELS, markets_count=8, periods_count=60)
FUNNEL = replace(CONFIG, funnel=FunnelSpec("tv", "search", 0.6))


@pytest.fixture(scope="module")
def world():
    return simulate_market_world(CONFIG, 3)


@pytest.fixture(scope="module")
def funnel_world():
    return simulate_market_world(FUNNEL, 3)


def test_a_seed_is_a_world_and_a_setting_leaves_other_draws_alone(world):
    again = simulate_market_world(CONFIG, 3)
    np.testing.assert_array_equal(again.gmv, world.gmv)
    assert (simulate_market_world(CONFIG, 4).gmv != world.gmv).all()
    other = simulate_market_world(replace(CONFIG, noise_sd=0.1, demand_sd=0.1, proxy_correlation=0.5), 3)
    np.testing.assert_array_equal(other.spend, world.spend)
    np.testing.assert_allclose(other.noise, 2 * world.noise)


def test_contributions_and_baseline_are_the_expected_gmv_and_roi_is_as_drawn(world):
    total = world.baseline + sum(contribution(world, c, "direct") for c in range(3))
    np.testing.assert_allclose(total, world.expected_gmv(world.spend), rtol=1e-12)
    truth = truth_table(world, "direct")
    by_market = truth[truth["market_id"].notna()]["roi"].to_numpy().reshape(3, 8)
    np.testing.assert_allclose(by_market.T, world.roi, rtol=1e-10)
    for c in range(3):
        national = truth[truth["market_id"].isna()].iloc[c]
        assert national["roi"] == pytest.approx(
            contribution(world, c).sum() / world.spend[..., c].sum(), rel=1e-12
        )
    assert by_market.std(axis=1).min() > 0.05


def test_one_markets_contribution_against_a_plain_loop(world):
    j, channel = 2, CHANNELS[0]
    spend = world.spend[j, :, 0] / world.population[j]
    weights = [channel.decay**lag for lag in range(CONFIG.max_lag + 1)]
    for t in (0, 5, 59):
        carried = sum(w * spend[t - lag] for lag, w in enumerate(weights) if t >= lag) / sum(weights)
        half = channel.half_saturation * channel.spend_mean
        response = carried**channel.slope / (carried**channel.slope + half**channel.slope)
        expected = world.population[j] * world.coefficients[j, 0] * response
        assert contribution(world, 0)[j, t] == pytest.approx(expected, rel=1e-12)


def test_marginal_roi_is_the_derivative(world):
    truth = truth_table(world, "direct").set_index(["channel_id", "market_id"])
    channel, j = CHANNELS[1], 4
    spend = world.spend[j, :, 1] / world.population[j]
    carried = carry_over(spend, geometric_kernel(channel.decay, CONFIG.max_lag))
    half = channel.half_saturation * channel.spend_mean
    lit = carried > 0
    slopes = saturation_derivative("hill", carried[lit], half, channel.slope)
    expected = world.coefficients[j, 1] * (slopes * carried[lit]).sum() / spend.sum()
    assert truth.loc[("search", "m004"), "marginal_roi"] == pytest.approx(expected, rel=2e-3)


def test_a_channel_that_follows_is_nearly_collinear_and_spends_what_it_should(world):
    lit = world.spend[..., 1] > 0
    np.testing.assert_array_equal(lit, world.spend[..., 2] > 0)
    logs = np.log((world.spend[..., 1:] / world.population[:, None, None])[lit])
    assert np.corrcoef(logs.T)[0, 1] == pytest.approx(0.95, abs=0.03)
    large = simulate_market_world(replace(CONFIG, markets_count=60, periods_count=156), 1)
    means = (large.spend / large.population[:, None, None]).mean(axis=(0, 1))
    np.testing.assert_allclose(means, [c.spend_mean for c in CHANNELS], rtol=0.12)


def test_the_funnel_gives_its_source_a_larger_total_effect(funnel_world):
    total, direct = (
        truth_table(funnel_world, effect).set_index("channel_id")["roi"] for effect in ("total", "direct")
    )
    assert (total["tv"] > direct["tv"] + 0.2).all()
    np.testing.assert_allclose(total[["search", "display"]], direct[["search", "display"]])
    off = spend_with_channel_scaled(funnel_world, 0, 0.0, "total")
    np.testing.assert_allclose(off[..., 1], 0.4 * funnel_world.own_spend[..., 1])
    held = spend_with_channel_scaled(funnel_world, 0, 0.0, "direct")
    np.testing.assert_array_equal(held[..., 1], funnel_world.spend[..., 1])
    with pytest.raises(ValueError, match="give one of total, direct"):
        spend_with_channel_scaled(funnel_world, 0, 1.0, "mediated")


def test_demand_drives_spend_only_where_asked_and_the_proxy_has_its_correlation():
    confounded = simulate_market_world(
        replace(CONFIG, demand_sd=0.1, demand_on_spend=0.5, proxy_correlation=0.8, periods_count=156), 5
    )
    lit = confounded.spend[..., 0] > 0
    logs = np.log(
        confounded.spend[lit][:, 0] / np.broadcast_to(confounded.population[:, None], lit.shape)[lit]
    )
    assert np.corrcoef(logs, confounded.demand[lit])[0, 1] > 0.4
    correlation = np.corrcoef(confounded.proxy.ravel(), confounded.demand.ravel())[0, 1]
    assert correlation == pytest.approx(0.8, abs=0.05)
    frames = mart_frames(confounded)
    assert set(frames["market_covariate_periods"]["covariate_name"]) == {"price", "demand_proxy"}
    blind = oracle_roi(confounded, knows_demand=False)
    knowing = oracle_roi(confounded)
    error = [abs(o["mean"] - o["truth"])[o["market_id"].isna()].to_numpy() for o in (blind, knowing)]
    assert (error[0] > 3 * error[1]).sum() >= 2


def test_oracle_intervals_cover_and_its_errors_have_their_size():
    """60 worlds; markets differ by chance the oracle knows, so z has sd 1 (standard error 0.06) and 90 % cover."""
    config = replace(CONFIG, channels=CHANNELS[:2], markets_count=4, periods_count=40)
    z, covered = [], []
    for seed in range(60):
        found = oracle_roi(simulate_market_world(config, seed))
        found = found[found["market_id"].isna()]
        z += ((found["mean"] - found["truth"]) / found["standard_deviation"]).tolist()
        covered += found["truth"].between(found["interval_lower"], found["interval_upper"]).tolist()
    assert np.std(z) == pytest.approx(1.0, abs=0.2) and abs(np.mean(z)) < 0.3
    assert 0.83 < np.mean(covered) < 0.97


def test_oracle_of_total_effects_goes_through_the_funnel(funnel_world):
    quiet = simulate_market_world(replace(FUNNEL, noise_sd=1e-4), 3)
    found = oracle_roi(quiet)
    np.testing.assert_allclose(found["mean"], found["truth"], rtol=0.05)
    one = simulate_market_world(replace(CONFIG, markets_count=1, periods_count=156), 1)
    assert np.isfinite(oracle_roi(one)["mean"]).all()
    with pytest.raises(ValueError, match="interval_level is 1"):
        oracle_roi(quiet, interval_level=1)


# ------------------------------------------------------------------------------ lift tests
def spec(**changes):
    settings = {"channel_ids": ("tv",), "market_ids": ("m001", "m004", "m006"), "first_period": 40}
    settings |= {"periods_count": 8, "pre_periods_count": 12} | changes
    return LiftTestSpec("t", **settings)


def test_lift_is_the_counterfactual_and_sets_of_channels_are_treated_together(world):
    test = run_lift_test(world, spec(share=1.0), np.random.default_rng(0))
    off = np.array(world.spend)
    off[np.ix_([1, 4, 6], range(40, 48), [0])] = 0
    lost = (world.expected_gmv(world.spend) - world.expected_gmv(off))[[1, 4, 6], 40:48]
    assert test.true_lift == pytest.approx(lost.sum(), rel=1e-12)
    assert test.spend_delta == pytest.approx((world.spend - off).sum(), rel=1e-12)
    both = run_lift_test(world, spec(channel_ids=("tv", "search"), share=1.0), np.random.default_rng(0))
    alone = run_lift_test(world, spec(channel_ids=("search",), share=1.0), np.random.default_rng(0))
    assert both.true_lift == pytest.approx(test.true_lift + alone.true_lift, rel=1e-9)
    row = lift_tests_frame([both]).iloc[0]
    assert row["channel_ids"] == '["tv", "search"]' and row["kpi"] == "gmv"
    assert (row["end_date"] - row["start_date"]).days == 8 * 7 - 1


def test_a_test_of_the_funnels_source_measures_its_total_effect(funnel_world):
    settings = spec(market_ids=("m000",), first_period=12, periods_count=48, share=1.0)
    found = run_lift_test(funnel_world, settings, np.random.default_rng(0)).true_lift
    later = contribution(funnel_world, 0, "total")[0, 12 + CONFIG.max_lag :].sum()
    direct = contribution(funnel_world, 0, "direct")[0, 12:].sum()
    assert found > later > 0 and found > direct
    driven = run_lift_test(funnel_world, spec(channel_ids=("search",), share=1.0), np.random.default_rng(0))
    own = funnel_world.own_spend[[1, 4, 6], 40:48, 1].sum()
    assert driven.spend_delta == pytest.approx(0.4 * own)  # what tv brings stays


def test_the_standard_error_is_that_of_the_difference_in_differences():
    """Against 3,000 experiments drawn week by week: noise and demand of every market, treated less controls."""
    config = replace(CONFIG, demand_sd=0.05, demand_autocorrelation=0.6)
    world = simulate_market_world(config, 3)
    test = run_lift_test(world, spec(), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    draws, weeks = 3000, 20
    demand = rng.normal(size=(draws, 8, weeks))
    for t in range(1, weeks):
        demand[..., t] = 0.6 * demand[..., t - 1] + 0.8 * demand[..., t]
    series = config.noise_sd * rng.normal(size=demand.shape) + 0.05 * demand
    change = series[..., 12:].mean(axis=-1) - series[..., :12].mean(axis=-1)
    treated = np.isin(np.arange(8), [1, 4, 6])
    lifts = 8 * (
        world.level[treated] * (change[:, treated] - change[:, ~treated].mean(axis=1, keepdims=True))
    ).sum(1)
    assert test.standard_error == pytest.approx(lifts.std(), rel=0.05)
    drawn = [run_lift_test(world, spec(), rng) for _ in range(400)]
    z = np.array([(t.lift - t.true_lift) / t.standard_error for t in drawn])
    assert abs(z.mean()) < 0.2 and z.std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"channel_ids": ("radio",)}, r"names the channels \['radio'\]"),
        ({"market_ids": ("m001", "m001")}, "must be distinct"),
        ({"market_ids": tuple(f"m00{j}" for j in range(7))}, "leaves 1 of 8 markets as controls"),
        ({"first_period": 55}, "ends after the world's 60 weeks"),
        ({"first_period": 5}, "from position 5 and 12 before them"),
        ({"share": 0.0}, r"share 0.0; it must lie in \(0, 1\]"),
        ({"channel_ids": ()}, "treats no channel"),
    ],
)
def test_refuses_tests_that_are_none(world, changes, says):
    with pytest.raises(ValueError, match=says):
        run_lift_test(world, spec(**changes), np.random.default_rng(0))


# ------------------------------------------------------------------------------- studies
def test_study_seeds_are_distinct_fixed_and_fewer_are_a_prefix_of_more():
    seeds = [seed for kind in MARKET_WORLD_KINDS.values() for seed in kind.seeds()]
    assert len(set(seeds)) == len(seeds) == 290
    assert len({kind.number for kind in MARKET_WORLD_KINDS.values()}) == len(MARKET_WORLD_KINDS)
    for kind in MARKET_WORLD_KINDS.values():
        assert kind.seeds(3) == kind.seeds()[:3]
    with pytest.raises(ValueError, match="31 worlds of kind 'identified'"):
        MARKET_WORLD_KINDS["identified"].seeds(31)


def test_study_worlds_are_of_their_kind():
    worlds = {name: kind.world(kind.seeds(1)[0]) for name, kind in MARKET_WORLD_KINDS.items()}
    again = MARKET_WORLD_KINDS["identified"].world(MARKET_WORLD_KINDS["identified"].seeds(1)[0])
    np.testing.assert_array_equal(again.gmv, worlds["identified"].gmv)
    assert worlds["identified"].spend.shape == (20, 156, 5) and worlds["national"].spend.shape[0] == 1
    assert worlds["identified"].proxy is None and worlds["confounded"].proxy is not None
    placebo = worlds["placebo"].config.channel_ids.index(PLACEBO_CHANNEL)
    assert (contribution(worlds["placebo"], placebo) == 0).all()
    for name in ("identified", "confounded", "funnel"):
        share = worlds[name].contributions(worlds[name].spend).sum() / worlds[name].gmv.sum()
        assert 0.05 < share < 0.4
        tests = one_test_per_channel(worlds[name])
        assert [t.spec.channel_ids[0] for t in tests] == list(worlds[name].config.channel_ids)
        assert all(t.spend_delta > 0 and t.standard_error > 0 for t in tests)
    first, second = (
        MARKET_WORLD_KINDS["identified"].world(s) for s in MARKET_WORLD_KINDS["identified"].seeds(2)
    )
    assert all(a.roi != b.roi for a, b in zip(first.config.channels, second.config.channels, strict=True))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: MarketChannelSpec("tv", 0.0, 1.0), "spend_mean is 0.0; it must be above 0"),
        (lambda: MarketChannelSpec("tv", 0.5, -1.0), "roi is -1.0; it must be 0 or more"),
        (lambda: MarketChannelSpec("tv", 0.5, 1.0, decay=1.0), r"decay is 1.0; it must lie in \[0, 1\)"),
        (
            lambda: MarketChannelSpec("tv", 0.5, 1.0, follows="x"),
            "follows is x; it must come with a correlation",
        ),
        (lambda: FunnelSpec("tv", "tv"), "give two channels"),
        (lambda: replace(CONFIG, markets_count=0), "markets_count is 0"),
        (lambda: replace(CONFIG, start_date=CONFIG.start_date.replace(day=5)), "is not a Monday"),
        (lambda: replace(CONFIG, noise_sd=0.0), "noise_sd is 0.0"),
        (lambda: replace(CONFIG, demand_on_spend=0.3), "demand_on_spend without demand_sd"),
        (lambda: replace(CONFIG, proxy_correlation=0.9), "proxy_correlation is 0.9 with demand_sd 0.0"),
        (lambda: replace(CONFIG, channels=()), "at least one, got"),
        (lambda: replace(CONFIG, channels=CHANNELS[2:]), "name an earlier channel"),
        (lambda: replace(CONFIG, funnel=FunnelSpec("tv", "radio")), "the funnel goes from 'tv' to 'radio'"),
    ],
)
def test_refuses_settings_that_are_none(build, says):
    with pytest.raises(ValueError, match=says):
        build()
