"""Two parts for data full of zeros: whether a consumer buys in a period, and for how much.

    E[y_it] = p_it mu_it,   logit p_it hierarchical (two_part_incidence.py),   mu_it = E[y_it | y_it != 0] hierarchical

Both parts have the money model's structure: fixed effects, moderators with own means, market and consumer effects,
period effects; random effects of the two parts are independent. The amount is the Gaussian model on the money scale
over the rows with a purchase, not one of log amounts: no retransformation, whose error is what ruins log models in
dollars; net returns, which have no logarithm, stay in; and the mean is right whatever the amounts' distribution.

A row's effect is p mu under one exposure less p mu under another: proportional to the consumer's level through p.
Where exposure adds dollars regardless of level (the additive worlds of `make study-outcomes`) that is the wrong shape.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.errors import NotFittedError, PanelError
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import build_design, with_slope_sizes
from models.hbmmm.fit import HBMMMFit, designed_and_completed, fit_completed, fit_of_samples
from models.hbmmm.two_part_incidence import (
    sample_incidence,
    starting_predictor,
    working_model,
    working_statistics,
)
from models.hbmmm.two_part_rows import PanelRows

Progress = Callable[[str, float], None]
ROWS_MOST = 1_000_000  # both parts work on rows: the scaled columns alone take 8 bytes times columns for each
PURCHASES_LEAST = 100
_MARK = "two_part.json"


@dataclass(frozen=True, slots=True, eq=False)
class TwoPartFit:
    """incidence: scaled in log odds, approximate. amount: in money over purchases. predictor (2, R): mean and
    variance of the log odds of the panel's rows, at which the incidence's working statistics were made."""

    incidence: HBMMMFit
    amount: HBMMMFit
    predictor: np.ndarray

    @property
    def config(self) -> HBMMMConfig:
        """Settings of both parts (the incidence takes its normal approximation whatever `inference` says)."""
        return self.amount.config

    @property
    def completed(self) -> tuple[pd.DataFrame, ...]:
        """The completed characteristics, the same in both parts."""
        return self.amount.completed

    def save(self, folder: str | Path) -> None:
        """Write both parts; the file that says so comes last."""
        folder = Path(folder)
        self.incidence.save(folder / "incidence")
        self.amount.save(folder / "amount")
        frame = pd.DataFrame(self.predictor.T, columns=["mean", "variance"])
        frame.to_parquet(folder / "predictor.parquet", index=False)
        (folder / _MARK).write_text(json.dumps({"format": 1}), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> TwoPartFit:
        """Read a saved folder; raises NotFittedError when it is not complete."""
        folder = Path(folder)
        if not is_two_part(folder):
            raise NotFittedError(f"no complete two-part fit in {folder}: fit and save the model again.")
        predictor = pd.read_parquet(folder / "predictor.parquet")[["mean", "variance"]].to_numpy().T
        return cls(HBMMMFit.load(folder / "incidence"), HBMMMFit.load(folder / "amount"), predictor)


def is_two_part(folder: str | Path) -> bool:
    """Whether a folder holds a saved two-part fit."""
    return (Path(folder) / _MARK).is_file()


def fit_two_part(panel: Any, config: HBMMMConfig, progress: Progress | None = None) -> TwoPartFit:
    """Fit both parts on a ConsumerPanel's rows.

    Raises PanelError where there is nothing to tell apart (no zeros, hardly a purchase) or too many rows, and
    ConvergenceError when a mode is not found or the incidence does not settle.
    """
    tell = progress or (lambda text, share: None)
    started = time.perf_counter()
    require_two_parts(np.asarray(panel.gmv))
    rows = PanelRows.of(panel)
    rng = np.random.default_rng(config.seed)
    design, completed = designed_and_completed(rows.statistics, panel.characteristics, config, rng)
    seconds = {"imputation": time.perf_counter() - started}
    tell(f"completed data sets: {len(completed)}", 0.02)

    started = time.perf_counter()
    incidence_design = with_slope_sizes(
        replace(design, outcome_scale=1.0), working_statistics(rows, starting_predictor(rows))
    )
    own_means = rows.own_means(incidence_design)
    working = working_model(rows, incidence_design, completed[0], config)
    tell(f"incidence settled after {working.rounds} rounds", 0.3)
    each = replace(config, draws=config.draws_each(len(completed)), inference="laplace")
    samples = [
        sample_incidence(
            working.statistics,
            incidence_design,
            one,
            each,
            int(rng.integers(2**31 - 1)),
            working.mode,
            own_means,
        )
        for one in completed
    ]
    seconds["sampling"] = time.perf_counter() - started
    incidence = fit_of_samples(
        working.statistics,
        incidence_design,
        completed,
        replace(config, inference="laplace"),
        samples,
        rng,
        seconds,
        own_means=own_means,
    )
    amounts = rows.amounts()
    scale = build_design(amounts, design.characteristics, config).outcome_scale
    amount = fit_completed(
        amounts,
        with_slope_sizes(replace(design, outcome_scale=scale), amounts),
        completed,
        config,
        rng,
        lambda text, share: tell(f"amount: {text}", 0.4 + 0.6 * share),
        {"imputation": 0.0},
    )
    return TwoPartFit(incidence, amount, working.predictor)


def require_two_parts(gmv: np.ndarray) -> None:
    """Raises PanelError where net GMV (R,) cannot be split into incidence and amount."""
    bought = int((gmv != 0).sum())
    if len(gmv) > ROWS_MOST:
        raise PanelError(
            f"the panel has {len(gmv):,} rows; the two-part model works on rows and takes at most {ROWS_MOST:,}. "
            "Take outcome money or log1p, which need sufficient statistics only."
        )
    if bought == len(gmv):
        raise PanelError(
            "every panel row has a purchase, so there is no incidence to model; take outcome money or log1p."
        )
    if bought < PURCHASES_LEAST:
        raise PanelError(
            f"only {bought} panel rows have a purchase; the amount part needs at least {PURCHASES_LEAST}. Take "
            "outcome money, or a longer panel."
        )
