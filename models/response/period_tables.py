"""What people plot: contributions by period, and response curves, with intervals, from the posterior draws.

Channels are taken one at a time: draws x markets x periods of one channel fit into memory where those of all do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from models.effect_rows import KPI
from models.errors import PanelError
from models.response.contributions import baseline, coefficients, curves_of
from models.response.fit import ResponseFit
from models.response.returns import MULTIPLES, spend_totals

CHANNEL, BASELINE = "channel", "baseline"
CURVE_DRAWS = 500
CELLS_AT_ONCE = 20_000_000  # draws x markets x periods held at a time, 160 MB


def contribution_periods(fit: ResponseFit) -> pd.DataFrame:
    """One row a recorded market-period and component: every channel, and the baseline (channel_id None).

    The means of a market-period add up to its expected GMV. market_id None: all markets with a KPI in the period
    together, whose intervals are no sums. Columns period_start_date, market_id, component, channel_id, mean,
    interval_lower, interval_upper, interval_level, unit, kpi.
    """
    parts = [_baseline_rows(fit)]
    exposures = fit.scaling.exposures(fit.panel.intensity)
    for c, channel in enumerate(fit.scaling.channel_ids):
        parts.append(_summed_up(fit, _contribution_draws(fit, exposures, c), CHANNEL, channel))
    return pd.concat(parts, ignore_index=True).assign(
        interval_level=fit.config.interval_level, unit=fit.panel.currency_code, kpi=KPI
    )


def response_curves(fit: ResponseFit, multiples: Sequence[float] = MULTIPLES) -> pd.DataFrame:
    """Contribution over the recorded periods at multiples of every recorded exposure of a channel, in the same pattern.

    Columns channel_id, market_id (None: all), multiple, spend_amount (None where spend is unknown: the curve is then
    one of exposures alone), intensity, mean, interval_lower, interval_upper, interval_level, unit, kpi. Of many draws
    500, spread evenly, are used.
    """
    exposures = fit.scaling.exposures(fit.panel.intensity)
    draws = _spread(len(fit.draws), CURVE_DRAWS)
    recorded = fit.panel.is_observed.astype(float)
    factors = np.array([coefficients(fit, k) for k in draws])  # (K, C, J)
    shown = fit.panel.intensity * recorded[..., None]
    rows: list[pd.DataFrame] = []
    for c, channel in enumerate(fit.scaling.channel_ids):
        spend = _spend(fit, channel)
        for multiple in multiples:
            curves = curves_of(fit, multiple * exposures[c : c + 1])
            totals = np.array(
                [
                    np.einsum("jt,jt->j", curves.forward(fit.draws.curve[k, c : c + 1]).values[0], recorded)
                    for k in draws
                ]
            )
            found = totals * factors[:, c]
            amounts = multiple * np.append(shown[..., c].sum(axis=1), shown[..., c].sum())
            paid = None if spend is None else multiple * np.append(spend, spend.sum())
            rows.append(_curve_rows(fit, channel, multiple, found, amounts, paid))
    return pd.concat(rows, ignore_index=True).assign(
        interval_level=fit.config.interval_level, unit=fit.panel.currency_code, kpi=KPI
    )


# ------------------------------------------------------------------- contributions by period
def _contribution_draws(fit: ResponseFit, exposures: np.ndarray, c: int) -> Iterator[np.ndarray]:
    """Of each draw, the channel's contributions (J, T)."""
    curves = curves_of(fit, exposures[c : c + 1])
    for k in range(len(fit.draws)):
        values = curves.forward(fit.draws.curve[k, c : c + 1]).values[0]
        yield coefficients(fit, k)[c][:, None] * values


def _baseline_rows(fit: ResponseFit) -> pd.DataFrame:
    return _summed_up(fit, (baseline(fit, k) for k in range(len(fit.draws))), BASELINE, None)


def _summed_up(
    fit: ResponseFit, draws: Iterator[np.ndarray], component: str, channel: str | None
) -> pd.DataFrame:
    """Mean over all draws; the interval over as many as may be held at once."""
    recorded = fit.panel.is_observed
    markets, periods = recorded.shape
    held = set(_spread(len(fit.draws), max(CELLS_AT_ONCE // (markets * periods), 100)).tolist())
    kept = np.empty((len(held), markets + 1, periods))
    total, row = np.zeros((markets + 1, periods)), 0
    for k, one in enumerate(draws):
        both = np.vstack([one, np.where(recorded, one, 0.0).sum(axis=0)])
        total += both
        if k in held:
            kept[row] = both
            row += 1
    tail = (1.0 - fit.config.interval_level) / 2.0
    lower, upper = np.quantile(kept, [tail, 1.0 - tail], axis=0)
    shown = np.vstack([recorded, recorded.any(axis=0)])
    j, t = np.nonzero(shown)
    names = np.array([*fit.scaling.market_ids, None], dtype=object)
    return pd.DataFrame(
        {
            "period_start_date": fit.panel.period_starts[t],
            "market_id": names[j],
            "component": component,
            "channel_id": channel,
            "mean": total[j, t] / len(fit.draws),
            "interval_lower": lower[j, t],
            "interval_upper": upper[j, t],
        }
    )


# --------------------------------------------------------------------------------- curves
def _curve_rows(
    fit: ResponseFit,
    channel: str,
    multiple: float,
    draws: np.ndarray,
    amounts: np.ndarray,
    paid: np.ndarray | None,
) -> pd.DataFrame:
    """draws (K, J)."""
    both = np.column_stack([draws, draws.sum(axis=1)])
    tail = (1.0 - fit.config.interval_level) / 2.0
    lower, upper = np.quantile(both, [tail, 1.0 - tail], axis=0)
    return pd.DataFrame(
        {
            "channel_id": channel,
            "market_id": np.array([*fit.scaling.market_ids, None], dtype=object),
            "multiple": float(multiple),
            "spend_amount": np.nan if paid is None else paid,
            "intensity": amounts,
            "mean": both.mean(axis=0),
            "interval_lower": lower,
            "interval_upper": upper,
        }
    )


def _spend(fit: ResponseFit, channel: str) -> np.ndarray | None:
    try:
        return spend_totals(fit, channel)
    except PanelError:
        return None


def _spread(count: int, most: int) -> np.ndarray:
    """Positions of at most `most` of `count` draws, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
