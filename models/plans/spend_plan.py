"""What is to be spent where and when: what a response model is asked about and a budget moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.errors import PanelError


@dataclass(frozen=True, slots=True, eq=False)
class SpendPlan:
    """J markets, H periods that follow the data, C channels that cost money.

    market_ids, channel_ids : (J,), (C,) names; period_starts (H,) datetime64[D]
    spend : (J, H, C) money, finite, 0 or more, read-only; currency_code : of it
    Raises PanelError for other shapes or values.
    """

    market_ids: tuple[str, ...]
    channel_ids: tuple[str, ...]
    period_starts: np.ndarray
    spend: np.ndarray
    currency_code: str

    def __post_init__(self) -> None:
        shape = (len(self.market_ids), len(self.period_starts), len(self.channel_ids))
        if self.spend.shape != shape or 0 in shape:
            raise PanelError(
                f"the plan's spend has shape {self.spend.shape}; markets x periods x channels are {shape}, one or more "
                "of each."
            )
        if not (np.isfinite(self.spend) & (self.spend >= 0)).all():
            raise PanelError("the plan holds spend that is negative or not finite; no spend is 0.")
        self.spend.setflags(write=False)

    @property
    def total(self) -> float:
        """Money."""
        return float(self.spend.sum())

    def with_spend(self, spend: np.ndarray) -> SpendPlan:
        """The same plan with other spend (J, H, C)."""
        return replace(self, spend=np.array(spend, dtype=float))

    def part(self, markets: Sequence[str], channels: Sequence[str], periods_count: int) -> SpendPlan:
        """The plan of some markets and channels, first periods only. PanelError for names or periods it lacks."""
        if not 1 <= periods_count <= len(self.period_starts):
            raise PanelError(
                f"{periods_count} periods were asked of a plan of {len(self.period_starts)}; ask for 1 or more of them."
            )
        j = positions(markets, self.market_ids, "market")
        c = positions(channels, self.channel_ids, "channel")
        return replace(
            self,
            market_ids=tuple(markets),
            channel_ids=tuple(channels),
            period_starts=self.period_starts[:periods_count],
            spend=self.spend[np.ix_(j, np.arange(periods_count), c)],
        )


def positions(names: Sequence[str], known: Sequence[str], kind: str) -> np.ndarray:
    """Positions of names among those known; PanelError for none, unknown or repeated ones. kind: for the message."""
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise PanelError(
            f"{kind}s {', '.join(map(str, names)) or 'none'}: name one or more, each once, of {', '.join(known)}."
        )
    return np.array([list(known).index(name) for name in names])
