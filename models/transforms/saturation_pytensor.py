"""PyTensor copy of saturation.py, for gradients; formulas and units stand there. Domains are the priors' affair.

Powers are taken of positive numbers only and 0 put in their place at 0, where a power's gradient is not a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytensor.tensor as pt


def _power(x: Any, exponent: Any) -> Any:
    x = pt.as_tensor_variable(x)
    is_positive = x > 0
    return pt.switch(is_positive, pt.exp(exponent * pt.log(pt.switch(is_positive, x, 1.0))), 0.0)


def _hill(x: Any, half: Any, slope: Any) -> Any:
    powered = _power(x / half, slope)
    return powered / (1.0 + powered)


SATURATIONS: Mapping[str, Callable[..., Any]] = {
    "logistic": lambda x, rate: pt.tanh(0.5 * rate * x),
    "hill": _hill,
    "tanh": lambda x, scale: pt.tanh(x / scale),
    "michaelis_menten": lambda x, half: x / (x + half),
    "log": lambda x, scale: pt.log1p(x / scale),
    "root": _power,
}
