"""Settings of the classical level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ClassicalConfig:
    """How parents are searched and structures are shared.

    lags_count: periods back that an edge may reach; None chooses among `lag_candidates` by the sparse model's density.
    normal_scores: nodes whose ranks are turned into normal scores within each shop ("outcome", "all" or "none"), so
        that a rising curve between a node and its causes does not matter.
    controls: take each shop's context (where it changes in time) out of all series first.
    season_lengths: lengths in periods of cycles taken out as well (7 for a week of days: one level a weekday).
    units: "node" scales every node to unit variance within its shop; "common" keeps the ratios between nodes and shops
        (one factor for all but the outcome), which tells more where all are in one unit and respond alike; "auto"
        takes the one under which the data are denser.
    edge_share: prior share of edges before the data have spoken; it is learned from them.
    own_share: the same for a node's own past.
    scales, decays: slabs are all pairs; a slab's prior variance at lag k is scale * decay ** (k - 1) noise variances,
        in the scaled nodes. Their weights are learned, for the outcome apart.
    variance_shape, variance_scale: inverse gamma prior of the noise variance of a scaled target, to start with; it is
        learned, for the outcome apart.
    share_structures: let shops of like graphs inform one another.
    sweeps: of the sampler, one number for each round; between rounds structures are found anew. The first quarter of
        each is dropped.
    seed: of the sampler.
    """

    lags_count: int | None = 7
    lag_candidates: tuple[int, ...] = (1, 2, 3, 5, 7, 10, 14)
    normal_scores: Literal["outcome", "all", "none"] = "outcome"
    controls: bool = True
    season_lengths: tuple[int, ...] = ()
    units: Literal["node", "common", "auto"] = "auto"
    edge_share: float = 0.15
    own_share: float = 0.5
    scales: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
    decays: tuple[float, ...] = (1.0, 0.4)
    variance_shape: float = 1.0
    variance_scale: float = 0.01
    share_structures: bool = True
    sweeps: tuple[int, ...] = (12, 12, 20)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.lags_count is not None and self.lags_count < 1:
            raise ValueError(
                f"`lags_count` is {self.lags_count}; edges act from 1 period on. Give 1 or more, or None."
            )
        if self.lags_count is None and not self.lag_candidates:
            raise ValueError(
                "`lags_count` is None and `lag_candidates` is empty. Give candidates to choose from."
            )
        if self.normal_scores not in ("outcome", "all", "none"):
            raise ValueError(f"`normal_scores` is {self.normal_scores!r}. Give 'outcome', 'all' or 'none'.")
        if self.units not in ("node", "common", "auto"):
            raise ValueError(f"`units` is {self.units!r}. Give 'node', 'common' or 'auto'.")
        for name in ("edge_share", "own_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` is {getattr(self, name)}, a probability. Give one between 0 and 1."
                )
        for name in ("scales", "decays", "sweeps"):
            if not getattr(self, name) or min(getattr(self, name)) <= 0:
                raise ValueError(f"`{name}` is {getattr(self, name)}. Give one positive number or more.")
        if min(self.sweeps) < 4:
            raise ValueError(f"`sweeps` is {self.sweeps}; a round needs 4, of which it keeps 3.")
        if min(self.variance_shape, self.variance_scale) <= 0:
            raise ValueError(
                f"The noise variance's prior has shape {self.variance_shape} and scale {self.variance_scale}; both "
                "have to be positive."
            )
