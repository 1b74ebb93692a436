"""Regressions without each fold in turn: parity with scikit-learn's, fitted fold by fold, also on awkward columns."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.effects.cross_fitting import cross_fit
from models.effects.fold_regressions import fold_logistic
from models.effects.rows_design import CHUNK_ROWS, RowsDesign

CLASSIFIER = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-10, max_iter=5_000))
REGRESSOR = make_pipeline(StandardScaler(), Ridge(alpha=1.0))


def world(rows: int = CHUNK_ROWS + 700, seed: int = 1):
    """Columns of all kinds (dummies, one that separates, one constant, one with a large mean), and what follows."""
    rng = np.random.default_rng(seed)
    level = rng.integers(12, size=rows)
    dummies = (level[:, None] == np.arange(1, 12)).astype(float)
    x = rng.normal(size=(rows, 3)) * [1, 5, 0.1] + [0, 1_000, 0]
    features = np.column_stack([x, dummies, np.ones(rows), x[:, 0] * 2])
    d = (rng.random(rows) < expit(0.8 * x[:, 0] + 3 * x[:, 2])) & (level != 4)  # nobody is exposed on level 4
    y = 50 + 10 * x[:, 0] + 20 * d + level + rng.gamma(1.0, 10.0, rows)
    return features, d, y, np.arange(rows) % 400 % 5


def test_agrees_with_scikit_learn_fold_by_fold():
    features, d, y, fold = world()
    ours = cross_fit(features, d, y, fold)
    theirs = cross_fit(features, d, y, fold, propensity_learner=CLASSIFIER, outcome_learner=REGRESSOR)
    np.testing.assert_allclose(ours.propensity_raw, theirs.propensity_raw, atol=2e-6)
    np.testing.assert_allclose(ours.outcome_unexposed, theirs.outcome_unexposed, rtol=1e-7)
    np.testing.assert_allclose(ours.outcome_exposed, theirs.outcome_exposed, rtol=1e-7)


def test_chosen_columns_are_those_columns_alone():
    features, d, y, fold = world(900)
    some = np.array([0, 3, 5])
    chosen, alone = cross_fit(features, d, y, fold, columns=some), cross_fit(features[:, some], d, y, fold)
    for name in ("propensity_raw", "outcome_unexposed", "outcome_exposed"):
        np.testing.assert_allclose(getattr(chosen, name), getattr(alone, name), rtol=1e-10)


def test_a_folds_coefficients_do_not_see_the_fold():
    features, d, _, fold = world(900)
    other = d.copy()
    other[fold == 2] = ~other[fold == 2]
    before, after = (fold_logistic(RowsDesign.of(features), t, fold) for t in (d, other))
    np.testing.assert_allclose(before[2], after[2], atol=1e-4)
    assert np.abs(before[1] - after[1]).max() > 0.1


def test_products_of_chunks_are_those_of_the_whole_design():
    features, _, y, _ = world()
    design = RowsDesign.of(features, np.array([1, 0, 6]))
    columns = features[:, [1, 0, 6]]
    whole = np.column_stack([np.ones(len(y)), (columns - columns.mean(axis=0)) / columns.std(axis=0)])
    np.testing.assert_allclose(design.matrix, whole, atol=1e-9)
    some = np.flatnonzero(y > np.median(y))
    np.testing.assert_allclose(design.gram(rows=some), whole[some].T @ whole[some], rtol=1e-7, atol=1e-5)
    np.testing.assert_allclose(design.gram(y), whole.T @ (whole * y[:, None]), rtol=1e-7, atol=1e-5)
    groups = np.arange(len(y)) % 7
    sums = np.array([(whole * y[:, None])[groups == g].sum(axis=0) for g in range(7)])
    np.testing.assert_allclose(design.group_sums(y, groups), sums, rtol=1e-8, atol=1e-6)


def test_of_collinear_columns_the_first_stays():
    features, _, _, _ = world()
    kept = RowsDesign.of(features).independent_columns(1e-7)
    assert kept[:14].all()
    assert kept[14:].tolist() == [False, False]  # the constant, and twice the first column
    few = RowsDesign.of(features[:5]).independent_columns(1e-7)
    assert few.sum() <= 4


@pytest.mark.parametrize("rows", [0, 1])
def test_designs_of_no_or_one_row_have_sums(rows: int):
    assert RowsDesign.of(np.ones((rows, 2))).gram()[0, 0] == rows
