"""Torch copy of carryover_kernels.py, for gradients; formulas, shapes and units stand there.

Domains are the caller's affair and not checked. Parameters (...) are tensors inside their domains, ends excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import pad


def geometric_kernel(decay: Tensor, max_lag: int, normalised: bool = True) -> Tensor:
    """As the reference; (..., L + 1)."""
    return _finished(decay[..., None] ** _lags(decay, max_lag), normalised)


def delayed_kernel(decay: Tensor, delay: Tensor, max_lag: int, normalised: bool = True) -> Tensor:
    """As the reference; (..., L + 1)."""
    distance = (_lags(decay, max_lag) - delay[..., None]) ** 2
    return _finished(decay[..., None] ** distance, normalised)


def binomial_kernel(decay: Tensor, max_lag: int, normalised: bool = True) -> Tensor:
    """As the reference; (..., L + 1)."""
    remaining = 1.0 - _lags(decay, max_lag) / (max_lag + 1)
    return _finished(remaining ** (1.0 / decay[..., None] - 1.0), normalised)


def weibull_pdf_kernel(shape: Tensor, scale: Tensor, max_lag: int, normalised: bool = True) -> Tensor:
    """As the reference; (..., L + 1)."""
    shape, scale = shape[..., None], scale[..., None]
    u = (_lags(shape, max_lag) + 1.0) / scale
    return _finished(shape / scale * u ** (shape - 1.0) * torch.exp(-(u**shape)), normalised)


def weibull_cdf_kernel(shape: Tensor, scale: Tensor, max_lag: int, normalised: bool = True) -> Tensor:
    """As the reference; (..., L + 1). Lag 0 is 1 without a power of 0, whose gradient is not a number."""
    lags = _lags(shape, max_lag)
    hazard = (lags.clamp(min=1.0) / scale[..., None]) ** shape[..., None] * (lags > 0)
    return _finished(torch.exp(-torch.cumsum(hazard, dim=-1)), normalised)


def carry_over(exposures: Tensor, kernel: Tensor) -> Tensor:
    """sum_l w_l x_{t-l}: exposures (..., T) and kernel (..., L + 1), leading axes broadcast; (..., T)."""
    lags = kernel.shape[-1]
    windows = pad(exposures, (lags - 1, 0)).unfold(-1, lags, 1)  # (..., T, L + 1), oldest first
    return (windows * kernel.flip(-1)[..., None, :]).sum(dim=-1)


KERNELS: Mapping[str, Callable[..., Tensor]] = {
    "geometric": geometric_kernel,
    "delayed": delayed_kernel,
    "binomial": binomial_kernel,
    "weibull_pdf": weibull_pdf_kernel,
    "weibull_cdf": weibull_cdf_kernel,
}


def _lags(like: Tensor, max_lag: int) -> Tensor:
    return torch.arange(max_lag + 1, dtype=like.dtype, device=like.device)


def _finished(weights: Tensor, normalised: bool) -> Tensor:
    return weights / weights.sum(dim=-1, keepdim=True) if normalised else weights
