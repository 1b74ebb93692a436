"""f_c(adstock) of every channel, and back: from derivatives by f to derivatives by kernel and curve parameters.

Exposures do not change during a fit, so adstock is one matrix product with the lagged exposures, and so is its reverse.
Kernels have few weights: their derivatives by parameters are central differences of the reference, good to ten digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.response.curve_slopes import CURVES
from models.transforms.carryover_kernels import KERNELS

STEP = 1e-5  # of a kernel's parameter, relative to its distance from the ends of its interval


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """One forward pass: adstock, values and their derivatives (C, R, T), and what the way back needs."""

    adstock: np.ndarray
    values: np.ndarray
    by_adstock: np.ndarray
    by_parameter: tuple[np.ndarray, ...]
    kernel_slopes: np.ndarray


class ChannelCurves:
    """Curves of rows of exposures (C channels, R rows, T periods), in the model's unit."""

    def __init__(self, exposures: np.ndarray, kernel: str, saturation: str, max_lag: int) -> None:
        channels, rows, periods = exposures.shape
        self.shape = exposures.shape
        lags = min(max_lag + 1, periods)
        self._kernel, self._curve = KERNELS[kernel], CURVES[saturation]
        self.kernel_parameters = len(self._kernel.parameters)
        self._max_lag, self._lags = max_lag, lags
        lagged = np.zeros((channels, lags, rows, periods))
        for lag in range(lags):
            lagged[:, lag, :, lag:] = exposures[..., : periods - lag]
        self._lagged = lagged.reshape(channels, lags, rows * periods)

    def forward(self, parameters: np.ndarray) -> Curves:
        """parameters (C, P): of the kernel, then of the curve. ValueError where the kernel refuses them."""
        weights, slopes = self._weights(parameters[:, : self.kernel_parameters])
        adstock = np.matmul(weights[:, None, :], self._lagged).reshape(self.shape)
        others = [p[:, None, None] for p in parameters[:, self.kernel_parameters :].T]
        values, by_adstock, by_parameter = self._curve(adstock, *others)
        return Curves(adstock, values, by_adstock, by_parameter, slopes)

    def backward(self, curves: Curves, by_value: np.ndarray) -> np.ndarray:
        """Derivatives by the parameters (C, P) from those by the values (C, R, T)."""
        channels = self.shape[0]
        by_adstock = (by_value * curves.by_adstock).reshape(channels, -1, 1)
        by_weight = np.matmul(self._lagged, by_adstock)[..., 0]
        by_kernel = np.einsum("cl,clp->cp", by_weight, curves.kernel_slopes)
        by_curve = [np.einsum("crt,crt->c", by_value, one) for one in curves.by_parameter]
        return np.concatenate([by_kernel, *(one[:, None] for one in by_curve)], axis=1)

    def _weights(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights (C, lags) and their derivatives (C, lags, kernel parameters)."""
        count = parameters.shape[1]
        tried = np.repeat(parameters[None], 2 * count + 1, axis=0)
        steps = np.empty_like(parameters)
        for p, domain in enumerate(self._kernel.parameters):
            upper = self._max_lag if domain.name == "delay" else domain.upper
            steps[:, p] = STEP * np.minimum(parameters[:, p] - domain.lower, upper - parameters[:, p])
            tried[1 + 2 * p, :, p] += steps[:, p]
            tried[2 + 2 * p, :, p] -= steps[:, p]
        found = self._kernel.weights(*np.moveaxis(tried, -1, 0), self._max_lag)[..., : self._lags]
        differences = (found[1::2] - found[2::2]) / (2.0 * steps.T[:, :, None])
        return found[0], np.moveaxis(differences, 0, -1)
