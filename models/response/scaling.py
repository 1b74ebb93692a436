"""The affine maps between a panel and the model's units: made once, stored with the fit, used again by refreshes.

    KPI        share of the market's mean recorded KPI when the scaling was made
    exposures  x over size of the market, then over the channel's mean of that; size is the population where all are
               known, else the market's mean KPI, so that saturation is a matter of exposures per head
    controls   (value - mean) / sd over recorded market-periods
    time       years since the first period

A refresh that rescaled would move priors, and with them results that no new data speak about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.errors import PanelError
from models.response.market_panel import MarketPanel

VERSION = 1
DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Scaling:
    """J markets, C channels, Q controls; tuples, so that a scaling can be compared and written as JSON.

    kpi_mean (J,) KPI; size (J,) inhabitants or KPI (size_source says which); exposure_mean (C,) exposures per size;
    control_mean, control_sd (Q,); kpi_spread : sd of the scaled KPI within markets; origin : first period, ISO date
    """

    market_ids: tuple[str, ...]
    channel_ids: tuple[str, ...]
    control_names: tuple[str, ...]
    kpi_name: str
    kpi_mean: tuple[float, ...]
    size: tuple[float, ...]
    size_source: str
    exposure_mean: tuple[float, ...]
    control_mean: tuple[float, ...]
    control_sd: tuple[float, ...]
    kpi_spread: float
    origin: str
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(
                f"the scaling has version {self.version}, this code reads {VERSION}; fit again without it."
            )

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scaling:
        """From `as_dict`, lists of JSON included."""
        return cls(**{k: tuple(v) if isinstance(v, list | tuple) else v for k, v in values.items()})

    @classmethod
    def of_panel(cls, panel: MarketPanel, controls: tuple[str, ...] | None = None) -> Scaling:
        """Learned from a panel; controls: names to keep, None: all.

        Raises PanelError for markets whose KPI sums to 0 or less, channels without any exposure, unknown controls, and
        controls that do not vary.
        """
        is_recorded = panel.is_observed
        kpi_mean = np.nanmean(panel.kpi, axis=1)
        if (kpi_mean <= 0).any():
            wrong = panel.market_ids[np.argmax(kpi_mean <= 0)]
            raise PanelError(
                f"the KPI of market {wrong!r} is {kpi_mean.min():g} on average; effects are shares of it, so that it "
                "must be above 0. Leave such markets out or merge them."
            )
        size = panel.population if panel.has_population else kpi_mean
        exposure_mean = (panel.intensity / size[:, None, None]).mean(axis=(0, 1))
        if (exposure_mean <= 0).any():
            raise PanelError(
                f"channel {panel.channel_ids[np.argmin(exposure_mean)]!r} has no exposure anywhere in the panel; leave "
                "it out."
            )
        names = panel.control_names if controls is None else tuple(controls)
        values = panel.controls[..., _positions(panel.control_names, names)][is_recorded]
        deviation = values.std(axis=0)
        if (deviation <= 0).any():
            raise PanelError(
                f"control {names[int(np.argmin(deviation))]!r} does not vary, so that it is one with the level; "
                "leave it out."
            )
        within = (panel.kpi / kpi_mean[:, None] - 1.0)[is_recorded]
        return cls(
            market_ids=tuple(map(str, panel.market_ids)),
            channel_ids=tuple(map(str, panel.channel_ids)),
            control_names=names,
            kpi_name=panel.kpi_name,
            kpi_mean=tuple(kpi_mean.tolist()),
            size=tuple(size.tolist()),
            size_source="population" if panel.has_population else "kpi",
            exposure_mean=tuple(exposure_mean.tolist()),
            control_mean=tuple(values.mean(axis=0).tolist()),
            control_sd=tuple(deviation.tolist()),
            kpi_spread=float(max(within.std(), 1e-6)),
            origin=str(panel.period_starts[0]),
        )

    def require_panel(self, panel: MarketPanel) -> None:
        """PanelError, with the difference, where the panel has other markets, channels or KPI, or lacks controls."""
        for kind, found, known in (
            ("markets", panel.market_ids, self.market_ids),
            ("channels", panel.channel_ids, self.channel_ids),
        ):
            different = sorted(set(map(str, found)) ^ set(known))
            if different:
                raise PanelError(
                    f"{kind} differ from those of the stored scaling: {', '.join(different[:5])}. Make a new scaling "
                    "(Scaling.of_panel); its results do not compare with earlier ones exactly."
                )
        if panel.kpi_name != self.kpi_name:
            raise PanelError(f"the scaling is of KPI {self.kpi_name!r}, the panel holds {panel.kpi_name!r}.")
        _positions(panel.control_names, self.control_names)

    def exposures(self, intensity: np.ndarray) -> np.ndarray:
        """Exposures (J, T, C) in the model's unit, as (C, J, T)."""
        scale = np.array(self.size)[:, None, None] * np.array(self.exposure_mean)
        return np.ascontiguousarray((intensity / scale).transpose(2, 0, 1))

    def controls(self, panel: MarketPanel) -> np.ndarray:
        """Controls (J, T, Q) of mean 0 and sd 1, 0 where they are not recorded."""
        values = panel.controls[..., _positions(panel.control_names, self.control_names)]
        return np.nan_to_num((values - np.array(self.control_mean)) / np.array(self.control_sd), nan=0.0)

    def years(self, period_starts: np.ndarray) -> np.ndarray:
        """(T,) years since the scaling's first period."""
        days = (period_starts - np.datetime64(self.origin)).astype("timedelta64[D]").astype(float)
        return days / DAYS_A_YEAR


def _positions(known: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise PanelError(
            f"the panel has no complete control {', '.join(unknown)}; it has {', '.join(known) or 'none'}. Impute it "
            "upstream, or leave it out of `controls`."
        )
    return [known.index(name) for name in names]
