"""Saturation curves with all their derivatives in one pass: what the marginal likelihood's gradient needs.

Values are those of models/transforms/saturation.py, held to it by tests; there a derivative costs powers of its own,
here Hill's three outputs share one logarithm and one exponential.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

LEAST = 1e-12  # exposures below it count as none: a logarithm of 0 has no slope

#: (x, parameters...) -> f, df/dx, (df/dparameter, ...), all of x's shape; parameters broadcast against x.
Curve = Callable[..., tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]]


def _hill(x: np.ndarray, half: np.ndarray, slope: np.ndarray):
    is_lit = x > LEAST
    x = np.where(is_lit, x, 1.0)
    logged = np.log(x)
    logged -= np.log(half)
    f = is_lit / (1.0 + np.exp(-slope * logged))
    bent = f * (1.0 - f)
    steep = slope * bent
    return f, steep / x, (-steep / half, bent * logged)


def _root(x: np.ndarray, exponent: np.ndarray):
    is_lit = x > LEAST
    x = np.where(is_lit, x, 1.0)
    logged = np.log(x)
    f = is_lit * np.exp(exponent * logged)
    return f, exponent * f / x, (f * logged,)


def _logistic(x: np.ndarray, rate: np.ndarray):
    f = np.tanh(0.5 * rate * x)
    left = 0.5 * (1.0 - f * f)
    return f, rate * left, (x * left,)


def _tanh(x: np.ndarray, scale: np.ndarray):
    f = np.tanh(x / scale)
    slope = (1.0 - f * f) / scale
    return f, slope, (-x / scale * slope,)


def _michaelis_menten(x: np.ndarray, half: np.ndarray):
    f = x / (x + half)
    slope = (1.0 - f) / (x + half)
    return f, slope, (-x / half * slope,)


def _log(x: np.ndarray, scale: np.ndarray):
    slope = 1.0 / (x + scale)
    return np.log1p(x / scale), slope, (-x / scale * slope,)


CURVES: Mapping[str, Curve] = {
    "logistic": _logistic,
    "hill": _hill,
    "tanh": _tanh,
    "michaelis_menten": _michaelis_menten,
    "log": _log,
    "root": _root,
}
