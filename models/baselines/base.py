"""What every baseline shares: rows in, a mean and a standard deviation out, and the design that least squares need.

A baseline is a frozen dataclass of settings with `fit(train) -> Fitted`; `Fitted.predict(rows) -> Prediction`. Rows
carry identifiers, not positions, so that a fit on some consumers and periods can be asked about any others. Whatever a
baseline learns (columns, scales, penalties, levels of categories) it learns from the rows it was fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.panel import ConsumerPanel

FROM_MODEL = "model"  # Prediction.source of rows that needed no fallback


@dataclass(frozen=True, eq=False)
class Rows:
    """Consumer-periods by identifier.

    consumer_ids, market_ids: (R,) text. period_starts: (R,) datetime64[D].
    exposures: (R, C) counts. covariates: (R, Q) in their own units. outcome: (R,), unit of the panel's `gmv`.
    characteristics: one row per consumer (at least those of the rows), indexed by consumer_id.
    period: day, week or month.
    """

    consumer_ids: np.ndarray
    market_ids: np.ndarray
    period_starts: np.ndarray
    exposures: np.ndarray
    covariates: np.ndarray
    outcome: np.ndarray
    channel_ids: tuple[str, ...]
    covariate_names: tuple[str, ...] = ()
    characteristics: pd.DataFrame = field(default_factory=pd.DataFrame)
    characteristic_kinds: dict[str, str] = field(default_factory=dict)
    period: str = "month"

    def __post_init__(self) -> None:
        rows = len(self.outcome)
        shapes = {
            "consumer_ids": (rows,),
            "market_ids": (rows,),
            "period_starts": (rows,),
            "exposures": (rows, len(self.channel_ids)),
            "covariates": (rows, len(self.covariate_names)),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise PanelError(f"`{name}` has shape {getattr(self, name).shape} where {shape} belongs.")

    def __len__(self) -> int:
        return len(self.outcome)

    @classmethod
    def of_panel(cls, panel: ConsumerPanel, keep: np.ndarray | None = None) -> Rows:
        """Rows of a panel, or those where `keep` (R,) holds."""
        part = panel.rows_subset(np.ones(panel.rows_count, dtype=bool) if keep is None else keep)
        return cls(
            consumer_ids=panel.consumer_ids[part["consumer_index"]],
            market_ids=panel.market_ids[part["market_index"]],
            period_starts=panel.period_starts[part["period_index"]],
            exposures=part["exposures"],
            covariates=part["covariates"],
            outcome=part["gmv"],
            channel_ids=tuple(str(c) for c in panel.channel_ids),
            covariate_names=tuple(panel.covariate_names),
            characteristics=panel.characteristics,
            characteristic_kinds=panel.characteristic_kinds,
            period=panel.period,
        )

    def without_outcome(self) -> Rows:
        """The same rows with NaN as outcome: what a predictor may see of held-out rows."""
        return replace(self, outcome=np.full(len(self), np.nan))


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictive distribution of each row: normal, or Student t where degrees_of_freedom is finite.

    mean, sd: (R,), unit of the outcome; sd is the standard deviation of a new outcome, noise included.
    degrees_of_freedom: (R,), above 2; infinite for a normal.
    source: (R,) text, "model" or the name of the fallback that was used for the row.
    """

    mean: np.ndarray
    sd: np.ndarray
    degrees_of_freedom: np.ndarray | None = None
    source: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = len(self.mean)
        if self.degrees_of_freedom is None:
            object.__setattr__(self, "degrees_of_freedom", np.full(rows, np.inf))
        if self.source is None:
            object.__setattr__(self, "source", np.full(rows, FROM_MODEL, dtype=object))
        for name in ("sd", "degrees_of_freedom", "source"):
            if getattr(self, name).shape != (rows,):
                raise ValueError(f"{name} has shape {getattr(self, name).shape} where ({rows},) belongs.")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.sd).all() and (self.sd >= 0).all()):
            raise ValueError("a prediction holds means that are not finite or sds that are negative or NaN.")
        if not (self.degrees_of_freedom > 2).all():
            raise ValueError("degrees_of_freedom must exceed 2, else the predictive sd does not exist.")

    @property
    def fallback_share(self) -> float:
        """Share of rows that the model proper could not predict."""
        return float(np.mean(self.source != FROM_MODEL))


class Fitted(Protocol):
    """A fitted predictor."""

    def predict(self, rows: Rows) -> Prediction:
        """Predictive distribution of rows whose outcome it does not look at."""
        ...


class Predictor(Protocol):
    """Settings that can be fitted."""

    def fit(self, train: ConsumerPanel) -> Fitted:
        """Fit on a training panel (the baselines take `Rows` too)."""
        ...


def as_rows(train: ConsumerPanel | Rows) -> Rows:
    """Rows of whatever was given; raises PanelError where there is none."""
    rows = Rows.of_panel(train) if isinstance(train, ConsumerPanel) else train
    if not len(rows):
        raise PanelError("there is no training row to fit on; widen the training periods.")
    return rows


@dataclass(frozen=True, eq=False)
class DesignMap:
    """Columns [1, exposures, covariates, characteristics], all but the first standardised on training rows.

    columns: (name, centre, scale) in order, without those that do not vary in training.
    levels: categorical characteristic -> its training levels but the first, which have a column each.
    """

    columns: tuple[tuple[str, float, float], ...]
    channel_ids: tuple[str, ...]
    covariate_names: tuple[str, ...]
    kinds: dict[str, str]
    levels: dict[str, tuple[str, ...]]

    @classmethod
    def learn(cls, rows: Rows, with_characteristics: bool = False) -> DesignMap:
        """Columns, scales and levels of the training rows."""
        kinds = dict(rows.characteristic_kinds) if with_characteristics else {}
        levels = {}
        who = pd.unique(rows.consumer_ids)
        for name, kind in kinds.items():
            if kind == "categorical":
                levels[name] = tuple(sorted(set(_labels(rows.characteristics[name].reindex(who)))))[1:]
        raw = _raw_columns(rows, kinds, levels)
        columns = []
        for name, values in raw.items():
            known = values[~np.isnan(values)]
            if len(known) and np.ptp(known) > 0:
                columns.append((name, float(known.mean()), float(known.std())))
        return cls(tuple(columns), rows.channel_ids, rows.covariate_names, kinds, levels)

    def matrix(self, rows: Rows) -> np.ndarray:
        """(R, 1 + columns); unknown characteristics are at the training mean. Raises PanelError for other columns."""
        if (rows.channel_ids, rows.covariate_names) != (self.channel_ids, self.covariate_names):
            raise PanelError(
                f"rows have channels {rows.channel_ids} and covariates {rows.covariate_names}, the fit has "
                f"{self.channel_ids} and {self.covariate_names}; build both from one panel."
            )
        raw = _raw_columns(rows, self.kinds, self.levels)
        parts = [np.ones(len(rows))]
        parts += [np.nan_to_num((raw[name] - centre) / scale) for name, centre, scale in self.columns]
        return np.column_stack(parts)


def least_squares(design: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Coefficients (p,), pseudo-inverse of X'X (p, p) and its rank; collinear columns share their coefficient."""
    values, vectors = np.linalg.eigh(design.T @ design)
    real = values > 1e-10 * values[-1]
    inverse = (vectors[:, real] / values[real]) @ vectors[:, real].T
    return inverse @ (design.T @ outcome), inverse, int(real.sum())


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """Mean and sd of the training outcome by market and overall: where everything falls back to in the end."""

    markets: pd.Index
    means: np.ndarray
    sds: np.ndarray
    overall_mean: float
    overall_sd: float

    @classmethod
    def learn(cls, rows: Rows) -> GroupMeans:
        """Markets with one row take the overall sd."""
        table = pd.Series(rows.outcome).groupby(rows.market_ids).agg(["mean", "std"])
        overall_sd = float(np.std(rows.outcome))
        return cls(
            table.index,
            table["mean"].to_numpy(),
            table["std"].fillna(overall_sd).to_numpy(),
            float(np.mean(rows.outcome)),
            overall_sd,
        )

    def predict(self, rows: Rows) -> Prediction:
        """Market mean where the market is known, else the overall mean."""
        position = self.markets.get_indexer(pd.Index(rows.market_ids))
        known = position >= 0
        return Prediction(
            np.where(known, self.means[position], self.overall_mean),
            np.where(known, self.sds[position], self.overall_sd),
            source=np.where(known, "market_mean", "overall_mean").astype(object),
        )


def combine(rows_count: int, parts: list[tuple[np.ndarray, Prediction]]) -> Prediction:
    """One prediction from several, each for the rows where its mask (R,) holds; the masks must cover every row once."""
    covered = np.sum([mask for mask, _ in parts], axis=0)
    if not (covered == 1).all():
        raise ValueError("the parts of a prediction must cover every row exactly once.")
    mean, sd, freedom = (np.empty(rows_count) for _ in range(3))
    source = np.empty(rows_count, dtype=object)
    for mask, part in parts:
        mean[mask], sd[mask] = part.mean, part.sd
        freedom[mask], source[mask] = part.degrees_of_freedom, part.source
    return Prediction(mean, sd, freedom, source)


def rows_where(rows: Rows, keep: np.ndarray) -> Rows:
    """The rows where `keep` holds."""
    names = ("consumer_ids", "market_ids", "period_starts", "exposures", "covariates", "outcome")
    return replace(rows, **{name: getattr(rows, name)[keep] for name in names})


def _raw_columns(
    rows: Rows, kinds: dict[str, str], levels: dict[str, tuple[str, ...]]
) -> dict[str, np.ndarray]:
    """Raw columns by name, NaN where a characteristic is unknown."""
    raw = {f"exposure[{c}]": rows.exposures[:, j] for j, c in enumerate(rows.channel_ids)}
    raw |= {f"covariate[{z}]": rows.covariates[:, j] for j, z in enumerate(rows.covariate_names)}
    if not kinds:
        return raw
    position = rows.characteristics.index.get_indexer(pd.Index(rows.consumer_ids))
    for name, kind in kinds.items():
        if kind == "numeric":
            values = np.append(rows.characteristics[name].to_numpy(dtype=float), np.nan)
            raw[name] = values[position]  # position -1 is the NaN at the end
            missing = np.isnan(raw[name])
            raw[f"{name} is missing"] = missing.astype(float)
        else:
            labels = np.append(_labels(rows.characteristics[name]), "")
            raw |= {f"{name}={level}": (labels[position] == level).astype(float) for level in levels[name]}
    return raw


def _labels(column: pd.Series) -> np.ndarray:
    """Text of each value; missing is a level of its own."""
    return np.array(["" if v is None or v != v else str(v) for v in column], dtype=object)
