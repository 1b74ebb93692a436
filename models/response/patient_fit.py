"""A fit that is not given up at the first divergence: repeated with shorter steps and more draws, a few times.

Steps accepted two thirds of the time are the quickest where the posterior is near normal; national series and channels
that move together have necks in which such steps diverge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.response.config import ResponseConfig
from models.response.diagnostics import Diagnostics
from models.response.fit import Progress, ResponseFit, fit_response
from models.response.lift_tests import LiftTest
from models.response.market_panel import MarketPanel
from models.response.scaling import Scaling

PATIENT_ACCEPT = 0.9
ATTEMPTS_MOST = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What a fit must keep not to be repeated: R-hat below, effective sizes (bulk and tail) above."""

    r_hat: float = 1.01
    ess: float = 400.0
    e_bfmi: float = 0.3

    def hold(self, found: Diagnostics) -> bool:
        """False where a figure is not a number."""
        sizes = found.table[["ess_bulk", "ess_tail"]].to_numpy()
        return bool(
            found.worst_r_hat < self.r_hat
            and (sizes > self.ess).all()
            and found.divergences_count == 0
            and found.e_bfmi > self.e_bfmi
        )


def fit_patiently(
    panel: MarketPanel,
    config: ResponseConfig,
    *,
    lift_tests: Sequence[LiftTest] = (),
    scaling: Scaling | None = None,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> tuple[ResponseFit, int]:
    """The first fit that keeps the limits, else the last, and how many were made. Errors as in fit_response.

    A repetition asks for acceptance of .9 and twice the draws, tuning included; its configuration is in the fit.
    """
    limits, attempts = limits or Limits(), 0
    while True:
        fit = fit_response(panel, config, lift_tests=lift_tests, scaling=scaling, progress=progress)
        attempts += 1
        if limits.hold(fit.diagnostics) or attempts == ATTEMPTS_MOST:
            return fit, attempts
        config = replace(
            config,
            target_accept=max(config.target_accept, PATIENT_ACCEPT),
            draws=2 * config.draws,
            tune=2 * config.tune,
        )
