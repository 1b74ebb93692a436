"""Whether the chains can be believed: R-hat, effective sizes, divergences, E-BFMI, and what a verdict asks of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.hbmmm.diagnostics import e_bfmi, ess_bulk, ess_tail, r_hat
from models.response.sampler import Sample

R_HAT_MOST, ESS_LEAST, E_BFMI_LEAST = 1.01, 400.0, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Diagnostics:
    """table: parameter, r_hat, ess_bulk, ess_tail of every sampled parameter."""

    table: pd.DataFrame
    divergences_count: int
    e_bfmi: float
    evaluations_count: int
    tree_depth: float
    seconds: dict[str, float]

    @property
    def worst_r_hat(self) -> float:
        """Largest; nan where one is not a number."""
        return float(np.max(self.table["r_hat"].to_numpy()))

    @property
    def least_ess(self) -> float:
        """Least bulk size of the sampled parameters."""
        return float(np.min(self.table["ess_bulk"].to_numpy()))

    @property
    def has_converged(self) -> bool:
        """R-hat, bulk ESS, E-BFMI within their limits and no divergence; False where one is not a number."""
        return bool(
            self.worst_r_hat < R_HAT_MOST
            and self.least_ess > ESS_LEAST
            and self.e_bfmi > E_BFMI_LEAST
            and self.divergences_count == 0
        )


def draws_quality(draws: np.ndarray, chains: int) -> tuple[np.ndarray, np.ndarray]:
    """R-hat and the smaller of bulk and tail size, (d,) each, of kept draws (K, d) in the order of their chains.

    NaN where the chains did not keep equally many, or fewer than four, draws.
    """
    kept = len(draws) // chains
    if len(draws) % chains or kept < 4:
        return (np.full(draws.shape[1], np.nan),) * 2
    by_chain = draws.reshape(chains, kept, -1)
    return r_hat(by_chain[None]), np.minimum(ess_bulk(by_chain), ess_tail(by_chain))


def diagnose(sample: Sample, names: tuple[str, ...]) -> Diagnostics:
    """Of all draws of the sampled parameters; the integrated-out part is drawn independently given these."""
    return Diagnostics(
        table=pd.DataFrame(
            {
                "parameter": names,
                "r_hat": r_hat(sample.draws[None]),
                "ess_bulk": ess_bulk(sample.draws),
                "ess_tail": ess_tail(sample.draws),
            }
        ),
        divergences_count=sample.divergences_count,
        e_bfmi=e_bfmi(sample.energy),
        evaluations_count=sample.evaluations_count,
        tree_depth=sample.depth,
        seconds={
            "mode": sample.seconds_mode,
            "pilot": sample.seconds_pilot,
            "chains": sample.seconds_chains,
        },
    )
