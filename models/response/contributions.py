"""What each channel brought, draw by draw: contributions + baseline = expected KPI, exactly.

    contribution_jtc = E[KPI_jt | exposures as recorded] - E[KPI_jt | channel c without any exposure]
                     = kpi_mean_j effect_jc scale_jc f_c(adstock)_jtc

The mean is additive, so channels' contributions add up. The baseline is level, trends, waves, controls and shocks.
Arrays of all draws are large (draws x markets x periods x channels): ask for some draws, or for totals.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.response.channel_curves import ChannelCurves
from models.response.fit import ResponseFit
from models.response.problem import common_columns


def curves_of(fit: ResponseFit, exposures: np.ndarray) -> ChannelCurves:
    """Curves of rows of exposures (C, R, T) in the model's unit."""
    return ChannelCurves(exposures, fit.config.kernel, fit.config.saturation, fit.config.max_lag)


def coefficients(fit: ResponseFit, draw: int) -> np.ndarray:
    """(C, J): KPI per unit of f."""
    return np.array(fit.scaling.kpi_mean) * fit.draws.scale[draw] * fit.draws.effect[draw].T


def contributions(fit: ResponseFit, draws: range | None = None) -> Iterator[np.ndarray]:
    """Of each draw (all kept by default) the contributions (J, T, C), in the KPI's unit."""
    curves = curves_of(fit, fit.scaling.exposures(fit.panel.intensity))
    for k in range(len(fit.draws)) if draws is None else draws:
        values = curves.forward(fit.draws.curve[k]).values
        yield (coefficients(fit, k)[:, :, None] * values).transpose(1, 2, 0)


def baseline(fit: ResponseFit, draw: int) -> np.ndarray:
    """Expected KPI without any channel, (J, T), in the KPI's unit; where a control is not recorded it counts as its
    mean."""
    controls = fit.scaling.controls(fit.panel)
    return baseline_at(fit, draw, controls, fit.panel.period_starts, fit.draws.shock[draw])


def baseline_at(
    fit: ResponseFit, draw: int, controls: np.ndarray, period_starts: np.ndarray, shock: np.ndarray
) -> np.ndarray:
    """The same at other periods: controls (J, T, Q) scaled, shock (T,) share of KPI."""
    draws = fit.draws
    columns, _ = common_columns(fit.scaling, fit.config, controls, period_starts, fit.middle_year)
    years = fit.scaling.years(period_starts) - fit.middle_year
    share = draws.level[draw][:, None] + draws.trend[draw][:, None] * years
    share = share + columns @ draws.common[draw] + shock
    return np.array(fit.scaling.kpi_mean)[:, None] * share


def contribution_totals(fit: ResponseFit) -> np.ndarray:
    """Contributions over each market's recorded periods, (K, J, C)."""
    recorded = fit.panel.is_observed[:, :, None]
    return np.array([np.where(recorded, one, 0.0).sum(axis=1) for one in contributions(fit)])
