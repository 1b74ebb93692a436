"""PyTensor copy of carryover_kernels.py, for gradients; formulas, shapes and units stand there.

Domains are the priors' affair and not checked. Parameters (...) are tensors inside their domains, ends excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytensor.tensor as pt


def geometric_kernel(decay: Any, max_lag: int, normalised: bool = True) -> Any:
    """As the reference; (..., L + 1)."""
    return _finished(_column(decay) ** _lags(max_lag), normalised)


def delayed_kernel(decay: Any, delay: Any, max_lag: int, normalised: bool = True) -> Any:
    """As the reference; (..., L + 1)."""
    return _finished(_column(decay) ** ((_lags(max_lag) - _column(delay)) ** 2), normalised)


def binomial_kernel(decay: Any, max_lag: int, normalised: bool = True) -> Any:
    """As the reference; (..., L + 1)."""
    remaining = 1.0 - _lags(max_lag) / (max_lag + 1)
    return _finished(remaining ** (1.0 / _column(decay) - 1.0), normalised)


def weibull_pdf_kernel(shape: Any, scale: Any, max_lag: int, normalised: bool = True) -> Any:
    """As the reference; (..., L + 1)."""
    shape, scale = _column(shape), _column(scale)
    u = (_lags(max_lag) + 1.0) / scale
    return _finished(shape / scale * u ** (shape - 1.0) * pt.exp(-(u**shape)), normalised)


def weibull_cdf_kernel(shape: Any, scale: Any, max_lag: int, normalised: bool = True) -> Any:
    """As the reference; (..., L + 1). Lag 0 is 1 without a power of 0, whose gradient is not a number."""
    shape, scale = _column(shape), _column(scale)
    hazard = (np.maximum(_lags(max_lag), 1.0) / scale) ** shape * (_lags(max_lag) > 0)
    return _finished(pt.exp(-pt.cumsum(hazard, axis=-1)), normalised)


def carry_over(exposures: Any, kernel: Any) -> Any:
    """sum_l w_l x_{t-l}: exposures (..., T) with T known when the graph is built, kernel (..., L + 1); (..., T).

    Raises ValueError where T or L is not known before the values are.
    """
    exposures, kernel = pt.as_tensor_variable(exposures), pt.as_tensor_variable(kernel)
    periods, lags = exposures.type.shape[-1], kernel.type.shape[-1]
    if periods is None or lags is None:
        raise ValueError(
            "carry_over needs the number of periods and of lags when the graph is built; pass the exposures as an "
            "array or give their tensor a static shape."
        )
    moved = [
        exposures
        if lag == 0
        else pt.concatenate([pt.zeros_like(exposures[..., :lag]), exposures[..., :-lag]], axis=-1)
        for lag in range(min(lags, periods))
    ]
    lagged = pt.stack(moved, axis=-1)  # (..., T, lags)
    return (lagged * kernel[..., None, : len(moved)]).sum(axis=-1)


KERNELS: Mapping[str, Callable[..., Any]] = {
    "geometric": geometric_kernel,
    "delayed": delayed_kernel,
    "binomial": binomial_kernel,
    "weibull_pdf": weibull_pdf_kernel,
    "weibull_cdf": weibull_cdf_kernel,
}


def _lags(max_lag: int) -> np.ndarray:
    return np.arange(max_lag + 1, dtype=float)


def _column(parameter: Any) -> Any:
    return pt.as_tensor_variable(parameter)[..., None]


def _finished(weights: Any, normalised: bool) -> Any:
    return weights / weights.sum(axis=-1, keepdims=True) if normalised else weights
