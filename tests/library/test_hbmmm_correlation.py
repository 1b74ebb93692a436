"""Correlation values: factor, gradients, the LKJ density."""

import numpy as np
import pytest
from scipy import integrate

from models.hbmmm import correlation

RNG_SEED = 3


def differences(function, z, step=1e-6):
    return np.array([(function(z + step * e) - function(z - step * e)) / (2 * step) for e in np.eye(len(z))])


def test_the_factor_is_that_of_a_correlation_matrix():
    z = np.random.default_rng(RNG_SEED).normal(0, 0.8, 6)
    factor = correlation.cholesky_factor(z, 4)
    np.testing.assert_allclose(np.diag(factor @ factor.T), 1.0, rtol=1e-12)
    assert (np.diag(factor) > 0).all() and np.triu(factor, 1).sum() == 0


def test_with_two_slopes_the_value_is_the_correlation():
    factor = correlation.cholesky_factor(np.array([np.arctanh(-0.4)]), 2)
    assert (factor @ factor.T)[0, 1] == pytest.approx(-0.4)


def test_gradients_agree_with_differences():
    rng = np.random.default_rng(RNG_SEED)
    z, along = rng.normal(0, 0.7, 6), np.tril(rng.normal(size=(4, 4)))
    found = correlation.cholesky_gradient(z, correlation.cholesky_factor(z, 4), along)
    expected = differences(lambda v: (along * correlation.cholesky_factor(v, 4)).sum(), z)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    for function in (correlation.log_prior, correlation.log_prior_ratio):
        expected = differences(lambda v, f=function: f(v, 4, 2.0)[0], z)
        np.testing.assert_allclose(function(z, 4, 2.0)[1], expected, atol=1e-8)


def test_the_prior_integrates_to_one():
    area, _ = integrate.quad(lambda v: np.exp(correlation.log_prior(np.array([v]), 2, 1.7)[0]), -12, 12)
    assert area == pytest.approx(1.0, abs=1e-8)


def test_the_prior_is_lkj_on_the_correlation_matrix():
    """log density of z less log |d correlations / d z| is (eta - 1) log det R up to a constant."""
    rng, eta, constants = np.random.default_rng(RNG_SEED), 2.5, []
    for _ in range(4):
        z = rng.normal(0, 0.6, 3)

        def correlations(v):
            factor = correlation.cholesky_factor(v, 3)
            return (factor @ factor.T)[np.tril_indices(3, -1)]

        jacobian = np.array(
            [(correlations(z + 1e-6 * e) - correlations(z - 1e-6 * e)) / 2e-6 for e in np.eye(3)]
        )
        factor = correlation.cholesky_factor(z, 3)
        log_det = 2 * np.log(np.diag(factor)).sum()
        density = correlation.log_prior(z, 3, eta)[0] - np.linalg.slogdet(jacobian)[1]
        constants.append(density - (eta - 1) * log_det)
    np.testing.assert_allclose(constants, constants[0], atol=1e-7)


def test_flipping_signs_keeps_the_covariance():
    z, scale = np.random.default_rng(RNG_SEED).normal(0, 0.7, 6), np.array([1.0, -2.0, 0.5, -0.3])

    def covariance(scales, values):
        factor = scales[:, None] * correlation.cholesky_factor(values, 4)
        return factor @ factor.T

    flipped = correlation.flip_signs(z, np.sign(scale))
    np.testing.assert_allclose(covariance(np.abs(scale), flipped), covariance(scale, z), atol=1e-12)
