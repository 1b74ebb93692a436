"""Draws of market and consumer effects: the same on one thread and on several, and apart for different seeds."""

import numpy as np
import pytest

from models.hbmmm import consumers
from models.hbmmm.consumers import market_draws, market_draws_of_parts, over_consumers
from models.hbmmm.effects import compute_effects
from models.hbmmm.problem import build_problem
from models.hbmmm.statistics import SufficientStatistics


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(consumers, "BLOCKS", 1)  # 120 consumers are then one chunk; 300 are three


def drawn(problem, parameters, threads, seed=7):
    market = market_draws(problem, parameters, np.random.default_rng(1), threads)
    out = np.full((len(problem.segment_starts) - 1, len(parameters), problem.consumers_count), np.nan)

    def keep(chunk):
        out[:, :, chunk.consumers] = chunk.coefficients

    list(over_consumers(problem, parameters, market, [seed], keep, threads))
    return market, out


@pytest.fixture(scope="module")
def setting(small_fit, money_panel):
    from models.hbmmm.refit import refit_hbmmm

    panel, _, fit, _ = small_fit
    statistics = SufficientStatistics.from_panel(panel)
    refit = refit_hbmmm(fit, statistics)
    many = _problem(_three_times(statistics), fit, refit)
    return many, refit.draws[0].reshape(-1, refit.draws.shape[-1])[:40]


def _problem(statistics, fit, refit):
    people = refit.completed[0].loc[[c.rpartition("-")[0] for c in statistics.consumer_ids]]
    return build_problem(statistics, fit.design, people)


def _three_times(statistics):
    from dataclasses import replace

    return replace(
        statistics,
        consumer_ids=np.array([f"{c}-{k}" for c in statistics.consumer_ids for k in range(3)], dtype=object),
        market_index=np.repeat(statistics.market_index, 3),
        spend_stratum=np.repeat(statistics.spend_stratum, 3),
        rows_count=np.repeat(statistics.rows_count, 3),
        packed=np.repeat(statistics.packed, 3, axis=0),
    )


def test_the_number_of_threads_changes_nothing(setting):
    problem, parameters = setting
    assert len(problem.lanes) > 2
    one, three = drawn(problem, parameters, 1), drawn(problem, parameters, 3)
    np.testing.assert_array_equal(one[0], three[0])
    np.testing.assert_array_equal(one[1], three[1])
    assert np.isfinite(one[1]).all()


def test_market_effects_come_from_all_parts_together(small_fit):
    from models.hbmmm.refit import refit_hbmmm

    panel, _, fit, _ = small_fit
    statistics = SufficientStatistics.from_panel(panel)
    refit = refit_hbmmm(fit, statistics)
    parameters = refit.draws[0].reshape(-1, refit.draws.shape[-1])[:5]
    tripled = _three_times(statistics)
    whole = market_draws(_problem(tripled, fit, refit), parameters, np.random.default_rng(3))
    parts = [
        _problem(tripled.subset(np.arange(k, len(tripled.consumer_ids), 3)), fit, refit) for k in range(3)
    ]
    together = market_draws_of_parts(parts, parameters, np.random.default_rng(3))
    np.testing.assert_allclose(together, whole, rtol=1e-8, atol=1e-10)
    alone = market_draws(parts[0], parameters, np.random.default_rng(3))
    assert np.abs(alone - whole).max() > 0.01


def test_twins_share_their_mean_and_not_their_noise(setting):
    """Three copies of each consumer have one conditional mean; their draws differ."""
    problem, parameters = setting
    market = market_draws(problem, parameters, None)
    out = np.empty((len(problem.segment_starts) - 1, len(parameters), problem.consumers_count))

    def keep(chunk):
        out[:, :, chunk.consumers] = chunk.coefficients

    list(over_consumers(problem, parameters, market, None, keep))
    np.testing.assert_allclose(out[:, :, 0::3], out[:, :, 1::3], rtol=1e-9, atol=1e-12)
    noisy = drawn(problem, parameters, 1)[1]
    assert np.abs(noisy[1, :, 0::3] - noisy[1, :, 1::3]).min() > 0
    assert np.abs(noisy - drawn(problem, parameters, 1, seed=8)[1])[1].min() > 0


def test_published_effects_do_not_depend_on_threads(small_fit):
    from dataclasses import replace

    panel, _, fit, _ = small_fit
    one, two = (
        compute_effects(replace(fit, config=replace(fit.config, worker_processes=n)), panel) for n in (1, 2)
    )
    np.testing.assert_array_equal(one.channel["mean"], two.channel["mean"])
    np.testing.assert_array_equal(one.consumer["mean"], two.consumer["mean"])
