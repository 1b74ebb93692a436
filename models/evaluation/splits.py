"""Training panels and the rows held out from them: by period (rolling origin) or by consumer, never random rows.

Rolling origin asks what a model knows of the next periods of known consumers; by consumer, what it knows of people it
has never seen. A training panel holds nothing of what it is tested on: not the rows, and in a rolling origin not the
exposures of the held-out and later periods either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.baselines.base import Rows
from models.errors import PanelError
from models.panel import ConsumerPanel


@dataclass(frozen=True, eq=False)
class PanelSplit:
    """One split.

    train: panel of the training rows, its consumers and markets being those with a training row.
    test: the held-out rows. test_positions (R_test,): where they stand in the panel that was split.
    new_consumer_rows_count: rows of the held-out periods left out because their consumer has no training row.
    """

    name: str
    train: ConsumerPanel
    test: Rows
    test_positions: np.ndarray
    new_consumer_rows_count: int = 0


def rolling_origin_splits(
    panel: ConsumerPanel, *, horizon: int, folds: int = 1, step: int | None = None
) -> tuple[PanelSplit, ...]:
    """Splits by period, the oldest origin first; the last one holds out the last `horizon` panel periods.

    horizon: panel periods held out after each origin. step: periods between origins, `horizon` by default. Training is
    every earlier row. Held out are the rows of consumers that training knows; the others are counted.

    Raises PanelError where a count is below 1, where no period is left to train on, or where no known consumer has a
    row in the held-out periods.
    """
    step = horizon if step is None else step
    for name, value in (("horizon", horizon), ("folds", folds), ("step", step)):
        if value < 1:
            raise PanelError(f"{name} is {value}; a rolling origin needs 1 or more.")
    periods = len(panel.period_starts)
    first = periods - horizon - (folds - 1) * step
    if first < 1:
        raise PanelError(
            f"the panel has {periods} periods; {folds} origins, {step} apart, with {horizon} held out leave "
            f"{max(first, 0)} to train the first on. Take fewer folds or a shorter horizon."
        )
    return tuple(_by_period(panel, first + k * step, horizon) for k in range(folds))


def by_consumer_splits(panel: ConsumerPanel, *, folds: int = 5, seed: int = 0) -> tuple[PanelSplit, ...]:
    """Splits by consumer: every consumer with all its rows is held out once. The same seed gives the same folds.

    Raises PanelError where folds is below 2 or above the number of consumers, or a fold holds no row.
    """
    if not 2 <= folds <= panel.consumers_count:
        raise PanelError(
            f"folds is {folds}; between 2 and the panel's {panel.consumers_count} consumers are possible: with fewer "
            "folds nobody is left to train on, with more nobody to test on."
        )
    order = np.random.default_rng(seed).permutation(panel.consumers_count)
    fold = np.empty(panel.consumers_count, dtype=np.int64)
    fold[order] = np.arange(panel.consumers_count) % folds
    splits = []
    for k in range(folds):
        held_out = fold[panel.consumer_index] == k
        name = f"consumers {k + 1} of {folds}"
        if not held_out.any():
            raise PanelError(f"{name}: none of them has a panel row to test on. Take fewer folds.")
        splits.append(
            PanelSplit(
                name, panel_subset(panel, ~held_out), Rows.of_panel(panel, held_out), np.flatnonzero(held_out)
            )
        )
    return tuple(splits)


def consumers_sample(panel: ConsumerPanel, count: int, rng: np.random.Generator) -> ConsumerPanel:
    """The panel of `count` consumers drawn without replacement, with all their rows; the panel itself if no larger."""
    if panel.consumers_count <= count:
        return panel
    chosen = np.zeros(panel.consumers_count, dtype=bool)
    chosen[rng.choice(panel.consumers_count, count, replace=False)] = True
    return panel_subset(panel, chosen[panel.consumer_index])


def of_consumers(panel: ConsumerPanel, consumer_ids: np.ndarray) -> ConsumerPanel:
    """The panel of the named consumers, with all their rows."""
    return panel_subset(panel, np.isin(panel.consumer_ids, consumer_ids)[panel.consumer_index])


def panel_subset(
    panel: ConsumerPanel, keep: np.ndarray, calendar_end: np.datetime64 | None = None
) -> ConsumerPanel:
    """The panel of the rows where `keep` (R,) holds, with the consumers, markets and periods that these have.

    calendar_end: exposures and calendar periods from this day on are left out too. Channels and covariates stay, so
    that designs of different subsets have the same columns. Raises PanelError where no row is kept.
    """
    rows = panel.rows_subset(keep)
    if not len(rows["gmv"]):
        raise PanelError(f"none of the panel's {panel.rows_count} rows is kept; there is nothing to fit.")
    consumers, consumer_index = np.unique(rows["consumer_index"], return_inverse=True)
    markets, market_index = np.unique(rows["market_index"], return_inverse=True)
    periods, period_index = np.unique(rows["period_index"], return_inverse=True)
    calendar = panel.calendar if calendar_end is None else panel.calendar[panel.calendar < calendar_end]
    new_position = np.full(panel.consumers_count, -1)
    new_position[consumers] = np.arange(len(consumers))
    events = panel.exposure_events
    inside = (new_position[events[:, 0]] >= 0) & (events[:, 1] < len(calendar))
    events = np.column_stack([new_position[events[:, 0]], events[:, 1:]])[inside].astype(np.int64)
    return replace(
        panel,
        consumer_ids=panel.consumer_ids[consumers],
        market_ids=panel.market_ids[markets],
        period_starts=panel.period_starts[periods],
        consumer_index=consumer_index.astype(np.int64),
        market_index=market_index.astype(np.int64),
        period_index=period_index.astype(np.int64),
        gmv=rows["gmv"],
        exposures=rows["exposures"],
        covariates=rows["covariates"],
        consumer_market_index=np.searchsorted(markets, panel.consumer_market_index[consumers]),
        spend_stratum=panel.spend_stratum[consumers],
        characteristics=panel.characteristics.iloc[consumers],
        calendar=calendar,
        exposure_events=events,
        exposure_event_counts=panel.exposure_event_counts[inside],
    )


def _by_period(panel: ConsumerPanel, origin: int, horizon: int) -> PanelSplit:
    starts = panel.period_starts
    train = panel.period_index < origin
    later = (panel.period_index >= origin) & (panel.period_index < origin + horizon)
    known = np.zeros(panel.consumers_count, dtype=bool)
    known[panel.consumer_index[train]] = True
    test = later & known[panel.consumer_index]
    name = f"{starts[origin]} to {starts[origin + horizon - 1]}"
    if not test.any():
        raise PanelError(
            f"the {int(later.sum())} rows of {name} belong to consumers without a row before {starts[origin]}, so "
            "nothing is left to test on. Take a later origin or split by consumer."
        )
    return PanelSplit(
        name,
        panel_subset(panel, train, starts[origin]),
        Rows.of_panel(panel, test),
        np.flatnonzero(test),
        int(later.sum() - test.sum()),
    )
