"""What the HBMMM expects before it has seen an outcome, beside what was observed: are the priors of this world?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.evaluation.prior_worlds import PriorWorlds
from models.evaluation.splits import consumers_sample
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.panel import ConsumerPanel

DRAWS = 200
CONSUMERS_MOST = 2_000  # rows are drawn one by one; so many consumers know a mean and a spread well enough
COLUMNS = ("quantity", "observed", "prior_lower", "prior_median", "prior_upper", "is_inside")


def prior_predictive(
    panel: ConsumerPanel,
    design: Design,
    completed: pd.DataFrame,
    config: HBMMMConfig,
    rng: np.random.Generator,
    draws_count: int = DRAWS,
) -> pd.DataFrame:
    """COLUMNS, one row a quantity of the outcome over the panel's rows, in its unit (shares without).

    The prior interval is central, of config.interval_level, over `draws_count` worlds drawn from the priors on the
    panel's own exposures and characteristics (Gelman et al. 2020, Bayesian workflow, section 2.4). `completed`: the
    characteristics without gaps, by consumer id. Above CONSUMERS_MOST consumers a sample of them is used.

    Raises
    ------
    PanelError : a consumer of the panel has no completed characteristics.
    """
    part = consumers_sample(panel, CONSUMERS_MOST, rng)
    unknown = np.setdiff1d(part.consumer_ids, completed.index)
    if len(unknown):
        raise PanelError(
            f"{len(unknown)} consumers have no completed characteristics, such as {unknown[0]!r}; give those of the "
            "fit of this panel."
        )
    chosen = completed.loc[part.consumer_ids]
    worlds = PriorWorlds(
        part, design, chosen, config, panel.exposure_bends
    )  # the fit's bends, not the sample's
    drawn = pd.DataFrame(
        [_quantities(worlds, worlds.outcome(rng)[1] * design.outcome_scale) for _ in range(draws_count)]
    )
    observed = _quantities(worlds, worlds.rows[:, -1])
    tail = (1.0 - config.interval_level) / 2.0
    lower, median, upper = (drawn.quantile(q) for q in (tail, 0.5, 1.0 - tail))
    table = pd.DataFrame(
        {
            "quantity": list(observed),
            "observed": list(observed.values()),
            "prior_lower": lower.to_numpy(),
            "prior_median": median.to_numpy(),
            "prior_upper": upper.to_numpy(),
        }
    )
    inside = (table["prior_lower"] <= table["observed"]) & (table["observed"] <= table["prior_upper"])
    return table.assign(is_inside=inside)[list(COLUMNS)]


def _quantities(worlds: PriorWorlds, outcome: np.ndarray) -> dict[str, float]:
    """Level and spread of an outcome by row (R,)."""
    counts = np.bincount(worlds.consumer)
    means = np.bincount(worlds.consumer, outcome) / counts
    within = outcome - means[worlds.consumer]
    return {
        "mean per consumer-period": float(outcome.mean()),
        "standard deviation between consumers": float(means.std()),
        "standard deviation within consumers": float(np.sqrt((within**2).mean())),
        "95 % quantile of a consumer-period": float(np.quantile(outcome, 0.95)),
    }
