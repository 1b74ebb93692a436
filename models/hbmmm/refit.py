"""The model again, on data or priors a little different, in seconds: for placebos and robustness by the hundred.

Columns, scaling and completed characteristics are those of a full fit, the search for the mode starts at its posterior
mean, and draws are of the normal approximation (normal_approximation.py). What a refit says of a specification is its
difference from a refit of the unchanged one, never from the full fit: approximation and imputations then cancel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.errors import PanelError
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.fit import HBMMMFit, fit_completed
from models.hbmmm.statistics import SufficientStatistics

DRAWS = 500  # independent ones: an interval's end errs by some 6 % of a standard deviation


def refit_hbmmm(
    fit: HBMMMFit,
    statistics: SufficientStatistics,
    *,
    config: HBMMMConfig | None = None,
    imputations_count: int = 1,
    seed: int | None = None,
) -> HBMMMFit:
    """Refit on statistics of consumers of `fit` (all or some, same columns and markets, other numbers).

    config: other priors; None keeps those of the fit. imputations_count: how many of its completed data sets are used.
    Raises PanelError for consumers or columns the fit does not know, ConvergenceError when no mode is found.
    """
    row = {consumer: i for i, consumer in enumerate(fit.consumer_ids.tolist())}
    unknown = [c for c in statistics.consumer_ids.tolist() if c not in row]
    if unknown or len(statistics.market_ids) != len(fit.market_ids):
        raise PanelError(
            f"{len(unknown)} consumers (first: {unknown[:3]}) or some markets of these statistics are not in the fit; "
            "refit consumers of the fitted panel, or fit anew."
        )
    rows = np.array([row[c] for c in statistics.consumer_ids.tolist()])
    settings = config or fit.config
    settings = replace(
        settings,
        inference="laplace",
        draws=-(-DRAWS // settings.chains),
        effect_draws=DRAWS * imputations_count,
        seed=settings.seed if seed is None else seed,
    )
    start = fit.draws[0].mean(axis=(0, 1))
    same_strata = set(np.unique(statistics.spend_stratum)) == set(fit.strata)
    return fit_completed(
        statistics,
        fit.design,
        tuple(one.iloc[rows] for one in fit.completed[:imputations_count]),
        settings,
        np.random.default_rng(settings.seed),
        lambda text, share: None,
        {"imputation": 0.0},
        start if same_strata else None,
    )
