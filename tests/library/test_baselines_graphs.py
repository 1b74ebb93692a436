import numpy as np
import pytest

from models.baselines.generalised_var import GeneralisedVar
from models.baselines.granger_bayes_factor import GrangerBayesFactor
from models.baselines.granger_f_test import GrangerFTest
from models.baselines.granger_ridge import GrangerRidge
from models.baselines.graph_base import full_regressions
from models.baselines.graph_trivial import AllAbsent, AllPresent, LagCorrelation, SdRatio
from models.baselines.ingra import InductiveGranger
from models.baselines.neural_granger import NeuralGranger
from models.baselines.neural_granger_recurrent import RecurrentNeuralGranger
from models.baselines.pcmci_plus import PcmciPlus
from models.baselines.proximal_descent import descend
from models.evaluation.graph_scores import score_ranking
from models.shops.panel import ShopPanel
from models.simulate.shops import ShopsConfig, simulate_shops
from models.transforms.lag_windows import lag_windows, normal_scores

WORLD = simulate_shops(ShopsConfig(shops_count=6, channels_count=5, structures_count=2, lags_count=3), 1)


def strong_effect():
    """cause -> effect one period later, in two shops; nothing else."""
    values = np.random.default_rng(3).normal(size=(2, 100, 3))
    values[:, 1:, 2] += 2 * values[:, :-1, 0]
    nodes, no_context = ("cause", "other", "effect"), np.zeros((2, 100, 0))
    return ShopPanel(values, ("a", "b"), nodes, "effect", no_context, (), (), ~np.eye(3, dtype=bool))


STRONG = strong_effect()


def auroc(baseline):
    found = baseline.score_edges(WORLD.panel)
    return score_ranking(found.score, WORLD.graph, WORLD.panel.allowed, found.present)


def test_lag_windows_hold_the_past_newest_first():
    values = np.arange(10.0).reshape(5, 2)
    windows = lag_windows(values, 2)
    assert windows.shape == (3, 2, 2)
    np.testing.assert_array_equal(windows[0, 0], [2.0, 0.0])  # before period 2: 1 period ago, 2 periods ago
    with pytest.raises(ValueError, match="leave a period to explain"):
        lag_windows(values, 5)
    np.testing.assert_allclose(normal_scores(np.exp(values), 0), normal_scores(values, 0))


def test_what_a_window_explains_is_the_difference_of_two_regressions():
    fit = full_regressions(WORLD.panel.values, 3)
    values = WORLD.panel.values[2]
    windows, y = lag_windows(values, 3), values[3:, 4]

    def left(nodes):
        design = np.column_stack([np.ones(len(y)), windows[:, nodes].reshape(len(y), -1)])
        return ((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum()

    assert fit.residual[2, 4] == pytest.approx(left([0, 1, 2, 3, 4, 5]), rel=1e-6)
    expected = left([0, 2, 3, 4, 5]) - left([0, 1, 2, 3, 4, 5])
    assert fit.explained[2, 1, 4] == pytest.approx(expected, rel=1e-5)


def test_tests_of_windows_find_edges_and_norms_of_standardised_coefficients_hardly():
    f_test, bayes, ridge = (
        auroc(GrangerFTest(lags_count=3)),
        auroc(GrangerBayesFactor(lags_count=3)),
        auroc(GrangerRidge(lags_count=3)),
    )
    assert min(f_test.auroc_pooled, bayes.auroc_pooled) > 0.95 > ridge.auroc_pooled + 0.05
    assert f_test.accuracy > f_test.all_absent + 0.08


def test_an_f_test_of_noise_rejects_as_often_as_it_says():
    noise = simulate_shops(ShopsConfig(shops_count=80, channels_count=4, lags_count=3, kernel_sd=1e-9), 2)
    found = GrangerFTest(lags_count=3, level=0.05).score_edges(noise.panel)
    share = found.present[:, noise.panel.allowed].mean()
    assert 0.03 < share < 0.075


def test_full_regressions_say_when_there_are_too_few_rows():
    with pytest.raises(ValueError, match="the classical level"):
        GrangerFTest(lags_count=3).score_edges(WORLD.panel.periods(0, 25))


def test_simulated_graphs_give_themselves_away_by_variance_until_rescaled():
    assert auroc(SdRatio()).auroc_pooled > 0.8
    assert np.isnan(auroc(SdRatio()).accuracy)
    assert 0.6 < auroc(LagCorrelation(lags_count=3)).auroc_pooled < 0.98
    assert auroc(AllAbsent()).accuracy == auroc(AllAbsent()).all_absent
    assert auroc(AllPresent()).accuracy == 1 - auroc(AllPresent()).all_absent
    assert auroc(AllPresent()).auroc_pooled == 0.5


@pytest.mark.parametrize(
    "baseline",
    [
        NeuralGranger(lags_count=1, steps=150),
        RecurrentNeuralGranger(steps=80, hidden=4),
        GeneralisedVar(lags_count=1, steps=120),
        InductiveGranger(prototypes=1, hidden=4, steps=50, learning_rate=0.05),
        PcmciPlus(lags_count=2),
    ],
    ids=lambda one: type(one).__name__,
)
def test_strong_lagged_effects_are_seen_with_their_direction(baseline):
    import torch

    torch.set_num_threads(1)
    found = baseline.score_edges(STRONG)
    score = found.score * ~np.eye(3, dtype=bool)
    assert (score.reshape(2, -1).argmax(1) == 2).all() and found.present[:, 0, 2].all()  # cause -> effect
    assert not found.present[:, STRONG.allowed].all()


def test_descent_with_a_group_lasso_ends_where_convex_theory_says():
    import torch

    target = torch.tensor([[[[2.0, 0.0], [0.3, 0.4]], [[0.0, 1.0], [0.0, 0.0]]]])  # (1 shop, 2, 2 sources, 2)
    start = [torch.ones_like(target)]
    found = descend(start, lambda w: 0.5 * ((w[0] - target) ** 2).sum((2, 3)), 0.6, 8.0, 100)[0]
    expected = torch.tensor(
        [[[[1.4, 0.0], [0.0, 0.0]], [[0.0, 0.4], [0.0, 0.0]]]]
    )  # norms less .6, or nothing
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)  # a first step of 8 would diverge


def test_pcmci_plus_says_what_it_needs(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tigramite.pcmci", None)
    with pytest.raises(ImportError, match=r"mediamix\[pcmci\]"):
        PcmciPlus().score_edges(STRONG)
