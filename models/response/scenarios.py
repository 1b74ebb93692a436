"""Forecasts under planned exposures: the KPI of periods after the data, with intervals.

What was shown before the data end carries over into the plan. What the plan leaves behind after its last period is not
part of a forecast; budgets count it (planned_spend.py). Common shocks go on from the last one by their memory;
trends go on as lines, which is an assumption that grows with the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.response.contributions import baseline_at, coefficients, curves_of
from models.response.fit import ResponseFit
from models.response.market_panel import MarketPanel
from models.response.scaling import DAYS_A_YEAR


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """A plan for H periods that follow the panel's last one without a gap; markets, channels as in the panel's order.

    period_starts (H,) dates; intensity (J, H, C), unit of the panel's; controls (J, H, Q) of the fit's controls in
    their own units, None where the fit has none
    """

    period_starts: np.ndarray
    intensity: np.ndarray
    controls: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Draws of H periods: expected (K, J, H) KPI, shocks included; kpi (K, J, H): with noise; contributions
    (K, J, H, C)."""

    expected: np.ndarray
    kpi: np.ndarray
    contributions: np.ndarray
    table: pd.DataFrame


def predict(fit: ResponseFit, scenario: Scenario, seed: int = 0) -> Forecast:
    """table: market_id (None: sum), period_start_date, mean, interval_lower, interval_upper of the KPI itself.

    Raises PanelError for a scenario of other sizes, of periods that do not follow the panel, with exposures that are
    negative or not finite, or without the controls that the fit has.
    """
    _require(fit, scenario)
    rng = np.random.default_rng(seed)
    markets, horizon = len(fit.scaling.market_ids), len(scenario.period_starts)
    history = fit.scaling.exposures(fit.panel.intensity)[..., -max(fit.config.max_lag, 1) :]
    joined = np.concatenate([history, fit.scaling.exposures(scenario.intensity)], axis=2)
    curves, controls = curves_of(fit, joined), _controls(fit, scenario)
    kpi_mean = np.array(fit.scaling.kpi_mean)[:, None]
    expected, kpi, brought = [], [], []
    for k in range(len(fit.draws)):
        values = curves.forward(fit.draws.curve[k]).values[..., -horizon:]
        one = (coefficients(fit, k)[:, :, None] * values).transpose(1, 2, 0)
        shock = _future_shocks(fit, k, horizon, rng)
        mean = baseline_at(fit, k, controls, scenario.period_starts, shock) + one.sum(axis=2)
        noise = kpi_mean * fit.draws.noise[k][:, None] * rng.standard_normal((markets, horizon))
        brought.append(one)
        expected.append(mean)
        kpi.append(mean + noise)
    return Forecast(
        np.array(expected), np.array(kpi), np.array(brought), _table(fit, scenario, np.array(kpi))
    )


def _future_shocks(fit: ResponseFit, draw: int, horizon: int, rng: np.random.Generator) -> np.ndarray:
    last, sd, memory = fit.draws.shock[draw, -1], fit.draws.shock_sd[draw], fit.draws.shock_memory[draw]
    shocks = np.empty(horizon)
    for h in range(horizon):
        last = memory * last + np.sqrt(1.0 - memory**2) * sd * rng.standard_normal()
        shocks[h] = last
    return shocks


def _controls(fit: ResponseFit, scenario: Scenario) -> np.ndarray:
    """Scaled, (J, H, Q)."""
    if scenario.controls is None:
        return np.zeros((*scenario.intensity.shape[:2], 0))
    scaling = fit.scaling
    return (scenario.controls - np.array(scaling.control_mean)) / np.array(scaling.control_sd)


def _require(fit: ResponseFit, scenario: Scenario) -> None:
    shape = (len(fit.scaling.market_ids), len(scenario.period_starts), len(fit.scaling.channel_ids))
    if scenario.intensity.shape != shape:
        raise PanelError(
            f"the scenario's intensity has shape {scenario.intensity.shape}; markets x periods x channels are {shape}."
        )
    if not (np.isfinite(scenario.intensity) & (scenario.intensity >= 0)).all():
        raise PanelError("the scenario holds exposures that are negative or not finite; no exposure is 0.")
    names = fit.scaling.control_names
    given = 0 if scenario.controls is None else scenario.controls.shape[-1]
    if given != len(names):
        raise PanelError(
            f"the scenario has {given} controls; the fit adjusts for {', '.join(names) or 'none'}: plan their values."
        )
    require_following(fit.panel, scenario.period_starts)


def require_following(panel: MarketPanel, period_starts: np.ndarray) -> None:
    """PanelError where a plan does not start with the period after the panel's last."""
    starts = panel.period_starts
    step = (period_starts[0] - starts[-1]).astype("timedelta64[D]").astype(float)
    usual = (
        np.median(np.diff(starts).astype("timedelta64[D]").astype(float)) if len(starts) > 1 else DAYS_A_YEAR
    )
    if not 0 < step <= 1.2 * usual:
        raise PanelError(
            f"the plan starts on {period_starts[0]}, the panel's last period on {starts[-1]}; it "
            "starts with the next one, so that what carries over is known."
        )


def _table(fit: ResponseFit, scenario: Scenario, kpi: np.ndarray) -> pd.DataFrame:
    tail = (1.0 - fit.config.interval_level) / 2.0
    rows = []
    named = [(market, kpi[:, j]) for j, market in enumerate(fit.scaling.market_ids)]
    for market, draws in [*named, (None, kpi.sum(axis=1))]:
        lower, upper = np.quantile(draws, [tail, 1.0 - tail], axis=0)
        rows += zip(
            [market] * len(lower), scenario.period_starts, draws.mean(axis=0), lower, upper, strict=True
        )
    columns = ["market_id", "period_start_date", "mean", "interval_lower", "interval_upper"]
    return pd.DataFrame(rows, columns=columns)
