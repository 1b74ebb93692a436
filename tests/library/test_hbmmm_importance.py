"""The collapsed posterior is exact, importance weights are ArviZ's, and both samplers give one posterior."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.errors import ConvergenceError
from models.hbmmm import importance_mode
from models.hbmmm.characteristics import learn_characteristics
from models.hbmmm.collapsed import CollapsedPosterior
from models.hbmmm.collapsed_problem import build_collapsed
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import build_design
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.laplace import Laplace, fixed_precision
from models.hbmmm.problem import build_problem, log_posterior, prior_table
from models.hbmmm.psis import smooth_weights
from models.hbmmm.sampler import Chains, Nuts
from models.hbmmm.statistics import DesignColumn, SufficientStatistics
from models.simulate.consumer_months import (
    CHANNEL_IDS,
    CHARACTERISTICS,
    COVARIATES,
    EXPOSURE_SDS,
    ConsumerMonthsConfig,
    consumer_months,
)

LINEAR = HBMMMConfig(basis="linear", include_period_effects="none", draws=400, effect_draws=200)


def paper_world(
    consumers_count: int, markets_count: int, seed: int, is_money: bool = False
) -> tuple[SufficientStatistics, pd.DataFrame, np.ndarray]:
    """Statistics, characteristics and true slopes of a world small enough for one chunk; is_money: no logarithm."""
    config = ConsumerMonthsConfig(consumers_count, markets_count, seed=seed)
    world = next(consumer_months(config))
    columns = (
        DesignColumn("intercept", "intercept"),
        *(DesignColumn(f"exposure[{c}]", "exposure", c) for c in CHANNEL_IDS),
        *(DesignColumn(f"covariate[{z}]", "covariate", None, z) for z in COVARIATES),
        DesignColumn("log1p_gmv", "outcome"),
    )
    outcome = np.expm1(1.5 * world.outcome) if is_money else world.outcome
    rows = np.column_stack([np.ones(len(outcome)), world.exposures, world.covariates, outcome])
    upper = np.triu_indices(rows.shape[1])
    products = rows[:, upper[0]] * rows[:, upper[1]]
    packed = np.add.reduceat(products, np.cumsum(world.months) - world.months, axis=0)
    ids = np.array([f"c{i:05d}" for i in world.number], dtype=object)
    strata = np.where(np.arange(len(ids)) % 3 == 0, "low", "high").astype(object)
    statistics = SufficientStatistics(
        columns,
        ids,
        np.array([f"m{j}" for j in range(markets_count)], dtype=object),
        world.market.astype(np.int64),
        strata,
        world.months.astype(np.int64),
        packed,
        "linear",
    )
    characteristics = pd.DataFrame(world.characteristics, columns=list(CHARACTERISTICS), index=ids)
    return statistics, characteristics, world.slopes / EXPOSURE_SDS


@pytest.mark.parametrize("correlations", ["lkj", "none"])
@pytest.mark.parametrize("markets_count", [1, 4])
def test_the_collapsed_density_is_the_marginal_likelihood_integrated(correlations: str, markets_count: int):
    """Against log p(y, fixed | variances) at the fixed effects' mean and their exact precision, another derivation."""
    config = replace(LINEAR, slope_correlations=correlations)
    statistics, frame, _ = paper_world(120, markets_count, 5)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    problem = build_problem(statistics, design, frame)
    sd = prior_table(design, len(problem.strata), config)[1]
    collapsed = CollapsedPosterior(build_collapsed(statistics, design, frame), sd, 2.0)
    rng, first = np.random.default_rng(6), problem.layout.fixed.start
    assert collapsed.problem.dimension == first
    for _ in range(3):
        parameters = np.zeros(len(sd))
        parameters[:first] = rng.normal(0, 0.4, first)
        precision, right = fixed_precision(problem, parameters, sd)
        parameters[first:] = np.linalg.solve(precision, right)
        joint, _ = log_posterior(problem, parameters, sd, 2.0)
        expected = joint + 0.5 * (len(right) * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1])
        found, fixed = collapsed.evaluate(parameters[:first])
        assert found == pytest.approx(expected, abs=1e-7)
        np.testing.assert_allclose(fixed, parameters[first:], atol=1e-9)


@pytest.mark.parametrize("correlations", ["lkj", "none"])
@pytest.mark.parametrize(("markets_count", "strata_count"), [(1, 1), (4, 2)])
def test_the_gradient_of_the_collapsed_density_agrees_with_differences(
    correlations: str, markets_count: int, strata_count: int
):
    config = replace(LINEAR, slope_correlations=correlations)
    statistics, frame, _ = paper_world(150, markets_count, 5)
    strata = np.array(["low", "high"], dtype=object)[np.arange(150) % strata_count]
    statistics = replace(statistics, spend_stratum=strata)
    design = build_design(statistics, learn_characteristics(frame, config), config)
    problem = build_collapsed(statistics, design, frame)
    assert len(problem.strata) == strata_count
    sd = prior_table(design, strata_count, config)[1]
    collapsed = CollapsedPosterior(problem, sd, 2.0)
    rng = np.random.default_rng(6)
    for _ in range(2):
        parameters = rng.normal(0, 0.4, problem.dimension)  # of either sign, as NUTS has them
        value, gradient = collapsed.value_and_gradient(parameters)
        assert value == pytest.approx(collapsed.evaluate(parameters)[0], abs=1e-9)
        for i in range(problem.dimension):
            step = np.zeros(problem.dimension)
            step[i] = 1e-5
            up, down = (collapsed.evaluate(parameters + s)[0] for s in (step, -step))
            assert gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-4), i


def test_the_gradient_in_the_correlations_agrees_with_differences():
    statistics, frame, _ = paper_world(150, 4, 7)
    design = build_design(statistics, learn_characteristics(frame, LINEAR), LINEAR)
    problem = build_problem(statistics, design, frame)
    sd = prior_table(design, len(problem.strata), LINEAR)[1]
    parameters = np.random.default_rng(8).normal(0, 0.3, len(sd))
    _, gradient = log_posterior(problem, parameters, sd, 2.0)
    for i in range(problem.layout.fixed.start):
        step = np.zeros(len(sd))
        step[i] = 1e-6
        up, down = (log_posterior(problem, parameters + s, sd, 2.0)[0] for s in (step, -step))
        assert gradient[i] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-4)


def test_weights_are_those_of_arviz():
    arviz = pytest.importorskip("arviz", reason="a dependency of PyMC")
    rng = np.random.default_rng(9)
    points = rng.standard_t(3, 2000)
    ratios = -0.5 * points**2 * 1.3
    found = smooth_weights(ratios)
    if hasattr(arviz, "psislw"):
        log_weights, k_hat = arviz.psislw(ratios.copy())
        np.testing.assert_allclose(found.weights, np.exp(log_weights), rtol=0.02, atol=1e-6)
        assert found.k_hat == pytest.approx(float(k_hat), abs=0.02)
    assert found.weights.sum() == pytest.approx(1.0)


def test_k_hat_sees_a_proposal_that_is_too_narrow():
    points = np.random.default_rng(10).standard_normal(4000)
    too_narrow = -0.5 * (points / 3.0) ** 2 + 0.5 * points**2
    assert smooth_weights(too_narrow).k_hat > 0.7
    wide = -0.5 * points**2 + 0.5 * (points / 1.1) ** 2
    assert smooth_weights(wide).k_hat < 0.3


def test_k_hat_of_one_draw_that_has_all_the_weight_is_infinite():
    """The others' weights underflow, so no tail is left to fit: ten draws' weight once made that a k-hat of 0.22."""
    found = smooth_weights(1e5 * np.random.default_rng(11).standard_normal(400))
    assert found.k_hat == np.inf and found.ess == pytest.approx(1.0)
    assert np.isnan(smooth_weights(np.zeros(400)).k_hat)


@pytest.fixture(scope="module")
def both() -> dict:
    """One world whose small noise lets 800 consumers say much about the variances, fitted by all samplers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.simulate.consumer_months.NOISE_SD", 0.15)
        statistics, frame, slopes = paper_world(800, 12, 11)
    fits = {
        name: fit_hbmmm(
            statistics,
            frame,
            replace(
                LINEAR,
                inference=name.removeprefix("collapsed_"),
                worker_processes=2,
                draws=250,
                importance_draws=300,
                collapsed_consumers=100 if name == "collapsed_nuts" else 10_000,
            ),
        )
        for name in ("nuts", "collapsed_nuts", "importance")
    }
    assert all(set(fit.sampler["method"]) == {name} for name, fit in fits.items())
    return fits | {"slopes": slopes}


@pytest.mark.parametrize("other", ["collapsed_nuts", "importance"])
def test_the_samplers_give_one_posterior(both: dict, other: str):
    nuts, found = both["nuts"].diagnostics, both[other].diagnostics
    print(nuts.assign(other_mean=found["mean"], other_sd=found["sd"]).round(4).to_string())
    error = nuts["sd"] * np.sqrt(1 / nuts["ess_bulk"] + 1 / found["ess_bulk"])
    assert (np.abs(nuts["mean"] - found["mean"]) < 4.5 * error).all()
    ratio = found["sd"] / nuts["sd"]
    assert ratio.between(0.8, 1.25).all(), ratio.round(2).tolist()


def test_chains_of_the_variances_agree(both: dict):
    fit = both["collapsed_nuts"]
    assert not fit.is_importance_sampled and fit.divergences_count == 0
    assert fit.diagnostics["r_hat"].max() < 1.05
    assert fit.diagnostics["ess_bulk"].min() > 200


@pytest.mark.parametrize(
    ("accepted", "divergences", "runs"),
    [(0.8, 0, 1), (0.1, 0, 3), (0.8, 2, 3)],
    ids=["good", "stuck", "diverging"],
)
def test_chains_that_hardly_move_are_repeated_with_shorter_steps(
    monkeypatch: pytest.MonkeyPatch, accepted: float, divergences: int, runs: int
):
    taken = []

    def chains(self, laplace, step_size, starts, rng):
        taken.append(step_size)
        return Chains(starts[:, None], np.zeros((4, 1)), np.array([0.9, 0.9, 0.9, accepted]), divergences, 1)

    monkeypatch.setattr(Nuts, "step_size", lambda *unused: 0.6)
    monkeypatch.setattr(Nuts, "chains", chains)
    step_size = Nuts(None, LINEAR).sample(Laplace(np.zeros(2), np.eye(2)), np.random.default_rng(0))[1]
    assert len(taken) == runs and step_size == taken[-1]
    assert taken == pytest.approx([0.6 * (2 / 3) ** i for i in range(runs)])


def test_draws_of_importance_sampling_are_judged_by_k_hat(both: dict):
    fit = both["importance"]
    assert fit.is_importance_sampled and fit.k_hat < 0.5
    assert fit.diagnostics["r_hat"].isna().all() and (fit.diagnostics["ess_bulk"] > 400).all()
    assert (fit.diagnostics["ess_bulk"] < fit.draws[..., 0].size).all()
    assert not both["nuts"].is_importance_sampled


def test_an_unreliable_importance_sample_is_handed_to_nuts(monkeypatch: pytest.MonkeyPatch):
    """One small stage from a poor proposal: `auto` must not publish that sample, `importance` must show its size."""
    monkeypatch.setattr("models.hbmmm.importance.STAGES", 0.5)
    statistics, frame, _ = paper_world(60, 4, 12)
    config = replace(LINEAR, importance_consumers=50, importance_draws=80, draws=30, chains=2)
    assert set(fit_hbmmm(statistics, frame, config).sampler["method"]) == {"nuts"}
    forced = fit_hbmmm(statistics, frame, replace(config, inference="importance"))
    assert set(forced.sampler["method"]) == {"importance"} and forced.diagnostics["ess_bulk"].max() < 400


def test_heavy_tails_do_not_keep_the_search_from_the_mode_of_all(monkeypatch: pytest.MonkeyPatch):
    """Variances of a sample of money are tens of posterior sds from those of all: steps of a few never got there."""
    statistics, frame, _ = paper_world(4_000, 8, 14, is_money=True)
    monkeypatch.setattr("models.hbmmm.importance_mode.SUBSAMPLES", (400,))
    fit = fit_hbmmm(statistics, frame, replace(LINEAR, inference="importance", importance_draws=400))
    assert fit.k_hat < 0.7 and fit.diagnostics["ess_bulk"].min() > 100


def rare_stratum() -> tuple[SufficientStatistics, pd.DataFrame]:
    statistics, frame, _ = paper_world(400, 4, 13)
    rare = np.full(400, "all", dtype=object)
    rare[:12] = "rare"
    return replace(statistics, spend_stratum=rare), frame


def test_a_sample_has_the_consumers_of_rare_strata(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.hbmmm.importance_mode.SUBSAMPLES", (100,))
    statistics, frame = rare_stratum()
    chosen = importance_mode._sample(statistics.spend_stratum, 100, np.random.default_rng(1))
    assert set(range(12)) <= set(chosen.tolist()) and 100 <= len(chosen) < 330
    fit = fit_hbmmm(statistics, frame, replace(LINEAR, inference="importance", importance_draws=200))
    assert fit.strata == ("all", "rare")


def test_a_stratum_that_a_sample_lacks_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.hbmmm.importance_mode.SUBSAMPLES", (30,))
    monkeypatch.setattr("models.hbmmm.importance_mode.STRATUM_LEAST", 0)
    statistics, frame = rare_stratum()
    with pytest.raises(ConvergenceError, match="noise strata"):
        fit_hbmmm(statistics, frame, replace(LINEAR, inference="importance"))
