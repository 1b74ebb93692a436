"""The noise floor of the funnel shops: forecasts that know everything but the shocks still to come.

The oracle knows graphs, weights, curves, seasons, context and planned spend, and every shock up to the origin. Its mean
over drawn futures is the forecast of smallest expected squared error, so no forecaster can beat it but by luck.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.simulate.funnel_shops import OUTCOME, FunnelWorld, inputs_of, next_values


def oracle_futures(
    funnel: FunnelWorld, origin: int, periods_count: int, draws_count: int, rng: np.random.Generator
) -> np.ndarray:
    """(N, draws, periods, D) values of periods origin, ... in futures drawn given all before; planned spend is known.

    Shocks come in pairs of opposite sign; draws_count is even.
    """
    panel = funnel.panel
    lags = funnel.world.kernel.shape[-1]
    if not lags <= origin <= panel.periods_count - periods_count or draws_count % 2:
        raise ValueError(
            f"Origin {origin}, {periods_count} periods ahead and {draws_count} draws were asked for. {lags} periods "
            f"must lie before the origin, all forecast ones within {panel.periods_count}, and draws are even."
        )
    shops, nodes = panel.shops_count, panel.nodes_count
    known = inputs_of(panel.values[:, origin - lags : origin][:, ::-1], funnel.typical[:, None])
    past = np.repeat(known[:, None], draws_count, axis=1)
    residual = np.repeat(funnel.residual[:, origin - 1][:, None], draws_count, axis=1)
    futures = np.empty((shops, draws_count, periods_count, nodes))
    for step in range(periods_count):
        half = rng.normal(size=(shops, draws_count // 2, nodes))
        residual = funnel.rho * residual + funnel.noise_sd * np.concatenate([half, -half], axis=1)
        values = next_values(funnel, origin + step, past, residual)
        values[..., panel.planned] = panel.values[:, origin + step, panel.planned][:, None]
        futures[:, :, step] = values
        newest = inputs_of(values, funnel.typical[:, None])
        past = np.concatenate([newest[:, :, None], past[:, :, :-1]], axis=2)
    return futures


def noise_floor(
    funnel: FunnelWorld,
    horizons: Sequence[int],
    origins: Sequence[int],
    rng: np.random.Generator,
    draws_count: int = 200,
) -> dict[int, dict[str, float]]:
    """By horizon M: the oracle's squared error of GMV over periods 1, ..., M, mean over shops and origins.

    GMV is standardised per shop by mean and sd of the periods before the first origin. Keys: `mse_mean` over the M
    periods, `mse_sum` over them, `mse_last` of the M-th alone.
    """
    panel = funnel.panel
    before = panel.values[:, : min(origins), OUTCOME]
    scale = before.std(axis=1)[:, None]
    longest = max(horizons)
    squared = []
    for origin in origins:
        mean = oracle_futures(funnel, origin, longest, draws_count, rng)[..., OUTCOME].mean(axis=1)
        truth = panel.values[:, origin : origin + longest, OUTCOME]
        squared.append(((truth - mean) / scale) ** 2)
    by_step = np.mean(squared, axis=(0, 1))
    return {
        horizon: {
            "mse_mean": float(by_step[:horizon].mean()),
            "mse_sum": float(by_step[:horizon].sum()),
            "mse_last": float(by_step[horizon - 1]),
        }
        for horizon in horizons
    }
