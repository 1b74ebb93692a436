"""What the model explains: net GMV in money, or its logarithm.

`money` is net GMV of the period. `log1p` is sign(y) log(1 + |y|): the paper's log1p of dollars (Ni et al. 2023, eq. 1)
where GMV is not negative, and odd around zero where returns exceed purchases, which log1p has no value for.

A log1p fit is in log points and stays there. Carried back to dollars, with 45 % of the months empty, it overstates
contributions by 1.2 to 2.0 (studies/consumer_effects.md, 4): such a fit publishes slopes and att_exposed in log points,
and no contribution. For zero-heavy data in money see two_part.py.
"""

from __future__ import annotations

import numpy as np

#: Outcome of a Gaussian fit -> name of its column in the statistics.
OUTCOME_COLUMNS = {"money": "gmv_net_amount", "log1p": "gmv_net_log1p"}
KPIS = {"money": "gmv_net", "log1p": "gmv_net_log1p"}
LOG_UNIT = "log points"


def outcome_values(gmv: np.ndarray, outcome: str) -> np.ndarray:
    """The outcome of rows with net GMV (R,). Raises ValueError for an unknown outcome."""
    gmv = np.asarray(gmv, dtype=float)
    if outcome == "money":
        return gmv
    if outcome == "log1p":
        return np.sign(gmv) * np.log1p(np.abs(gmv))
    raise ValueError(f"outcome is {outcome!r}; a Gaussian fit explains one of {list(OUTCOME_COLUMNS)}.")
