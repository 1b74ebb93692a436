"""Which of a consumer's periods are the exposed ones, given how many: by enumeration, by gradient, and in waves."""

from itertools import combinations

import numpy as np
import pytest
from scipy.special import logsumexp

from models.effects import permutation_propensity
from models.effects.permutation_propensity import ConsumerGrid, fit_tilt, permutation_propensities


def enumerated(tilt: np.ndarray, exposed: int) -> tuple[np.ndarray, float]:
    """One consumer: e_t and log e_s by going through all choices of the exposed periods."""
    choices = [np.isin(np.arange(len(tilt)), c) for c in combinations(range(len(tilt)), exposed)]
    logs = np.array([tilt[c].sum() for c in choices])
    total = logsumexp(logs)
    return np.exp(logs - total) @ np.array(choices, dtype=float), float(total)


@pytest.mark.parametrize("cells", [permutation_propensity.CELLS_AT_ONCE, 40])
def test_by_enumeration_over_consumers_of_different_lengths(cells: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(permutation_propensity, "CELLS_AT_ONCE", cells)
    rng = np.random.default_rng(1)
    who = rng.permutation(np.repeat([8, 3, 5, 4], [7, 3, 6, 9]))  # rows in no order
    treatment = rng.random(len(who)) < 0.5
    treatment[who == 3] = [True, False, False]
    tilt = 3 * rng.normal(size=len(who))
    e, logarithm = permutation_propensities(tilt, ConsumerGrid.of(treatment, who))
    total = 0.0
    for i in np.unique(who):
        own = who == i
        expected, log_sum = enumerated(tilt[own], int(treatment[own].sum()))
        np.testing.assert_allclose(e[own], expected, rtol=1e-9)
        assert e[own].sum() == pytest.approx(treatment[own].sum())
        total += log_sum
    assert logarithm == pytest.approx(total, rel=1e-9)


def test_long_panels_with_steep_tilts_stay_finite():
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(5), 300)
    treatment = rng.random(len(who)) < 0.5
    e, logarithm = permutation_propensities(40 * rng.normal(size=len(who)), ConsumerGrid.of(treatment, who))
    assert np.isfinite(logarithm)
    np.testing.assert_allclose(np.bincount(who, e), np.bincount(who, treatment), rtol=1e-8)


def test_the_tilt_is_found_whatever_is_constant_about_consumers():
    """Own log odds of any size cancel; the mode is one: the gradient there is zero."""
    rng = np.random.default_rng(3)
    who, columns = np.repeat(np.arange(800), 8), rng.normal(size=(6_400, 2))
    own = 2 * rng.normal(size=800)
    treatment = rng.random(6_400) < 1 / (1 + np.exp(-own[who] - columns @ [0.7, -0.4]))
    varies = np.isin(np.bincount(who, treatment), np.arange(1, 8))[who]
    who, columns, treatment = who[varies], columns[varies], treatment[varies]
    q, inverse = fit_tilt(columns, treatment, who, 1.0)
    assert np.all(np.abs(q - [0.7, -0.4]) < 3 * np.sqrt(np.diag(inverse)))
    assert np.sqrt(np.diag(inverse)).max() < 0.05
    e = permutation_propensities(columns @ q, ConsumerGrid.of(treatment, who))[0]
    assert np.abs(columns.T @ (treatment - e) - q).max() < 0.05


def test_a_consumer_exposed_in_every_shared_wave_has_nobody_to_be_compared_with():
    """Ten periods, three waves: exposed in one, two or all three of them, e is 1/3, 2/3 and 1 within waves."""
    counts = np.repeat([1, 2, 3], 60)
    treatment = np.zeros((180, 10), dtype=bool)
    rng = np.random.default_rng(4)
    for row, count in zip(treatment, counts, strict=True):
        row[rng.choice([2, 5, 8], count, replace=False)] = True
    wave = np.tile(np.isin(np.arange(10), (2, 5, 8)), 180).astype(float)
    who = np.repeat(np.arange(180), 10)
    columns = (wave - wave.mean())[:, None] / wave.std()
    q, _ = fit_tilt(columns, treatment.ravel(), who, 1.0)
    e = permutation_propensities(columns @ q, ConsumerGrid.of(treatment.ravel(), who))[0]
    for count in (1, 2, 3):
        found = e[(counts[who] == count) & (wave == 1)]
        np.testing.assert_allclose(found, count / 3, atol=0.03)
