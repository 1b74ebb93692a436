"""The integrated-out linear part drawn back: one exact draw of its normal posterior for each kept parameter draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from models.response.density import Evaluation, ResponseDensity
from models.response.gaussian import LinearPosterior, Rows


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorDraws:
    """K draws of everything; J markets, T periods, C channels, Q common columns, P kernel and curve parameters.

    curve (K, C, P): parameters in the order of problem.layout.transforms; scale (K, C, J): from curve to column
    effect (K, J, C): market's ROI, share of KPI or coefficient; mean_effect (K, C): mean over markets, these or others
    level, trend (K, J): share of KPI, and a year; common (K, Q): coefficients of the common columns; shock (K, T), 0
    without shocks; noise (K, J): sd, share of KPI; shock_sd, shock_memory (K,)
    """

    curve: np.ndarray
    scale: np.ndarray
    effect: np.ndarray
    mean_effect: np.ndarray
    level: np.ndarray
    trend: np.ndarray
    common: np.ndarray
    shock: np.ndarray
    noise: np.ndarray
    shock_sd: np.ndarray
    shock_memory: np.ndarray

    def __len__(self) -> int:
        return len(self.effect)


def draw_back(
    density: ResponseDensity,
    parameters: np.ndarray,
    rng: np.random.Generator,
    tell: Callable[[float], None] = lambda share: None,
) -> PosteriorDraws:
    """parameters (K, d): draws on the sampler's scale. tell: share done."""
    found: dict[str, list] = {name: [] for name in PosteriorDraws.__dataclass_fields__}
    for k, x in enumerate(parameters):
        at = density.evaluate(x)
        own, common = draw_linear(at.posterior, at.rows, rng)
        for name, value in _named(density, at, own, common).items():
            found[name].append(value)
        if k % 100 == 99:
            tell((k + 1) / len(parameters))
    return PosteriorDraws(**{name: np.array(values) for name, values in found.items()})


def draw_linear(
    posterior: LinearPosterior, rows: Rows | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One draw of the coefficients: own (J, P) and common (W + Q,), shocks first.

    Further rows are conditioned on by moving a draw made without them (Matheron's rule).
    """
    markets, width = posterior.own_mean.shape
    size = len(posterior.common_mean)
    common = linalg.solve_triangular(posterior.common_root, rng.standard_normal(size), lower=True, trans="T")
    root = np.linalg.cholesky(posterior.own_inverse)
    own = np.einsum("jpr,jr->jp", root, rng.standard_normal((markets, width))) - posterior.half @ common
    if rows is not None and posterior.rows is not None:
        seen = np.einsum("njp,jp->n", rows.own, own) + rows.common @ common[size - rows.common.shape[1] :]
        seen = seen + rng.standard_normal(len(seen))
        own = own - np.einsum("n,njp->jp", seen, posterior.rows.gain_own)
        common = common - seen @ posterior.rows.gain_common
    return posterior.own_mean + own, posterior.common_mean + common


def _named(
    density: ResponseDensity, at: Evaluation, own: np.ndarray, common: np.ndarray
) -> dict[str, np.ndarray | float]:
    """Coefficients in the units of PosteriorDraws."""
    problem, layout, values = density.problem, density.problem.layout, at.values
    markets, periods = problem.outcome.shape
    fixed = problem.common.shape[2]
    shocks = periods if at.shocks is not None else 0
    mean = at.mean.copy()
    free = np.flatnonzero(~problem.is_positive)
    mean[free] += problem.free_sd[free] * common[shocks + fixed :]
    effect = np.tile(mean, (markets, 1))
    if len(at.spread):
        effect += own[:, density.first_channel :] * at.spread
    has_trend = density.first_channel == 2
    return {
        "curve": values[layout.curves].reshape(len(mean), -1),
        "scale": at.scale,
        "effect": effect,
        "mean_effect": mean,
        "level": 1.0 + problem.config.level_sd * own[:, 0],
        "trend": own[:, 1] * values[layout.trend_spread] if has_trend else np.zeros(markets),
        "common": common[shocks : shocks + fixed],
        "shock": common[:shocks] if shocks else np.zeros(periods),
        "noise": at.noise,
        "shock_sd": at.shocks.sd if at.shocks is not None else 0.0,
        "shock_memory": at.shocks.memory if at.shocks is not None else 0.0,
    }
