"""R-hat and effective sample sizes against ArviZ, and what they must notice."""

import warnings

import numpy as np
import pytest

from models.hbmmm.diagnostics import e_bfmi, ess_bulk, ess_tail, r_hat


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    """(chain, draw, d): independent, autocorrelated, alternating, heavy-tailed, one chain shifted."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4, 500, 5))
    out = noise.copy()
    for t in range(1, 500):
        out[:, t, 1] = 0.9 * out[:, t - 1, 1] + noise[:, t, 1]
        out[:, t, 2] = -0.5 * out[:, t - 1, 2] + noise[:, t, 2]
    out[..., 3] = rng.standard_cauchy((4, 500))
    out[0, :, 4] += 1.0
    return out


def test_they_agree_with_arviz(draws):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing")
        import arviz
    assert e_bfmi(draws[..., 1]) == pytest.approx(float(np.min(arviz.bfmi(draws[..., 1]))), rel=1e-9)
    for d in range(draws.shape[-1]):
        one = draws[..., d]
        assert r_hat(draws[None])[d] == pytest.approx(float(arviz.rhat(one)), rel=1e-6)
        assert ess_bulk(draws)[d] == pytest.approx(float(arviz.ess(one, method="bulk")), rel=1e-6)
        assert ess_tail(draws)[d] == pytest.approx(float(arviz.ess(one, method="tail")), rel=1e-6)


def test_a_shifted_chain_shows_also_among_healthy_data_sets(draws):
    healthy = np.random.default_rng(1).normal(size=(4, 500, 5))
    assert r_hat(np.stack([healthy, healthy, healthy]))[4] < 1.01
    assert r_hat(np.stack([healthy, draws, healthy]))[4] > 1.02
