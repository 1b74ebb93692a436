"""Carry-over: scores that say what they claim, a choice that finds true decays, effects that are mixtures."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from models.errors import PanelError
from models.hbmmm.candidate_scores import (
    CandidateScore,
    Scorer,
    candidate_design,
    candidate_statistics,
    held_out_errors,
    laplace_log_evidence,
    variance_strata,
)
from models.hbmmm.carryover import (
    CarryoverChoice,
    CarryoverConfig,
    CarryoverFit,
    choose_carryover,
    fit_carryover,
)
from models.hbmmm.carryover_effects import carryover_effects, shares_of_draws
from models.hbmmm.characteristics import learn_characteristics, tidy_characteristics
from models.hbmmm.collapsed import CollapsedPosterior
from models.hbmmm.collapsed_problem import build_collapsed
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import build_design
from models.hbmmm.effect_draws import ConsumerMoments
from models.hbmmm.effects import compute_effects
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.laplace import find_mode
from models.hbmmm.problem import build_problem, log_posterior, prior_table
from models.hbmmm.statistics import SufficientStatistics
from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers
from models.transforms.adstock import carried_panel

FAST = HBMMMConfig(inference="laplace", draws=100, effect_draws=400, imputations_count=2, imputation_rounds=3)
GRID = CarryoverConfig(decays=(0.0, 0.5, 0.8), bend_factors=(1.0,), draws=4, rounds=1)
KEYS = ["channel_id", "estimand", "exposure_distribution", "horizon"]


def strong_world(carryover, seed):
    """Few consumers whose email and tv work four times as hard as in the paper, and the null channel."""
    channels = tuple(
        replace(c, carryover=carryover, slope_mean=4 * c.slope_mean, slope_sd=2 * c.slope_sd)
        for c in PAPER_CHANNELS
        if c.name in ("email", "tv")
    )
    config = ConsumerWorldConfig(
        consumers_count=350, markets_count=4, periods_count=18, channels=channels, confounding=0.3
    )
    return simulate_consumers(config, np.random.default_rng(seed))


def plain_fit(panel):
    return fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, FAST)


@pytest.fixture(scope="module")
def carried():
    world = strong_world(0.5, seed=1)
    panel = world.to_panel()
    base = plain_fit(panel)
    choice = choose_carryover(panel, base, GRID)
    return world, panel, base, choice, fit_carryover(panel, base, choice)


def whole_choice(panel, drawn, weights):
    """A choice made by hand."""
    return CarryoverChoice(GRID, tuple(panel.channel_ids), drawn, np.array(weights), (), {}, {}, False)


# ------------------------------------------------------------------------------ scores
def test_decay_zero_keeps_the_models_own_design(carry_world):
    statistics = SufficientStatistics.from_panel(carry_world[1])
    frame = tidy_characteristics(carry_world[1].characteristics, statistics.consumer_ids)
    known = learn_characteristics(frame, FAST)
    assert candidate_design(statistics, statistics, known, FAST) == build_design(statistics, known, FAST)


def test_a_bend_factor_moves_the_concave_column_alone(carry_world):
    panel = carry_world[1]
    plain, moved = (candidate_statistics(panel, (0.0,) * 3 + f) for f in ((), (4.0, 1.0, 1.0)))
    assert [c.bend / p.bend for c, p in zip(moved.columns, plain.columns, strict=True)].count(4.0) == 1
    m = len(plain.columns)
    at = [c.name for c in plain.columns].index(f"exposure_log1p[{panel.channel_ids[0]}]")
    first, second = np.triu_indices(m)
    same = (first != at) & (second != at)
    np.testing.assert_array_equal(moved.packed[:, same], plain.packed[:, same])
    row = np.array(panel.exposures)[:, 0]
    total = np.bincount(panel.consumer_index, np.log1p(row / moved.columns[at].bend))
    np.testing.assert_allclose(moved.packed[:, at], total, rtol=1e-12)
    with pytest.raises(PanelError, match="a bend factor or none"):
        candidate_statistics(panel, (0.0,) * 4)


def test_exposure_columns_vary_as_much_within_consumers_at_every_decay(carry_world):
    panel = carry_world[1]
    plain = SufficientStatistics.from_panel(panel)
    known = learn_characteristics(tidy_characteristics(panel.characteristics, plain.consumer_ids), FAST)
    spread = []
    for decay in (0.0, 0.8):
        moved = carried_panel(panel, [decay] * 3)
        design = candidate_design(SufficientStatistics.from_panel(moved), plain, known, FAST)
        x = moved.exposures / [design.row_columns[c].scale for c in design.slope_columns[1:]]
        spread.append((x - panel.consumer_means(x)[panel.consumer_index]).std(axis=0))
    np.testing.assert_allclose(spread[1], spread[0], rtol=1e-9)


def test_laplace_evidence_is_that_of_importance_sampling(money_panel):
    """Of the collapsed posterior, where fixed effects are integrated exactly, over all signs of standard deviations."""
    panel = money_panel(80, 10, 2, seed=4)[0]
    config = replace(FAST, slope_correlations="none", include_period_effects="none")
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    known = learn_characteristics(frame, config)
    errors = []
    for decay in (0.0, 0.8):
        moved = SufficientStatistics.from_panel(carried_panel(panel, [decay] * 2))
        design = candidate_design(moved, statistics, known, config)
        problem = build_problem(moved, design, frame)
        sd = prior_table(design, len(problem.strata), config)[1]

        def density(parameters, problem=problem, sd=sd):
            return log_posterior(problem, parameters, sd, 2.0)

        laplace = find_mode(problem, sd, density)
        found = laplace_log_evidence(problem, laplace, density(laplace.mode)[0])
        collapsed = build_collapsed(moved, design, frame)
        posterior = CollapsedPosterior(collapsed, sd, 2.0)
        d, s = collapsed.dimension, len(collapsed.strata)
        proposal = stats.multivariate_t(laplace.mode[:d], laplace.covariance[:d, :d], df=5, seed=0)
        signs = np.array(list(itertools.product([1.0, -1.0], repeat=d - s)))
        draws = proposal.rvs(300)
        draws[:, s:] = np.abs(draws[:, s:])
        folded = np.concatenate([np.ones((len(signs), s)), signs], axis=1)
        log_proposal = special.logsumexp(proposal.logpdf(draws[:, None] * folded), axis=1)
        log_ratio = np.array([posterior.evaluate(v)[0] for v in draws]) - log_proposal
        sampled = special.logsumexp(log_ratio) - np.log(len(draws)) + (d - s) * np.log(2.0)
        print(decay, found, sampled)
        errors.append(found - sampled)
    assert np.abs(errors).max() < 2.0
    assert abs(errors[1] - errors[0]) < 0.5  # candidates are compared: what is common to them cancels


def scorer_of(panel, config):
    statistics = SufficientStatistics.from_panel(panel)
    frame = tidy_characteristics(panel.characteristics, statistics.consumer_ids)
    folds = np.arange(len(frame)) % 4
    return Scorer(panel, statistics, learn_characteristics(frame, config), frame, config, folds, None)


def test_held_out_errors_are_money_about_the_consumers_own_mean(money_panel):
    """Where priors forbid any response, nothing is predicted: the error is the outcome's own variation."""
    panel = money_panel(60, 8, 4, seed=2)[0]
    silent = replace(
        FAST,
        include_period_effects="none",
        **dict.fromkeys(("prior_row_sd", "prior_slope_moderator_share", "prior_market_slope_share"), 1e-7),
    )
    about = panel.gmv - panel.consumer_means(panel.gmv)[panel.consumer_index]
    expected = np.bincount(panel.consumer_index, about**2)
    mute, scorer = scorer_of(panel, silent), scorer_of(panel, FAST)
    np.testing.assert_allclose(mute.held_out(mute.score([0.0, 0.0])), expected, rtol=1e-4)
    found = scorer.held_out(scorer.score([0.0, 0.0])).sum()
    assert 10.0 < np.sqrt(found / (panel.rows_count - panel.consumers_count)) < 11.5  # the noise is 10
    assert found < 0.9 * expected.sum()


def test_held_out_consumers_do_not_predict_themselves(money_panel):
    """Given the variances, an error is |k y - f|^2 with f free of the own y: its second difference in k is 2 |y|^2."""
    panel = money_panel(60, 8, 4, seed=2)[0]
    scorer = scorer_of(panel, FAST)
    design = build_design(scorer.plain, scorer.characteristics, FAST)
    mode = scorer.score([0.0, 0.0]).mode  # without own levels the fixed part differs: it is refitted anyway
    own = panel.consumer_index == 7
    errors = []
    for factor in (1.0, 2.0, 3.0):
        moved = SufficientStatistics.from_panel(
            replace(panel, gmv=np.where(own, factor * panel.gmv, panel.gmv))
        )
        problem = build_problem(moved, design, scorer.completed)
        parameters = np.zeros(len(problem.parameter_names))
        parameters[: problem.layout.fixed.start] = mode[: problem.layout.fixed.start]
        errors.append(held_out_errors(moved, problem, scorer.completed, parameters, FAST, scorer.folds))
    about = panel.gmv[own] - panel.gmv[own].mean()
    assert errors[2][7] - 2 * errors[1][7] + errors[0][7] == pytest.approx(2 * about @ about, rel=1e-6)
    others = scorer.folds != scorer.folds[7]
    assert np.abs(errors[2][others] / errors[0][others] - 1).max() > 1e-3  # it teaches the others


def test_variance_strata_follow_the_consumers_own_variance(money_panel):
    panel = money_panel(60, 8, 4, seed=3)[0]
    labels = variance_strata(SufficientStatistics.from_panel(panel), 3)
    about = panel.gmv - panel.consumer_means(panel.gmv)[panel.consumer_index]
    rows = np.bincount(panel.consumer_index)
    variance = np.bincount(panel.consumer_index, about**2) / (rows - 1)
    parts = [variance[labels == name] for name in sorted(set(labels))]
    assert [len(p) for p in parts] == [20, 20, 20]
    assert parts[0].max() <= parts[1].min() <= parts[1].max() <= parts[2].min()


# ------------------------------------------------------------------------------ the choice
def test_true_decays_are_found_and_both_slopes_covered(carried):
    world, panel, _, choice, fitted = carried
    found = choice.decay_probabilities.set_index(["channel_id", "decay"])["probability"]
    print(choice.candidates.head(6).round(2).to_string(), found.round(2).to_dict())
    assert found["email", 0.5] > 0.5
    assert found["tv", 0.5] > 0.5
    table = carryover_effects(fitted, panel).channel.set_index(KEYS)
    truth = pd.concat([world.truth["channel"], world.total_truth["channel"]]).set_index(KEYS)["value"]
    for channel in panel.channel_ids:
        for horizon in ("immediate", "total"):
            key = (channel, "slope", "panel_rows", horizon)
            row = table.loc[key]
            print(key, row["interval_lower"], truth[key], row["interval_upper"])
            assert row["interval_lower"] < truth[key] < row["interval_upper"]
    assert table.loc[("tv", "slope", "panel_rows", "total"), "interval_lower"] > 0


def test_a_world_without_carryover_gets_decay_zero_most_weight():
    panel = strong_world(0.0, seed=2).to_panel()
    choice = choose_carryover(panel, plain_fit(panel), GRID)
    found = choice.decay_probabilities.set_index(["channel_id", "decay"])["probability"]
    print(choice.candidates.head(6).round(2).to_string())
    assert found["email", 0.0] > 0.5
    assert found["tv", 0.0] > 0.5


def test_every_weight_is_there(carried):
    choice = carried[3]
    assert choice.weights.sum() == pytest.approx(1.0)
    assert (choice.weights > 0).all()
    totals = choice.decay_probabilities.groupby("channel_id")["probability"].sum()
    np.testing.assert_allclose(totals, 1.0)
    np.testing.assert_allclose([line.sum() for line in choice.lines], 1.0)
    assert set(choice.drawn) <= set(choice.scores)
    assert choice.candidates["held_out_z"].min() == 0.0


def faked(monkeypatch, evidence, errors):
    """Scores by formula instead of by fit: both of decays (C,), errors by consumer."""
    monkeypatch.setattr(
        Scorer,
        "score",
        lambda self, d, start=None: CandidateScore(tuple(d), evidence(np.array(d)), np.zeros(1)),
    )
    monkeypatch.setattr(Scorer, "held_out", lambda self, score: errors(np.array(score.candidate)))


def test_held_out_error_has_the_last_word(carried, monkeypatch):
    """Evidence for long carry-over of every channel against held-out errors that grow with tv's decay."""
    _, panel, base, _, _ = carried
    noise = np.random.default_rng(0).gamma(2.0, size=(2, panel.consumers_count))
    noise[1] -= noise[1].mean()
    grows = {"sure": 1.0, "unsure": 0.0}
    for name, by in grows.items():
        faked(
            monkeypatch,
            lambda d: 50.0 * d.sum(),
            lambda d, by=by: 10.0 + noise[0] + d[2] * (by + 5.0 * noise[1]),
        )
        choice = choose_carryover(panel, base, GRID)
        assert choice.is_refuted == (name == "sure")
        assert all((d[2] == 0.0) == (name == "sure") for d in choice.drawn)
        assert choice.weights.sum() == pytest.approx(1.0)


def test_weights_are_the_posterior_where_channels_depend_on_each_other(carried, monkeypatch):
    """The data know the sum of email's and tv's decays better than either; the lines know nothing of that."""
    _, panel, base, _, _ = carried

    def evidence(d):
        return -1.5 * (d[0] + d[2] - 0.8) ** 2 - 1.0 * d[1]

    faked(monkeypatch, evidence, lambda d: np.ones(panel.consumers_count))
    prior = (2.0, 1.0, 1.0)
    choice = choose_carryover(panel, base, replace(GRID, draws=2_000, prior_weights=prior))
    every = np.array(list(itertools.product(range(3), repeat=3)))
    grid = np.array(GRID.decays)
    exact = np.array([evidence(grid[row]) + np.log(np.array(prior)[row]).sum() for row in every])
    exact = np.exp(exact - exact.max()) / np.exp(exact - exact.max()).sum()
    found = {decays: w for decays, w in zip(choice.drawn, choice.weights, strict=True)}
    error = [abs(found.get(tuple(grid[row].tolist()), 0.0) - p) for row, p in zip(every, exact, strict=True)]
    independent = np.array([np.prod(np.array(choice.lines)[np.arange(3), row]) for row in every])
    assert max(error) < 0.03
    assert np.abs(independent - exact).max() > 0.06


def test_refuses_what_it_cannot_choose_on(carried):
    _, panel, base, _, _ = carried
    other = strong_world(0.5, seed=3).to_panel()
    with pytest.raises(PanelError, match="not those of the fit"):
        choose_carryover(other, base, GRID)
    with pytest.raises(PanelError, match="differ from the panel's exposure events"):
        choose_carryover(panel.with_exposures(panel.exposures + 1), base, GRID)
    for wrong in (
        {"decays": (0.3, 0.5)},
        {"decays": (0.0, 1.0)},
        {"prior_weights": (1.0,)},
        {"bend_factors": (0.5, 2.0)},
        {"bend_factors": (1.0, 0.5)},
        {"folds": 1},
        {"draws": 0},
        {"held_out_z": 0.0},
    ):
        with pytest.raises(ValueError):
            CarryoverConfig(**wrong)


# ------------------------------------------------------------------------------ mixtures
def test_one_candidate_without_carryover_is_the_plain_model(carried):
    _, panel, base, _, _ = carried
    alone = CarryoverFit(whole_choice(panel, ((0.0, 0.0, 0.0),), [1.0]), (base,))
    draws = base.kept_draws(0).shape[0] * len(base.completed)
    found, plain = carryover_effects(alone, panel, draws), compute_effects(base, panel)
    for level, key in (("channel", []), ("market", ["market_id"]), ("consumer", ["consumer_id"])):
        names = [*key, *KEYS]
        mixed = getattr(found, level).astype({k: object for k in names}).set_index(names).sort_index()
        own = getattr(plain, level).astype({k: object for k in names}).set_index(names).sort_index()
        for column in ("mean", "standard_deviation", "interval_lower"):
            now = mixed.xs("immediate", level="horizon")[column]
            np.testing.assert_allclose(now, own.xs("immediate", level="horizon")[column], rtol=1e-8)
            np.testing.assert_allclose(now, mixed.xs("total", level="horizon")[column], rtol=1e-8)


def test_a_mixture_holds_what_is_between_its_candidates(carried):
    _, panel, base, _, _ = carried
    drawn = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.8))
    both = fit_carryover(
        panel, base, whole_choice(panel, drawn, [0.25, 0.75]), replace(FAST, effect_draws=800)
    )
    mixed = carryover_effects(both, panel)
    alone = [
        carryover_effects(CarryoverFit(whole_choice(panel, (d,), [1.0]), (fit,)), panel)
        for d, fit in zip(drawn, both.fits, strict=True)
    ]
    key = ("tv", "slope", "panel_rows", "total")
    rows = [t.channel.set_index(KEYS).loc[key] for t in (mixed, *alone)]
    mean = 0.25 * rows[1]["mean"] + 0.75 * rows[2]["mean"]
    within = 0.25 * rows[1]["standard_deviation"] ** 2 + 0.75 * rows[2]["standard_deviation"] ** 2
    between = 0.25 * 0.75 * (rows[1]["mean"] - rows[2]["mean"]) ** 2
    assert between > 0.1 * within
    assert rows[0]["mean"] == pytest.approx(mean, abs=0.1 * rows[0]["standard_deviation"])
    assert rows[0]["standard_deviation"] == pytest.approx(np.sqrt(within + between), rel=0.1)
    consumers = [
        t.consumer.astype({"horizon": object}).query("horizon == 'total'")["mean"] for t in (mixed, *alone)
    ]
    np.testing.assert_allclose(consumers[0], 0.25 * consumers[1] + 0.75 * consumers[2], rtol=1e-8)


def test_moments_of_a_mixture_are_those_of_all_draws():
    rng = np.random.default_rng(0)
    draws = [rng.gamma(2.0, size=(300, 5, 2)), 3.0 + rng.normal(size=(100, 5, 2))]

    def moments(x):
        mean = x.mean(axis=0)
        return ConsumerMoments(mean, x.var(axis=0), ((x - mean) ** 3).mean(axis=0), (x > 0).mean(axis=0))

    found = ConsumerMoments.mixture([moments(d) for d in draws], np.array([0.75, 0.25]))
    whole = moments(np.concatenate(draws))
    for name in ("mean", "variance", "third", "positive"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-10)


def test_draws_are_shared_out_by_weight():
    counts = shares_of_draws(np.array([0.5, 0.3333, 0.1667]), 1000)
    assert counts.tolist() == [500, 333, 167]
    assert shares_of_draws(np.full(3, 1 / 3), 100).sum() == 100
