"""Did the chains agree, and did they give enough draws? (Vehtari et al. 2021: R-hat below 1.01.)

Importance samples have no chains: their k-hat and effective size are judged in their place (Vehtari et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.checks.base import CheckResult


@dataclass(frozen=True)
class ConvergenceThresholds:
    """Limits that a fit must keep: r_hat, k_hat below, effective sample size, E-BFMI above, divergences not above.

    e_bfmi: Betancourt 2016; below .3 the chains' energies move too slowly to have seen the tails.
    """

    r_hat: float = 1.01
    ess: float = 400.0
    divergences_count: int = 0
    k_hat: float = 0.5
    e_bfmi: float = 0.3


def check_convergence(
    r_hat: Mapping[str, float],
    ess: Mapping[str, float],
    divergences_count: int | None,
    e_bfmi: float | None,
    thresholds: ConvergenceThresholds | None = None,
) -> CheckResult:
    """Check `converged`: every parameter, by name, the number of divergent transitions, the least E-BFMI.

    ess: the smaller of bulk and tail effective sample size.
    A value that is NaN, a parameter that one of the two mappings lacks, no parameters at all, or an unknown
    number of divergences or E-BFMI cannot be judged: the check is then not evaluated, unless something else fails.
    """
    limits = thresholds or ConvergenceThresholds()
    table = pd.DataFrame({"r_hat": pd.Series(r_hat, dtype=float), "ess": pd.Series(ess, dtype=float)})
    table.index.name = "parameter"
    known = np.isfinite(table[["r_hat", "ess"]])
    energy = None if e_bfmi is None or not np.isfinite(e_bfmi) else float(e_bfmi)
    bad = (table["r_hat"] >= limits.r_hat) | (table["ess"] <= limits.ess)  # NaN compares as False
    table["passed"] = [
        False if is_bad else (True if is_known else None)
        for is_bad, is_known in zip(bad, known.all(axis=1), strict=True)
    ]
    table = table.reset_index()
    worst_r_hat = float(table["r_hat"].max()) if known["r_hat"].any() else None
    least_ess = float(table["ess"].min()) if known["ess"].any() else None
    said = (
        f"largest R-hat {_shown(worst_r_hat, '.4f')} (limit {limits.r_hat}), least effective sample size "
        f"{_shown(least_ess, '.0f')} (limit {limits.ess:.0f}), divergences {_shown(divergences_count, 'd')}, "
        f"least E-BFMI {_shown(energy, '.2f')} (limit {limits.e_bfmi})"
    )
    too_many = divergences_count is not None and divergences_count > limits.divergences_count
    too_slow = energy is not None and energy <= limits.e_bfmi
    if bad.any() or too_many or too_slow:
        names = ", ".join(table.loc[bad.to_numpy(), "parameter"].astype(str).head(5))
        named = f"; worst offenders {names}." if names and len(table) > 1 else "."
        passed, text = False, f"Not converged: {said}{named}"
    elif table.empty or not known.to_numpy().all() or divergences_count is None or energy is None:
        gaps = int((~known.all(axis=1)).sum())
        passed = None
        text = (
            f"Not evaluated: {gaps} of {len(table)} parameters have no finite R-hat or sample size; {said}."
        )
    else:
        passed, text = True, f"Converged: {said}."
    return CheckResult("converged", passed, text, worst_r_hat, limits.r_hat, table)


def check_importance(
    k_hat: float, ess: float, thresholds: ConvergenceThresholds | None = None
) -> CheckResult:
    """Check `converged` of a fit by importance sampling: worst k-hat and summed effective size of its data sets."""
    limits = thresholds or ConvergenceThresholds()
    table = pd.DataFrame({"parameter": ["all"], "k_hat": [k_hat], "ess": [ess]})
    said = (
        f"k-hat {k_hat:.2f} (limit {limits.k_hat}), effective sample size {ess:.0f} (limit {limits.ess:.0f})"
    )
    if k_hat >= limits.k_hat or ess <= limits.ess:
        passed, text = False, f"Not converged: {said}."
    elif not (np.isfinite(k_hat) and np.isfinite(ess)):
        passed, text = None, f"Not evaluated: {said}."
    else:
        passed, text = True, f"Converged: {said}."
    table["passed"] = passed
    return CheckResult("converged", passed, text, k_hat, limits.k_hat, table)


def _shown(value: float | int | None, fmt: str) -> str:
    return "unknown" if value is None else format(value, fmt)
