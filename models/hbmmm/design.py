"""From raw statistics to the scaled problem: which columns, which moderators, which affine maps.

    y_it = D_it (d + M_i omega) + X_it g_i + R_it m_j(i) + eps        (Ni et al. 2023, eq. 1-2, on the money scale)

D are the row-level columns (intercept, x, log1p(x / bend), covariates, periods), all but the intercept less the own
mean (problem.centred_gram), X = [1, x] carries the consumer effects g, R = [X, covariates] the market effects m, with
the intercept independent of the slopes. The intercept is thus the consumer's level at its own mean exposures, on which
characteristics and the Mundlak means are regressed. M_i omega moves the coefficients of D's columns by consumer
features: the intercept by every feature (characteristics and Mundlak means), each exposure slope by the characteristics
and by the channel's own mean exposure. A `Design` holds names and affine maps only, so that it can be stored and
reused by a refresh without rescaling priors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.hbmmm.characteristics import Characteristic, characteristic_features
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.statistics import SufficientStatistics

_TINY = 1e-10


@dataclass(frozen=True, slots=True)
class RowColumn:
    """A row-level column: scaled value = (raw - centre) / scale; `source` is its index in the statistics."""

    name: str
    kind: str
    channel_id: str | None
    covariate_name: str | None
    period_start_date: str | None
    source: int
    centre: float
    scale: float
    bend: float = 1.0


@dataclass(frozen=True, slots=True)
class MeanFeature:
    """A Mundlak mean (or a product of two) over a consumer's rows, then standardised over consumers."""

    name: str
    row_columns: tuple[int, ...]
    centre: float
    scale: float


@dataclass(frozen=True, slots=True)
class Design:
    """Names and maps of the scaled problem.

    row_columns: the pD columns of D. outcome_scale: money per scaled unit.
    slope_columns: index in D of [1, x_1..x_C] (k). market_columns: index in D of R (r), the k first.
    characteristics, means: what the consumer features are made of, in feature order.
    moderators: (row column, feature) pairs, sorted by row column: the q coefficients omega.
    slope_sizes: of market_columns but the intercept, how large the slope is, scaled: sqrt(b^2 + se^2) of the within
        regression on them and the periods. Differences between people and markets are judged against it: effects of
        media are a few hundredths of an outcome's sd, so that no fixed scale suits both them and their differences.
    dropped: (column name, reason) of what the statistics hold and the model leaves out.
    """

    row_columns: tuple[RowColumn, ...]
    outcome_scale: float
    slope_columns: tuple[int, ...]
    market_columns: tuple[int, ...]
    characteristics: tuple[Characteristic, ...]
    means: tuple[MeanFeature, ...]
    moderators: tuple[tuple[int, int], ...]
    dropped: tuple[tuple[str, str], ...]
    channel_ids: tuple[str, ...]
    has_market_level: bool
    slope_sizes: tuple[float, ...]
    has_correlated_slopes: bool = False

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Consumer features, characteristics first."""
        return tuple(c.name for c in self.characteristics) + tuple(m.name for m in self.means)

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """Names of the fixed coefficients (d, omega)."""
        rows = [c.name for c in self.row_columns]
        features = self.feature_names
        return tuple(rows) + tuple(f"{rows[c]}:{features[f]}" for c, f in self.moderators)

    @property
    def modelled_channels(self) -> tuple[str, ...]:
        """Channels with an exposure in the panel, in design order: the slopes after the intercept."""
        return tuple(str(self.row_columns[c].channel_id) for c in self.slope_columns[1:])

    @property
    def moderated_count(self) -> int:
        """Leading row columns with consumer-specific coefficients: intercept and all exposure columns."""
        return sum(c.kind in ("intercept", "exposure", "exposure_log1p") for c in self.row_columns)

    def row_index(self, kind: str, channel_id: str) -> int | None:
        """Index in D of a channel's column of this kind, None if the model has none."""
        for i, column in enumerate(self.row_columns):
            if column.kind == kind and column.channel_id == channel_id:
                return i
        return None

    @property
    def bends(self) -> np.ndarray:
        """Bend of each modelled channel's concave column, (C,); 1 where the model has none."""
        columns = [self.row_index("exposure_log1p", c) for c in self.modelled_channels]
        return np.array([1.0 if c is None else self.row_columns[c].bend for c in columns])

    def require_columns(self, statistics: SufficientStatistics) -> None:
        """Raises PanelError where the statistics hold other columns than this design was built on."""
        for column in self.row_columns:
            there = statistics.columns[column.source] if column.source < len(statistics.columns) else None
            if there is None or (there.name, there.bend) != (column.name, column.bend):
                found = "nothing" if there is None else f"{there.name} (bend {there.bend:g})"
                raise PanelError(
                    f"the design expects {column.name} (bend {column.bend:g}) as column {column.source} of the "
                    f"statistics, which have {found} there; build a new design, or the statistics it was made on."
                )

    def affine_map(self, columns_count: int) -> np.ndarray:
        """Matrix A (m, pD + 1) with [D, y] scaled = [D, y] raw @ A."""
        matrix = np.zeros((columns_count, len(self.row_columns) + 1))
        for j, column in enumerate(self.row_columns):
            matrix[column.source, j] = 1.0 / column.scale
            matrix[0, j] -= column.centre / column.scale
        matrix[-1, -1] = 1.0 / self.outcome_scale
        return matrix

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Design:
        """Inverse of as_dict, from JSON lists."""
        return cls(
            row_columns=tuple(RowColumn(**c) for c in values["row_columns"]),
            outcome_scale=float(values["outcome_scale"]),
            slope_columns=tuple(values["slope_columns"]),
            market_columns=tuple(values["market_columns"]),
            characteristics=tuple(Characteristic(**c) for c in values["characteristics"]),
            means=tuple(
                MeanFeature(m["name"], tuple(m["row_columns"]), m["centre"], m["scale"])
                for m in values["means"]
            ),
            moderators=tuple((int(c), int(f)) for c, f in values["moderators"]),
            dropped=tuple((str(n), str(r)) for n, r in values["dropped"]),
            channel_ids=tuple(values["channel_ids"]),
            has_market_level=bool(values["has_market_level"]),
            slope_sizes=tuple(float(s) for s in values["slope_sizes"]),
            has_correlated_slopes=bool(values["has_correlated_slopes"]),
        )


def build_design(
    statistics: SufficientStatistics, characteristics: tuple[Characteristic, ...], config: HBMMMConfig
) -> Design:
    """Choose columns, moderators and maps from the statistics alone (no tuning on results)."""
    moments = _Moments.of(statistics)
    rows, dropped = _row_columns(statistics, moments, config)
    outcome_scale = moments.outcome_scale()
    if not outcome_scale > 0:
        raise PanelError(
            "GMV does not vary in the panel, so there is nothing to explain; check the transactions."
        )
    slopes = tuple(i for i, c in enumerate(rows) if c.kind in ("intercept", "exposure"))
    covariates = tuple(i for i, c in enumerate(rows) if c.kind == "covariate")
    means = _mean_features(rows, moments)
    features = [c.name for c in characteristics] + [m.name for m in means]
    replaced = {c.parts[0] for c in characteristics if c.kind == "known"}
    only_slopes = {f for f, c in enumerate(characteristics) if c.kind == "known"}
    for_slopes = [f for f, c in enumerate(characteristics) if c.name not in replaced]
    moderators = [(0, f) for f in range(len(features)) if f not in only_slopes]
    for i, column in enumerate(rows):
        if column.kind != "exposure":
            continue
        moderators += [(i, f) for f in for_slopes]
        own = f"mean(exposure[{column.channel_id}])"
        if own in features:
            moderators.append((i, features.index(own)))
    return Design(
        row_columns=rows,
        outcome_scale=outcome_scale,
        slope_columns=slopes,
        market_columns=slopes + covariates,
        characteristics=characteristics,
        means=means,
        moderators=tuple(sorted(moderators)),
        dropped=dropped,
        channel_ids=statistics.channel_ids,
        has_market_level=len(np.unique(statistics.market_index)) > 2,
        slope_sizes=_slope_sizes(rows, slopes[1:] + covariates, moments, outcome_scale),
        has_correlated_slopes=config.slope_correlations == "lkj" and len(slopes) > 2,
    )


def with_slope_sizes(design: Design, statistics: SufficientStatistics) -> Design:
    """The design with the sizes of slopes that these statistics show: what a refit on other data starts from.

    Raises PanelError for statistics with other columns.
    """
    design.require_columns(statistics)
    moments = _Moments.of(statistics)
    sizes = _slope_sizes(design.row_columns, design.market_columns[1:], moments, design.outcome_scale)
    return replace(design, slope_sizes=sizes)


def feature_matrix(design: Design, row_means: np.ndarray, completed: pd.DataFrame) -> np.ndarray:
    """Consumer features, standardised, (N, f).

    row_means: (N, pD) means of the scaled row-level columns over each consumer's rows.
    completed: characteristics without gaps, rows in the same order.
    """
    parts = [characteristic_features(design.characteristics, completed)]
    for mean in design.means:
        raw = np.prod(row_means[:, list(mean.row_columns)], axis=1)
        parts.append(((raw - mean.centre) / mean.scale)[:, None])
    return np.column_stack(parts) if parts else np.empty((len(row_means), 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """First and second moments of the raw columns: rows (N,), sums (N, m), within cross products (m, m)."""

    rows: np.ndarray
    sums: np.ndarray
    total: np.ndarray
    within: np.ndarray
    outcome_within: np.ndarray

    @classmethod
    def of(cls, statistics: SufficientStatistics) -> _Moments:
        m = len(statistics.columns)
        upper = np.triu_indices(m)
        rows = statistics.rows_count.astype(float)
        sums = statistics.packed[:, :m]  # first row of the triangle = intercept times every column
        total = np.zeros((m, m))
        total[upper] = statistics.packed.sum(axis=0)
        total = total + np.triu(total, 1).T
        within = total - (sums / rows[:, None]).T @ sums
        outcome_within = statistics.packed[:, -1] - sums[:, -1] ** 2 / rows
        return cls(rows, sums, total, within, np.maximum(outcome_within, 0.0))

    def mean(self, j: int) -> float:
        return float(self.total[0, j] / self.total[0, 0])

    def sd(self, j: int) -> float:
        return float(np.sqrt(max(self.total[j, j] / self.total[0, 0] - self.mean(j) ** 2, 0.0)))

    def outcome_scale(self) -> float:
        """Within-consumer sd of the outcome, the 1 % of consumers with the largest variance left out."""
        keep = self.rows > 1
        variance = self.outcome_within[keep] / (self.rows[keep] - 1)
        if len(variance):
            variance = variance[variance <= np.quantile(variance, 0.99)]
        scale = float(np.sqrt(variance.mean())) if len(variance) else 0.0
        return scale if scale > 0 else self.sd(self.sums.shape[1] - 1)


def _row_columns(
    statistics: SufficientStatistics, moments: _Moments, config: HBMMMConfig
) -> tuple[tuple[RowColumn, ...], tuple[tuple[str, str], ...]]:
    kept: list[RowColumn] = []
    dropped: list[tuple[str, str]] = []
    exposure_of = {c.channel_id: j for j, c in enumerate(statistics.columns) if c.kind == "exposure"}
    for j, column in enumerate(statistics.columns[:-1]):
        centre, scale = 0.0, 1.0
        if column.kind == "period":
            if config.include_period_effects == "none":
                dropped.append((column.name, "period effects are switched off"))
                continue
        elif column.kind != "intercept":
            scale = moments.sd(j)
            if column.kind == "covariate":
                centre = moments.mean(j)
                if scale <= _TINY * max(1.0, abs(centre)):
                    dropped.append((column.name, "does not vary in the panel"))
                    continue
            elif moments.total[j, j] == 0:
                dropped.append((column.name, "no exposure in the panel"))
                continue
            elif scale <= _TINY * abs(moments.mean(j)):
                dropped.append((column.name, "the same exposure on every panel row"))
                continue
            if column.kind == "exposure_log1p":
                if config.basis == "linear":
                    dropped.append((column.name, "the linear basis was chosen"))
                    continue
                x = exposure_of[column.channel_id]
                w = moments.within
                product = w[x, x] * w[j, j]
                if product <= 0 or w[x, j] ** 2 / product > config.collinearity_threshold:
                    dropped.append((column.name, "within consumers the concave column is collinear with x"))
                    continue
        kept.append(
            RowColumn(
                column.name,
                column.kind,
                column.channel_id,
                column.covariate_name,
                column.period_start_date,
                j,
                centre,
                scale,
                column.bend,
            )
        )
    return tuple(kept), tuple(dropped)


def _slope_sizes(
    rows: tuple[RowColumn, ...], columns: tuple[int, ...], moments: _Moments, outcome_scale: float
) -> tuple[float, ...]:
    """sqrt(b^2 + se^2) of each of these columns (scaled) in the within regression on them and the periods."""
    if not columns:
        return ()
    periods = [i for i, c in enumerate(rows) if c.kind == "period"]
    chosen = [*columns, *periods]
    sources = [rows[i].source for i in chosen]
    scale = np.array([rows[i].scale for i in chosen])
    gram = moments.within[np.ix_(sources, sources)] / np.outer(scale, scale)
    score = moments.within[sources, -1] / scale / outcome_scale
    unit = np.sqrt(np.maximum(np.diag(gram), _TINY))
    inverse = np.linalg.pinv(gram / np.outer(unit, unit), rcond=1e-8, hermitian=True) / np.outer(unit, unit)
    coefficients = inverse @ score
    residual = moments.within[-1, -1] / outcome_scale**2 - coefficients @ score
    freedom = max(float(moments.rows.sum() - len(moments.rows) - len(chosen)), 1.0)
    error = np.diag(inverse) * max(residual, 0.0) / freedom
    sizes = np.sqrt(coefficients**2 + error)[: len(columns)]
    return tuple(float(max(size, _TINY)) for size in sizes)


def _mean_features(rows: tuple[RowColumn, ...], moments: _Moments) -> tuple[MeanFeature, ...]:
    """Mundlak means of every row-level column, and of x * mean(x), where they vary."""
    means = {
        i: (moments.sums[:, c.source] / moments.rows - c.centre) / c.scale
        for i, c in enumerate(rows)
        if c.kind != "intercept"
    }
    candidates = [(f"mean({rows[i].name})", (i,)) for i in means]
    for i, c in enumerate(rows):
        if c.kind == "exposure":
            candidates.append((f"mean({c.name})*mean({c.name})", (i, i)))
    features = []
    for name, columns in candidates:
        values = np.prod([means[i] for i in columns], axis=0)
        centre, scale = float(values.mean()), float(values.std())
        if scale > 1e-8 * max(1.0, abs(centre)):
            features.append(MeanFeature(name, columns, centre, scale))
    return tuple(features)
