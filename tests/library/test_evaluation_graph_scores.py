import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.evaluation.graph_scores import (
    lag_and_sign_recovery,
    reliability,
    score_probabilities,
    score_ranking,
    structure_recovery,
)

ALLOWED = ~np.eye(3, dtype=bool)


def by_hand():
    graph = np.zeros((2, 3, 3), dtype=bool)
    graph[0, 0, 1] = graph[1, 2, 0] = True
    probability = np.full((2, 3, 3), 0.1)
    probability[0, 0, 1], probability[0, 1, 2] = 0.6, 0.8  # the true edge comes second of six
    probability[1, 2, 0] = 0.9
    return probability, graph


def test_figures_counted_by_hand():
    probability, graph = by_hand()
    probability[:, range(3), range(3)] = 1.0  # a node with itself is never scored
    scores = score_probabilities(probability, graph, ALLOWED)
    assert scores.auroc_pooled == pytest.approx((9 + 10) / 20)
    assert scores.auroc_per_shop == pytest.approx((4 / 5 + 1) / 2)
    assert scores.accuracy == pytest.approx(11 / 12) and scores.all_absent == pytest.approx(10 / 12)
    assert scores.brier == pytest.approx((0.4**2 + 0.8**2 + 0.1**2 + 9 * 0.1**2) / 12)
    assert scores.calibration_error == pytest.approx((9 * 0.1 + 0.4 + 0.8 + 0.1) / 12)


def test_transposed_edges_score_worse():
    probability, graph = by_hand()
    assert score_probabilities(probability.transpose(0, 2, 1), graph, ALLOWED).auroc_pooled < 0.6


def test_calibrated_probabilities_have_small_error_and_sharpened_ones_have_not():
    rng = np.random.default_rng(0)
    probability = rng.random((400, 3, 3))
    graph = rng.random(probability.shape) < probability
    assert score_probabilities(probability, graph, ALLOWED).calibration_error < 0.04
    assert score_probabilities((probability > 0.5) * 1.0, graph, ALLOWED).calibration_error > 0.2
    table = reliability(probability, graph, ALLOWED)
    assert table["pairs_count"].sum() == 400 * 6 and len(table) == 10
    assert table["stated"].between(table["lowest"], table["highest"]).all()


def test_ranking_knows_no_probabilities_and_a_panel_without_edges_no_ranking():
    probability, graph = by_hand()
    scores = score_ranking(np.log(probability), graph, ALLOWED)
    assert scores.auroc_pooled == pytest.approx(0.95) and np.isnan([scores.accuracy, scores.brier]).all()
    assert score_ranking(probability, graph, ALLOWED, present=graph).accuracy == 1
    assert np.isnan(score_ranking(probability, np.zeros_like(graph), ALLOWED).auroc_pooled)
    with pytest.raises(ValueError, match="belongs there"):
        score_ranking(probability[:, :2], graph, ALLOWED)


def test_structures_are_compared_up_to_their_names():
    one_hot = np.eye(4)[[2, 2, 0, 0]]
    assert structure_recovery(one_hot, np.array([7, 7, 1, 1])) == {
        "structures_found": 2,
        "structures_true": 2,
        "adjusted_rand_index": 1,
    }
    assert structure_recovery(one_hot, np.array([7, 1, 7, 1]))["adjusted_rand_index"] < 0.1


def test_lags_and_signs_are_judged_on_true_edges():
    _, graph = by_hand()
    lag, sign = np.full(graph.shape, 9.0), np.full(graph.shape, -1.0)
    lag[0, 0, 1], sign[0, 0, 1] = 2.0, 0.8
    true_lag, true_sign = np.where(graph, 3.0, np.nan), np.where(graph, 1.0, np.nan)
    found = lag_and_sign_recovery(lag, sign, true_lag, true_sign, graph)
    assert found == {"lag_error": (1 + 6) / 2, "lag_error_of_mean": 0, "sign_agreement": 0.5}


def test_auroc_is_sklearns_with_ties():
    rng = np.random.default_rng(1)
    score, graph = rng.integers(0, 4, (5, 6, 6)) / 4, rng.random((5, 6, 6)) < 0.3
    allowed = ~np.eye(6, dtype=bool)
    found = score_ranking(score, graph, allowed)
    assert found.auroc_pooled == pytest.approx(
        roc_auc_score(graph[:, allowed].ravel(), score[:, allowed].ravel())
    )
    each = [roc_auc_score(g[allowed], s[allowed]) for g, s in zip(graph, score, strict=True)]
    assert found.auroc_per_shop == pytest.approx(np.mean(each))
