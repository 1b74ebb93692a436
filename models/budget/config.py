"""Settings of an allocation: what may move, how far, and what is asked of the whole. Checked when built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DIMENSIONS = ("channel", "market", "period")
#: Multiples of the current spend that are tried unless more is asked for: further away curves were hardly seen.
BOUNDS = (0.5, 1.5)


@dataclass(frozen=True, slots=True)
class SpendGroup:
    """What some cells may cost together, money.

    channel_ids, market_ids : None: all; least, most : None: free
    """

    name: str
    channel_ids: tuple[str, ...] | None = None
    market_ids: tuple[str, ...] | None = None
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        if self.least is None and self.most is None:
            raise ValueError(f"group {self.name!r} has neither least nor most; give one, or drop it.")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"group {self.name!r}: least {self.least:g} is above most {self.most:g}.")


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """What to decide and how.

    by : what spend is decided for: each "channel", also each "market", also each "period"; within a decided amount it
        is spread as in the current plan
    Exactly one goal; all None: the plan's own total.
    total : money to spend
    target_roas : as much KPI as can be had while KPI per money (over the plan's spend, expected) stays at least this
    target_marginal_roas : spend as long as the next money brings at least this
    bounds : least and most of every decided amount, in multiples of the current one; channel_bounds : of some channels
    groups : further limits
    risk_share : in (0, 1]. What is maximised is the gain over the current plan, averaged over the worst share of draws
        (CVaR); 1 averages over all of them, the expected gain
    search_draws : draws at most that the search sees, evenly spaced; results are of all
    starts : further searches at most, where the first is not known to be the best; seed : of random ones
    interval_level : mass of every interval
    """

    by: tuple[str, ...] = ("channel",)
    total: float | None = None
    target_roas: float | None = None
    target_marginal_roas: float | None = None
    bounds: tuple[float, float] = BOUNDS
    channel_bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    groups: tuple[SpendGroup, ...] = ()
    risk_share: float = 1.0
    search_draws: int = 250
    starts: int = 4
    seed: int = 0
    interval_level: float = 0.9

    def __post_init__(self) -> None:
        _require(
            "by", self.by, set(self.by) <= set(DIMENSIONS) and len(self.by) > 0, f"name some of {DIMENSIONS}"
        )
        goals = [g for g in (self.total, self.target_roas, self.target_marginal_roas) if g is not None]
        _require("total, target_roas, target_marginal_roas", goals, len(goals) <= 1, "be one goal, or none")
        _require("the goal", goals, all(goal > 0 for goal in goals), "be above 0")
        for name, (least, most) in {"bounds": self.bounds, **self.channel_bounds}.items():
            _require(
                f"bounds of {name}", (least, most), 0 <= least <= most, "be multiples 0 <= least <= most"
            )
        _require("risk_share", self.risk_share, 0 < self.risk_share <= 1, "lie in (0, 1]")
        _require("interval_level", self.interval_level, 0 < self.interval_level < 1, "lie in (0, 1)")
        _require("search_draws", self.search_draws, self.search_draws >= 1, "be 1 or more")
        _require("starts", self.starts, self.starts >= 0, "be 0 or more")


def _require(name: str, value: object, holds: bool, must: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}; it must {must}.")
