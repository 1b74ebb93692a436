"""Torch copy of saturation.py, for gradients; formulas and units stand there. Domains are the caller's affair.

Powers are taken of positive numbers only and 0 put in their place at 0, where a power's gradient is not a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def _power(x: Tensor, exponent: Tensor) -> Tensor:
    is_positive = x > 0
    powered = torch.exp(exponent * torch.log(torch.where(is_positive, x, 1.0)))
    return torch.where(is_positive, powered, 0.0)


def _hill(x: Tensor, half: Tensor, slope: Tensor) -> Tensor:
    powered = _power(x / half, slope)
    return powered / (1.0 + powered)


SATURATIONS: Mapping[str, Callable[..., Tensor]] = {
    "logistic": lambda x, rate: torch.tanh(0.5 * rate * x),
    "hill": _hill,
    "tanh": lambda x, scale: torch.tanh(x / scale),
    "michaelis_menten": lambda x, half: x / (x + half),
    "log": lambda x, scale: torch.log1p(x / scale),
    "root": _power,
}
