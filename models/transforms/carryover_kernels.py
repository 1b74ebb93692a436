"""Carry-over as a kernel: what share of a period's exposure acts how many periods later. The NumPy reference.

    a_t = sum_{l=0}^{L} w_l x_{t-l},   x before the first period = 0

L is max_lag, the number of *earlier* periods (other tools' l_max counts the own one too: L + 1). Normalised (default),
w sums to 1, so that adstock has the unit of the exposures and one unit acts in full, if late; otherwise w_0 and the sum
are as each formula says. In normalised form exposures before the first period are missing from the first L periods.

Parameters may be arrays: every kernel takes (...) and returns (..., L + 1). Copies for gradients, held to this file by
tests: carryover_kernels_pytensor.py, carryover_kernels_torch.py. The geometric adstock of unlimited memory, which
consumer models use, is adstock.geometric_adstock.

Sources: Jin et al. 2017, section 2.1 (geometric, delayed); Meridian's documentation of adstock_decay_spec (binomial);
Robyn (Weibull; the density here is not rescaled to reach from 0 to 1, which would leave one lag without weight).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter's name and the interval it must lie in, ends included where said; unit in words."""

    name: str
    lower: float
    upper: float
    includes_lower: bool
    includes_upper: bool
    unit: str

    def require(self, values: np.ndarray | float) -> np.ndarray:
        """The values as floats; ValueError where one lies outside the interval or is not a number."""
        values = np.asarray(values, dtype=float)
        above = values >= self.lower if self.includes_lower else values > self.lower
        below = values <= self.upper if self.includes_upper else values < self.upper
        if not (above & below).all():
            wrong = values[~(above & below)].ravel()[0]
            ends = ("[" if self.includes_lower else "(") + f"{self.lower:g}, {self.upper:g}"
            raise ValueError(
                f"{self.name} is {wrong}; it ({self.unit}) must lie in {ends}{']' if self.includes_upper else ')'}."
            )
        return values


DECAY = Parameter("decay", 0.0, 1.0, True, False, "share left after one period")
DELAY = Parameter("delay", 0.0, np.inf, True, False, "periods until the peak")
SPREAD = Parameter("decay", 0.0, 1.0, True, True, "0 acts at once, 1 evenly over the window")
SHAPE = Parameter("shape", 0.0, np.inf, False, False, "Weibull shape")
SCALE = Parameter("scale", 0.0, np.inf, False, False, "Weibull scale, periods")


def geometric_kernel(decay: np.ndarray | float, max_lag: int, normalised: bool = True) -> np.ndarray:
    """w_l = decay^l. Unnormalised: w_0 = 1, sum (1 - decay^(L+1)) / (1 - decay).

    decay (...) in [0, 1), 0 is no carry-over; returns (..., L + 1). ValueError for other decays or a negative max_lag.
    """
    decay = DECAY.require(decay)[..., None]
    return _finished(decay ** _lags(max_lag), normalised)


def delayed_kernel(
    decay: np.ndarray | float, delay: np.ndarray | float, max_lag: int, normalised: bool = True
) -> np.ndarray:
    """w_l = decay^((l - delay)^2): the effect peaks `delay` periods later, with weight 1 there.

    decay (...) in [0, 1), delay (...) in [0, max_lag], periods; returns (..., L + 1). ValueError for values outside,
    and for decay 0 with a delay between two periods, where no period has any weight.
    """
    decay, delay = DECAY.require(decay)[..., None], DELAY.require(delay)[..., None]
    if (delay > max_lag).any():
        raise ValueError(
            f"delay is {delay.max():g} with max_lag {max_lag}: the peak lies outside the window. Raise max_lag."
        )
    weights = decay ** ((_lags(max_lag) - delay) ** 2)
    if not (weights.sum(axis=-1) > 0).all():
        raise ValueError(
            "decay is 0 with a delay between two periods, so that no period has weight; give a decay above 0."
        )
    return _finished(weights, normalised)


def binomial_kernel(decay: np.ndarray | float, max_lag: int, normalised: bool = True) -> np.ndarray:
    """w_l = (1 - l / (L + 1))^(1 / decay - 1): reaches 0 just after the window, however long. w_0 = 1.

    decay (...) in [0, 1], 0 is no carry-over, 1 even weights, 1/2 a straight line; returns (..., L + 1).
    """
    decay = SPREAD.require(decay)[..., None]
    remaining = 1.0 - _lags(max_lag) / (max_lag + 1)
    exponent = np.divide(1.0, decay, out=np.full(decay.shape, np.inf), where=decay > 0) - 1.0
    return _finished(remaining**exponent, normalised)


def weibull_pdf_kernel(
    shape: np.ndarray | float, scale: np.ndarray | float, max_lag: int, normalised: bool = True
) -> np.ndarray:
    """w_l = Weibull density at l + 1 periods. Unnormalised: the density itself, whose sum is near 1 for long windows.

    shape (...), scale (...) above 0, scale in periods; shape above 1 peaks later. Returns (..., L + 1).
    """
    shape, scale = SHAPE.require(shape)[..., None], SCALE.require(scale)[..., None]
    u = (_lags(max_lag) + 1.0) / scale
    return _finished(shape / scale * u ** (shape - 1.0) * np.exp(-(u**shape)), normalised)


def weibull_cdf_kernel(
    shape: np.ndarray | float, scale: np.ndarray | float, max_lag: int, normalised: bool = True
) -> np.ndarray:
    """w_l = prod_{k=1}^{l} (1 - F(k)), F the Weibull distribution: what is left shrinks at a changing rate. w_0 = 1.

    shape (...), scale (...) above 0, scale in periods. Returns (..., L + 1).
    """
    shape, scale = SHAPE.require(shape)[..., None], SCALE.require(scale)[..., None]
    return _finished(np.exp(-np.cumsum((_lags(max_lag) / scale) ** shape, axis=-1)), normalised)


def carry_over(exposures: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """sum_l w_l x_{t-l} along the last axis: exposures (..., T) and kernel (..., L + 1), leading axes broadcast.

    Returns (..., T), in the unit of the exposures for a normalised kernel.
    """
    exposures, kernel = np.asarray(exposures, dtype=float), np.asarray(kernel, dtype=float)
    shape = np.broadcast_shapes(exposures.shape[:-1], kernel.shape[:-1])
    periods = exposures.shape[-1]
    carried = np.zeros((*shape, periods))
    for lag in range(min(kernel.shape[-1], periods)):
        carried[..., lag:] += kernel[..., lag : lag + 1] * exposures[..., : periods - lag]
    return carried


@dataclass(frozen=True, slots=True)
class Kernel:
    """A carry-over by name: its parameters in the order `weights` takes them, before max_lag and normalised."""

    parameters: tuple[Parameter, ...]
    weights: Callable[..., np.ndarray]


KERNELS: Mapping[str, Kernel] = {
    "geometric": Kernel((DECAY,), geometric_kernel),
    "delayed": Kernel((DECAY, DELAY), delayed_kernel),
    "binomial": Kernel((SPREAD,), binomial_kernel),
    "weibull_pdf": Kernel((SHAPE, SCALE), weibull_pdf_kernel),
    "weibull_cdf": Kernel((SHAPE, SCALE), weibull_cdf_kernel),
}


def _lags(max_lag: int) -> np.ndarray:
    if max_lag < 0:
        raise ValueError(f"max_lag is {max_lag}; it counts earlier periods and must be 0 or more.")
    return np.arange(max_lag + 1, dtype=float)


def _finished(weights: np.ndarray, normalised: bool) -> np.ndarray:
    if not normalised:
        return weights
    total = weights.sum(axis=-1, keepdims=True)
    if not (total > 0).all():
        raise ValueError(
            "a kernel has no weight left within max_lag (it underflows); lengthen the scale or raise max_lag."
        )
    return weights / total
