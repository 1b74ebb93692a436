"""Within-consumer regression: what changes in a consumer's purchases when that consumer's exposure changes.

    y_it = a_i + d_t + sum_c [ b_c x_ict + k_c log1p(x_ict / bend_c) ] + q' Z_jt + e_it

a_i absorbs everything constant about a consumer (latent purchase propensity included), d_t everything common
to a period (or to a market and period). Standard errors are clustered by consumer: purchases are skewed and
repeat within a consumer.

Unbiased under strict exogeneity only: exposures may follow who the consumer is, but not last month's purchase
(feedback) nor a passing wish to buy (time-varying confounding). The lead placebo looks for the latter.

Estimands (design section 4), averaged over the panel's rows:
    slope         E[Y(x + 1) - Y(x)], over all rows or weighted by exposures
    att_exposed   E[Y(x) - Y(0) given x > 0]
    contribution  E[Y(x) - Y(0)], sum over rows
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import qr, solve_triangular

from models.effect_rows import effect_row, normal_numbers
from models.panel import ConsumerPanel
from models.transforms.concave import concave

DEMEANING_TOLERANCE = 1e-9  # largest change of a group mean, as a share of the column's own scale
DEMEANING_ROUNDS = 2_000
COLLINEARITY_TOLERANCE = 1e-7  # a column this small next to its own size is explained by the others
QR_ROWS = 250_000  # rows that the QR of millions takes at a time
PERIOD_EFFECTS = ("period", "market_period")
METHOD = "within_consumer"


@dataclass(frozen=True, eq=False)
class WithinFit:
    """Coefficients of one within regression.

    Attributes
    ----------
    column_names : K names; coefficients : (K,), 0 where dropped; covariance : (K, K), 0 where dropped
    is_estimated : (K,) False where a column did not vary within consumers or repeats the others
    rows_count, clusters_count : sizes
    small_sample_factor : what the clustered covariance was multiplied by, G/(G-1) (R-1)/(R-K-D), where D
        counts the absorbed period effects; consumer effects are nested in the clusters and do not count
    """

    column_names: tuple[str, ...]
    coefficients: np.ndarray
    covariance: np.ndarray
    is_estimated: np.ndarray
    rows_count: int
    clusters_count: int
    small_sample_factor: float

    def combination(self, weights: np.ndarray) -> tuple[float, float]:
        """Estimate and standard error of weights' coefficients; weights shape (K,)."""
        variance = weights @ self.covariance @ weights
        return float(weights @ self.coefficients), float(np.sqrt(max(variance, 0.0)))


def demean_two_way(columns: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Residuals of (R, K) columns on two sets of group effects, by alternating projections.

    Parameters
    ----------
    first, second : (R,) group positions, 0 to groups - 1

    Raises
    ------
    ArithmeticError
        The projections did not settle (groups that hang together by a thread).
    """
    out = np.array(columns, dtype=float, order="F")
    for k in range(out.shape[1]):
        column = out[:, k]
        scale = np.sqrt(np.mean(column**2))
        if scale == 0:
            continue
        counts = [np.maximum(np.bincount(group), 1) for group in (first, second)]
        for _ in range(DEMEANING_ROUNDS):
            change = 0.0
            for group, count in zip((first, second), counts, strict=True):
                means = np.bincount(group, column) / count
                column -= means[group]
                change = float(np.abs(means).max())
            if change < DEMEANING_TOLERANCE * scale:
                break
        else:
            raise ArithmeticError(
                f"Consumer and period effects of column {k} still moved by {change:.2g} after {DEMEANING_ROUNDS} "
                "rounds. Are there periods connected to the others by very few consumers? Drop them."
            )
    return out


def fit_within(
    outcome: np.ndarray,
    columns: np.ndarray,
    column_names: tuple[str, ...],
    consumer_index: np.ndarray,
    period_group: np.ndarray,
) -> WithinFit:
    """Least squares after absorbing consumer and period effects, with consumer-clustered covariance.

    Parameters
    ----------
    outcome : (R,); columns : (R, K), in order of precedence: of collinear columns the first stays
    consumer_index, period_group : (R,) non-negative integers (any labels)
    """
    consumer_index = np.unique(consumer_index, return_inverse=True)[1]
    period_group = np.unique(period_group, return_inverse=True)[1]
    rows, width = columns.shape
    clusters, periods = int(consumer_index.max()) + 1, int(period_group.max()) + 1
    raw_size = np.sqrt(np.einsum("rk,rk->k", columns, columns))
    y = demean_two_way(outcome[:, None], consumer_index, period_group)[:, 0]
    x = demean_two_way(columns, consumer_index, period_group)
    size = np.sqrt(np.einsum("rk,rk->k", x, x))
    varies = size > COLLINEARITY_TOLERANCE * np.maximum(raw_size, 1e-300)
    kept = np.flatnonzero(varies)
    triangle = _triangle(x, y, kept, size)
    independent = np.abs(np.diag(triangle)[: len(kept)]) > COLLINEARITY_TOLERANCE
    kept, triangle = kept[independent], _square(qr(triangle[:, np.append(independent, True)], mode="r")[0])

    coefficients, covariance = np.zeros(width), np.zeros((width, width))
    degrees = rows - len(kept) - periods
    factor = np.nan
    if len(kept) and clusters > 1 and degrees > 0:
        r = triangle[: len(kept), : len(kept)]
        coefficients[kept] = solve_triangular(r, triangle[: len(kept), -1]) / size[kept]
        errors = y - x @ coefficients
        inverse = solve_triangular(r, np.eye(len(kept)))
        scores = np.column_stack([np.bincount(consumer_index, x[:, k] * errors) / size[k] for k in kept])
        factor = clusters / (clusters - 1) * (rows - 1) / degrees
        bread = inverse @ inverse.T
        sandwich = factor * bread @ (scores.T @ scores) @ bread
        covariance[np.ix_(kept, kept)] = sandwich / np.outer(size[kept], size[kept])
    else:
        kept = kept[:0]
    return WithinFit(
        column_names=column_names,
        coefficients=coefficients,
        covariance=covariance,
        is_estimated=np.isin(np.arange(width), kept),
        rows_count=rows,
        clusters_count=clusters,
        small_sample_factor=float(factor),
    )


def _triangle(x: np.ndarray, y: np.ndarray, kept: np.ndarray, size: np.ndarray) -> np.ndarray:
    """R of the QR of [x of the kept columns over their sizes, y], block by block, so that no copy of x is held."""
    triangle = np.empty((0, len(kept) + 1))
    for start in range(0, len(y), QR_ROWS):
        rows = slice(start, start + QR_ROWS)
        block = np.column_stack([x[rows][:, kept] / size[kept], y[rows]])
        triangle = qr(np.vstack([triangle, block]), mode="r")[0][: len(kept) + 1]
    return _square(triangle)


def _square(triangle: np.ndarray) -> np.ndarray:
    """The (width, width) triangle of one with more rows, or with fewer (rows of zeros added)."""
    width = triangle.shape[1]
    return np.vstack([triangle[:width], np.zeros((max(width - len(triangle), 0), width))])


def concave_columns(
    exposures: np.ndarray, channel_ids: np.ndarray, bends: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """x and log1p(x / bend): (R, 2C) and names; bends (C,)."""
    names = [f"x {c}" for c in channel_ids] + [f"log1p {c}" for c in channel_ids]
    return np.column_stack([exposures, concave(exposures, bends)]), names


def period_groups(panel: ConsumerPanel, period_effects: str) -> np.ndarray:
    """(R,) group positions of the period effects: by period, or by market and period."""
    if period_effects not in PERIOD_EFFECTS:
        raise ValueError(
            f"period_effects is {period_effects!r}; it must be one of {', '.join(PERIOD_EFFECTS)}."
        )
    if period_effects == "period":
        return panel.period_index
    return panel.market_index * len(panel.period_starts) + panel.period_index


def within_effects(
    panel: ConsumerPanel,
    *,
    interval_level: float = 0.95,
    period_effects: str = "period",
    keep: np.ndarray | None = None,
) -> pd.DataFrame:
    """Channel effects by within-consumer regression, in the columns of the artefact `channel_effects`.

    keep: (R,) bool, the rows to use and to speak of (a market's, say); all by default. A channel whose exposure never
    changes within a consumer has rows with NaN and a reason.
    """
    keep = np.ones(panel.rows_count, dtype=bool) if keep is None else keep
    part = panel.rows_subset(keep)
    columns, names = concave_columns(part["exposures"], panel.channel_ids, panel.exposure_bends)
    columns = np.column_stack([columns, part["covariates"]])
    names = (*names, *panel.covariate_names)
    groups = period_groups(panel, period_effects)[keep]
    fit = fit_within(part["gmv"], columns, tuple(names), part["consumer_index"], groups)
    size = 2 * len(panel.channel_ids)
    return effects_of_coefficients(
        part["exposures"],
        panel.channel_ids,
        panel.exposure_bends,
        panel.currency_code,
        fit.coefficients[:size],
        fit.covariance[:size, :size],
        fit.is_estimated[: len(panel.channel_ids)],
        method=METHOD,
        interval_level=interval_level,
        reason="exposure does not vary within consumers",
    )


def effects_of_coefficients(
    exposures: np.ndarray,
    channel_ids: np.ndarray,
    bends: np.ndarray,
    money: str,
    coefficients: np.ndarray,
    covariance: np.ndarray,
    is_estimated: np.ndarray,
    *,
    method: str,
    interval_level: float,
    reason: str,
) -> pd.DataFrame:
    """The estimands above from coefficients of `concave_columns`, (2C,), and their covariance (2C, 2C).

    exposures: (R, C) of the rows to speak of. money: currency code.
    is_estimated: (C,), False where a channel's rows are NaN for the `reason`.
    """
    rows = []
    for c, channel_id in enumerate(channel_ids):
        for estimand, distribution, unit, weights in _estimand_weights(exposures, c, bends[c], money):
            is_known = bool(is_estimated[c] and (weights != 0).any())
            estimate = float(weights @ coefficients) if is_known else np.nan
            error = float(np.sqrt(max(weights @ covariance @ weights, 0.0))) if is_known else np.nan
            row = effect_row(
                channel_id,
                estimand,
                distribution,
                unit,
                method=method,
                interval_level=interval_level,
                not_identified_reason=None if is_known else reason,
                **normal_numbers(estimate, error, interval_level),
            )
            rows.append(row)
    return pd.DataFrame(rows)


def _estimand_weights(
    exposures: np.ndarray, channel: int, bend: float, money: str
) -> list[tuple[str, str, str, np.ndarray]]:
    """(estimand, exposure_distribution, unit, weights on the coefficients (2C,)) of one channel."""
    x = exposures[:, channel]
    channels = exposures.shape[1]

    def weights(d_x: np.ndarray, d_log: np.ndarray, by: np.ndarray) -> np.ndarray:
        out = np.zeros(2 * channels)
        if by.sum() > 0:
            out[[channel, channel + channels]] = np.average(d_x, weights=by), np.average(d_log, weights=by)
        return out

    curved = concave(x, bend)
    one, ones = np.ones_like(x), concave(x + 1, bend) - curved
    return [
        ("slope", "panel_rows", f"{money} per exposure", weights(one, ones, one)),
        ("slope", "exposure_weighted", f"{money} per exposure", weights(one, ones, x)),
        (
            "att_exposed",
            "exposed_rows",
            f"{money} per exposed consumer-period",
            weights(x, curved, (x > 0).astype(float)),
        ),
        ("contribution", "panel_rows", money, len(x) * weights(x, curved, one)),
    ]
