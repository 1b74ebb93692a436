"""Geo tests that could be run: what the fit expects of one, and how precisely it would be measured.

The measurement is the difference in differences that a geo test is usually read by. With r_j the mean KPI of market j
in the test's periods less that of the periods before, in shares of the market's mean KPI (kpi_mean), W periods long:

    lift = W sum over treated j of kpi_mean_j (r_j - mean r of the control markets)

The model's common shocks are shares of KPI, alike everywhere, and cancel; what controls and other channels do is taken
to be adjusted for. What is left is the fit's noise by market, with the autocorrelation that the fit's residuals have.
Without control markets shocks stay in, with their memory. Whatever market-specific demand the model does not know is in
neither, unless it shows in the residuals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import PanelError
from models.plans.spend_plan import SpendPlan, positions
from models.response.contributions import baseline, contributions
from models.response.fit import ResponseFit
from models.response.planned_spend import plan_response

RESIDUAL_DRAWS = 40


@dataclass(frozen=True, slots=True)
class GeoTest:
    """In treated markets, channels spend (1 + change) times the plan in its first periods; else as planned.

    change : -1 is nothing spent; periods_count : of the test; pre_periods_count : before it, that it is compared with
    """

    name: str
    channel_ids: tuple[str, ...]
    market_ids: tuple[str, ...]
    periods_count: int
    change: float
    pre_periods_count: int = 26

    def __post_init__(self) -> None:
        if not (np.isfinite(self.change) and self.change >= -1 and self.change != 0):
            raise ValueError(
                f"test {self.name!r} changes spend by {self.change} of itself; give -1 or more, not 0."
            )
        if self.periods_count < 1 or self.pre_periods_count < 1:
            raise ValueError(
                f"test {self.name!r} has {self.periods_count} periods and {self.pre_periods_count} before them; give 1 "
                "or more of each."
            )


@dataclass(frozen=True, slots=True, eq=False)
class GeoForecast:
    """What is expected of a test, K draws. Implements models.budget's Experiment.

    spend_change : money more than planned; lifts (K,) : KPI more in treated markets during the test, what is measured
    brought (K,) : KPI more in all, carry-over after the test included; standard_error : of the measurement
    """

    test: GeoTest
    spend_change: float
    lifts: np.ndarray
    brought: np.ndarray
    standard_error: float

    @property
    def name(self) -> str:
        """Of the test."""
        return self.test.name

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """Whose spend is changed."""
        return self.test.channel_ids

    @property
    def markets_count(self) -> int:
        """How many are treated."""
        return len(self.test.market_ids)

    @property
    def periods_count(self) -> int:
        """Of the test."""
        return self.test.periods_count


def geo_forecasts(fit: ResponseFit, plan: SpendPlan, tests: Sequence[GeoTest]) -> list[GeoForecast]:
    """Of every test, run in the plan's first periods.

    Raises PanelError for channels, markets or periods that the plan lacks, channels without known spend, tests in whose
    cells nothing is planned, and a panel shorter than the periods before a test.
    """
    correlation = residual_autocorrelation(fit)
    found = []
    for test in tests:
        part = plan.part(test.market_ids, test.channel_ids, test.periods_count)
        if not part.total > 0:
            raise PanelError(
                f"test {test.name!r}: nothing is planned there, so that there is nothing to change."
            )
        changed = (1.0 + test.change) * part.spend
        measured, all_of_it = (plan_response(fit, part, after) for after in ("uncounted", "continued"))
        lifts, brought = (
            (one.totals(changed) - one.totals(part.spend)).sum(axis=(1, 2)) for one in (measured, all_of_it)
        )
        error = standard_error(fit, test, correlation)
        found.append(GeoForecast(test, test.change * part.total, lifts, brought, error))
    return found


def standard_error(fit: ResponseFit, test: GeoTest, correlation: float | None = None) -> float:
    """Of the lift, in the KPI's unit; correlation : of the residuals from period to period, None: estimated.

    Raises PanelError for unknown markets, or where the panel is shorter than the periods before the test.
    """
    markets = positions(test.market_ids, fit.scaling.market_ids, "market")
    before, weeks = test.pre_periods_count, test.periods_count
    if before > len(fit.panel.period_starts):
        raise PanelError(
            f"test {test.name!r} is compared with {before} periods before it; the panel has "
            f"{len(fit.panel.period_starts)}. Compare with fewer."
        )
    correlation = residual_autocorrelation(fit) if correlation is None else correlation
    change = np.mean(fit.draws.noise**2, axis=0) * _contrast_variance(before, weeks, correlation)
    level = np.array(fit.scaling.kpi_mean)
    controls = np.setdiff1d(np.arange(len(level)), markets)
    variance = float((level[markets] ** 2 * change[markets]).sum())
    if len(controls):
        shared = float(change[controls].sum()) / len(controls) ** 2
    else:
        memory = float(fit.draws.shock_memory.mean())
        shared = float(np.mean(fit.draws.shock_sd**2)) * _contrast_variance(before, weeks, memory)
    return float(weeks * np.sqrt(variance + level[markets].sum() ** 2 * shared))


def lift_estimate(
    kpi: np.ndarray, kpi_mean: np.ndarray, treated: np.ndarray, periods_count: int, pre_periods_count: int
) -> np.ndarray:
    """The measurement of the module's head: kpi (..., J, T), whose last periods_count periods are the test's and those
    before them are compared with; kpi_mean (J,); treated (J,) bool. Returns (...), in the KPI's unit."""
    share = kpi[..., -(periods_count + pre_periods_count) :] / kpi_mean[:, None]
    change = share[..., -periods_count:].mean(axis=-1) - share[..., :-periods_count].mean(axis=-1)
    control = change[..., ~treated].mean(axis=-1) if (~treated).any() else np.zeros(change.shape[:-1])
    return periods_count * ((change[..., treated] - control[..., None]) @ kpi_mean[treated])


def residual_autocorrelation(fit: ResponseFit) -> float:
    """Lag-1 correlation of recorded KPI less its posterior mean, over all markets, 0 at least."""
    draws = np.unique(np.linspace(0, len(fit.draws) - 1, RESIDUAL_DRAWS).round().astype(int))
    expected = np.zeros(fit.panel.kpi.shape)
    for k in draws:
        brought = next(contributions(fit, range(k, k + 1)))
        expected += (baseline(fit, k) + brought.sum(axis=2)) / len(draws)
    residual = (fit.panel.kpi - expected) / np.array(fit.scaling.kpi_mean)[:, None]
    before, after = residual[:, :-1], residual[:, 1:]
    both = np.isfinite(before) & np.isfinite(after)
    return float(max(np.corrcoef(before[both], after[both])[0, 1], 0.0))


def candidate_tests(
    plan: SpendPlan,
    kpi_mean: Sequence[float],
    periods_counts: Sequence[int] = (4, 8),
    changes: Sequence[float] = (-1.0, 0.5),
    pre_periods_count: int = 26,
) -> list[GeoTest]:
    """Every channel alone, in half and in a quarter of the markets (every second and fourth by size, so that both sides
    are alike; a test that is run draws them by lot), so many periods long, with such changes. One market: itself.

    kpi_mean (J,): size of the plan's markets. Tests longer than the plan, or where nothing is planned, are left out.
    """
    found = []
    for label, markets in _market_sets(plan, np.asarray(kpi_mean, dtype=float)):
        for channel in plan.channel_ids:
            for periods in periods_counts:
                if periods > len(plan.period_starts) or not plan.part(markets, (channel,), periods).total > 0:
                    continue
                for change in changes:
                    name = f"{channel} {change:+.0%}, {label}, {periods} {_unit(plan)}"
                    found.append(GeoTest(name, (channel,), markets, periods, change, pre_periods_count))
    return found


def _market_sets(plan: SpendPlan, size: np.ndarray) -> Iterator[tuple[str, tuple[str, ...]]]:
    ordered = [plan.market_ids[j] for j in np.argsort(-size, kind="stable")]
    if len(ordered) < 4:
        yield "all markets", plan.market_ids
        return
    yield "half of the markets", tuple(ordered[1::2])
    if len(ordered) >= 8:
        yield "a quarter of the markets", tuple(ordered[1::4])


def _unit(plan: SpendPlan) -> str:
    if len(plan.period_starts) < 2:
        return "periods"
    days = int((plan.period_starts[1] - plan.period_starts[0]).astype("timedelta64[D]").astype(int))
    return {1: "days", 7: "weeks"}.get(days, "months")


def _contrast_variance(before: int, after: int, correlation: float) -> float:
    """Of the mean of `after` periods less that of those before, of an autoregression of variance 1."""
    contrast = np.concatenate([np.full(before, -1.0 / before), np.full(after, 1.0 / after)])
    lags = np.abs(np.subtract.outer(np.arange(before + after), np.arange(before + after)))
    return float(contrast @ correlation**lags @ contrast)
