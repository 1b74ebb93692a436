"""Power of a test whose estimate is normal about the true lift: two-sided, at a level of significance.

power = P(|estimate| > z se) = Phi(lift / se - z) + Phi(-lift / se - z),   z = Phi^-1(1 - level / 2)
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def power(lift: np.ndarray | float, standard_error: float, level: float = 0.1) -> np.ndarray:
    """Of the shape of lift, in [level, 1]. Over posterior draws of the lift its mean is the chance of a finding.

    Raises ValueError for a standard error that is not above 0 or a level outside (0, 1).
    """
    _require(standard_error, level)
    z = norm.ppf(1.0 - level / 2.0)
    ratio = np.asarray(lift, dtype=float) / standard_error
    return norm.cdf(ratio - z) + norm.cdf(-ratio - z)


def detectable_lift(standard_error: float, wanted_power: float = 0.8, level: float = 0.1) -> float:
    """The least lift, in the standard error's unit, that is found with the wanted power (of the right sign)."""
    _require(standard_error, level)
    if not level < wanted_power < 1:
        raise ValueError(f"wanted_power is {wanted_power}; it must lie between level {level} and 1.")
    return float(standard_error * (norm.ppf(1.0 - level / 2.0) + norm.ppf(wanted_power)))


def _require(standard_error: float, level: float) -> None:
    if not 0 < standard_error < np.inf:
        raise ValueError(f"the standard error is {standard_error}; it must be above 0 and finite.")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie in (0, 1).")
