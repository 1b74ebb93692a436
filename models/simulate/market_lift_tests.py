"""Lift tests in a market world: a geo experiment with its estimate and standard error.

Recorded spend contains the test: in the treated markets and weeks the test added `share` of what was spent there
(share 0.5: it doubled spend). The truth is E[GMV | recorded spend] - E[GMV | recorded spend less what the test added],
over the weeks of the test; through a funnel too, whose target keeps what its source brings. The estimate is the
difference in differences between treated and control markets, per unit of a market's level, of the test's weeks
against the weeks before it:

    lift = W sum_j level_j (change_j - mean change of controls)

whose variance follows from the world's noise and its demand (common shocks cancel; price is recorded and adjusted for).
Which markets are treated is nobody's choice but chance's, so that demand does not bias it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.simulate.markets import MarketWorld

KPI = "gmv"


@dataclass(frozen=True, slots=True)
class LiftTestSpec:
    """A planned test.

    channel_ids, market_ids : what is treated, together; first_period : position of the first week
    periods_count, pre_periods_count : weeks of the test, and before it that it is compared with
    share : of the treated spend that is the test's, in (0, 1]; 1: against nothing spent
    """

    lift_test_id: str
    channel_ids: tuple[str, ...]
    market_ids: tuple[str, ...]
    first_period: int
    periods_count: int
    pre_periods_count: int
    share: float = 0.5

    def __post_init__(self) -> None:
        if not self.channel_ids or not self.market_ids:
            raise ValueError(
                f"lift test {self.lift_test_id!r} treats no channel or no market; name at least one."
            )
        if self.periods_count < 1 or not 1 <= self.pre_periods_count <= self.first_period:
            raise ValueError(
                f"lift test {self.lift_test_id!r} has {self.periods_count} weeks from position {self.first_period} and "
                f"{self.pre_periods_count} before them; give 1 or more of each, within the world."
            )
        if not 0 < self.share <= 1:
            raise ValueError(
                f"lift test {self.lift_test_id!r} has share {self.share}; it must lie in (0, 1]."
            )


@dataclass(frozen=True, slots=True)
class LiftTest:
    """A test that was run. Amounts are money; true_lift is what estimates are judged on, and no one else sees."""

    spec: LiftTestSpec
    start_date: np.datetime64
    end_date: np.datetime64
    spend_delta: float
    lift: float
    standard_error: float
    true_lift: float


def run_lift_test(world: MarketWorld, spec: LiftTestSpec, rng: np.random.Generator) -> LiftTest:
    """Run one test.

    Raises ValueError for unknown channels or markets, weeks beyond the world, fewer than two control markets, and
    where nothing was spent in the test.
    """
    channels = _positions(spec, "channel", spec.channel_ids, world.config.channel_ids)
    markets = _positions(spec, "market", spec.market_ids, world.market_ids)
    weeks = slice(spec.first_period, spec.first_period + spec.periods_count)
    if weeks.stop > len(world.period_starts):
        raise ValueError(
            f"lift test {spec.lift_test_id!r} ends after the world's {len(world.period_starts)} weeks."
        )
    added = np.zeros_like(world.spend)
    treated = np.ix_(markets, np.arange(weeks.start, weeks.stop), channels)
    added[treated] = spec.share * world.own_spend[treated]
    without = world.spend_with_funnel(world.own_spend - added)
    spend_delta = float((world.spend - without)[treated].sum())
    if not spend_delta > 0:
        raise ValueError(
            f"lift test {spec.lift_test_id!r}: nothing was spent there, so that there is no test."
        )
    lost = world.expected_gmv(world.spend) - world.expected_gmv(without)
    true_lift = float(lost[markets, weeks].sum())
    error = _standard_error(world, spec, markets)
    return LiftTest(
        spec=spec,
        start_date=world.period_starts[weeks.start],
        end_date=world.period_starts[weeks.stop - 1] + 6,
        spend_delta=spend_delta,
        lift=true_lift + error * float(rng.normal()),
        standard_error=error,
        true_lift=true_lift,
    )


def lift_tests_frame(tests: Sequence[LiftTest]) -> pd.DataFrame:
    """The tests in the columns of the table lift_tests of the input contract."""
    rows = [
        {
            "lift_test_id": test.spec.lift_test_id,
            "channel_ids": json.dumps(test.spec.channel_ids),
            "market_ids": json.dumps(test.spec.market_ids),
            "start_date": test.start_date,
            "end_date": test.end_date,
            "spend_delta_amount": test.spend_delta,
            "exposures_delta_count": None,
            "lift_amount": test.lift,
            "lift_standard_error": test.standard_error,
            "kpi": KPI,
        }
        for test in tests
    ]
    return pd.DataFrame(rows)


def _standard_error(world: MarketWorld, spec: LiftTestSpec, markets: np.ndarray) -> float:
    config, weeks = world.config, spec.periods_count
    controls_count = config.markets_count - len(markets)
    if controls_count < 2:
        raise ValueError(
            f"lift test {spec.lift_test_id!r} leaves {controls_count} of {config.markets_count} markets as controls; "
            "leave two or more."
        )
    before = spec.pre_periods_count
    contrast = np.concatenate([np.full(before, -1.0 / before), np.full(weeks, 1.0 / weeks)])
    lags = np.abs(np.subtract.outer(np.arange(before + weeks), np.arange(before + weeks)))
    demand = config.demand_sd**2 * config.demand_autocorrelation**lags
    change_variance = contrast @ (config.noise_sd**2 * np.eye(before + weeks) + demand) @ contrast
    level = world.level[markets]
    return float(weeks * np.sqrt(change_variance * ((level**2).sum() + level.sum() ** 2 / controls_count)))


def _positions(spec: LiftTestSpec, kind: str, names: tuple[str, ...], known: Sequence[str]) -> np.ndarray:
    unknown = sorted(set(names) - set(known))
    if unknown or len(set(names)) != len(names):
        raise ValueError(
            f"lift test {spec.lift_test_id!r} names the {kind}s {list(names)}; they must be distinct and among "
            f"{list(known)}."
        )
    return np.array([list(known).index(name) for name in names])
