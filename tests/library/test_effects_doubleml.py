"""Agreement with DoubleML on the same folds: its published numbers for a data set that no random stream can change.

DOUBLEML holds what DoubleML 0.11.4 (scikit-learn 1.9.1) gives for `data()`: DoubleMLIRM(DoubleMLData(frame, "y", "d"),
LinearRegression(), LogisticRegression(C=1e6, max_iter=500, tol=1e-8), n_folds=4, score="ATE" or "ATTE",
draw_sample_splitting=False, ps_processor_config=PSProcessorConfig(clipping_threshold=0.01)) after
set_sample_splitting to the folds below and fit(): coef; of gate() the coef by group; of sensitivity_analysis() the
square root of sigma2 x nu2 and the robustness value; and se of the same model with cluster_cols the consumer.
"""

import numpy as np
import pytest
from scipy.special import expit, ndtri
from sklearn.linear_model import LinearRegression, LogisticRegression

from models.effects.cross_fitting import cross_fit
from models.effects.doubly_robust import ExposureScores, estimate_effect, exposure_scores
from models.effects.segment_effects import segment_effects
from models.effects.sensitivity import estimate_robustness, score_bias_scale

CONSUMERS, MONTHS, FOLDS = 120, 5, 4
SEGMENTS = np.where(np.arange(CONSUMERS) % 3 == 0, "a", "b").astype(object)
DOUBLEML = {
    "ate_exposed": {
        "coef": 19.956338335283643,
        "clustered_se": 0.8792780454383747,
        "bias_scale": 22.82430138043062,
        "robustness_value": 0.5720085451600506,
    },
    "att_exposed": {
        "coef": 23.116409545001044,
        "clustered_se": 1.0230897134680645,
        "bias_scale": 22.62471861246604,
        "robustness_value": 0.6253726008956717,
    },
}
DOUBLEML_GATE = {"a": 18.25300449957485, "b": 20.808005253138028}
RELATIVE = 1e-6  # both solve the logistic regression to about 1e-8
ROBUSTNESS_RELATIVE = 1e-5  # DoubleML finds the value by search
# 5,000 draws give a standard error to 1 %; asymptotic and resampled ones of 120 consumers differ by about as much
ERROR_RELATIVE = 0.05


def data():
    """Features, treatment, GMV, consumers, folds: quasi-random (Weyl) sequences in the place of draws."""
    k = np.arange(1, CONSUMERS * MONTHS + 1)
    x, noise = (ndtri(np.modf(k * step)[0]) for step in (0.8191725134, 0.7548776662))
    d = np.modf(k * 0.5698402910)[0] < expit(0.8 * x)
    who = (k - 1) // MONTHS
    y = 50 + 10 * x + 20 * d + 8 * d * x + 6 * np.sin(who) + 10 * noise
    return x[:, None], d, y, who, who % FOLDS


def scored(fold: np.ndarray) -> ExposureScores:
    features, d, y, who, _ = data()
    nuisances = cross_fit(
        features,
        d,
        y,
        fold,
        propensity_learner=LogisticRegression(C=1e6, max_iter=500, tol=1e-8),
        outcome_learner=LinearRegression(),
    )
    return exposure_scores(d, y, who, nuisances, trimming_threshold=0.0, clipping_threshold=0.01)


@pytest.fixture(scope="module")
def scores() -> ExposureScores:
    return scored(data()[-1])


@pytest.mark.parametrize("estimand", DOUBLEML)
def test_estimates_and_clustered_errors_are_doublemls(scores: ExposureScores, estimand: str):
    reference = DOUBLEML[estimand]
    found = estimate_effect(scores, "aipw", estimand, np.random.default_rng(1), draws_count=5_000)
    assert found.estimate == pytest.approx(reference["coef"], rel=RELATIVE)
    assert found.standard_error == pytest.approx(reference["clustered_se"], rel=ERROR_RELATIVE)
    reach = 1.96 * reference["clustered_se"]
    assert found.interval_lower == pytest.approx(reference["coef"] - reach, abs=0.15 * reach)
    assert found.interval_upper == pytest.approx(reference["coef"] + reach, abs=0.15 * reach)


@pytest.mark.parametrize("estimand", DOUBLEML)
def test_sensitivity_is_doublemls(scores: ExposureScores, estimand: str):
    reference = DOUBLEML[estimand]
    found = estimate_robustness(score_bias_scale(scores, estimand), reference["coef"], 1.0, 40.0)
    assert found["bias_scale"] == pytest.approx(reference["bias_scale"], rel=RELATIVE)
    assert found["robustness_value"] == pytest.approx(reference["robustness_value"], rel=ROBUSTNESS_RELATIVE)


def test_segment_effects_are_doublemls_gate(scores: ExposureScores):
    names = {"channel_id": "tv", "segment_name": "third", "unit": "USD", "method": "aipw_lagged"}
    found = segment_effects(scores, SEGMENTS, np.random.default_rng(2), draws_count=50, **names)
    means = found.set_index("segment_value")["mean"].to_dict()
    assert means == pytest.approx(DOUBLEML_GATE, rel=RELATIVE)


def test_other_folds_give_other_numbers():
    """Control: the agreement above is one of folds, not of a formula that any split would satisfy."""
    *_, who, fold = data()
    other = scored((fold + who // 7) % FOLDS)
    found = estimate_effect(other, "aipw", "ate_exposed", np.random.default_rng(3))
    gap = abs(found.estimate - DOUBLEML["ate_exposed"]["coef"])
    assert 100 * RELATIVE * found.estimate < gap < found.standard_error
