"""The model again, on data or priors a little different, in seconds: for placebos and robustness by the hundred.

Columns, scaling and completed characteristics are those of a full fit, the search for the mode starts at its posterior
mean, and draws are of the normal approximation (normal_approximation.py). What a refit says of a specification is its
difference from a refit of the unchanged one, never from the full fit: approximation and imputations then cancel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.errors import PanelError
from models.hbmmm.characteristics import Characteristic
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design, build_design, with_slope_sizes
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
    rows = rows_of_fit(fit, statistics)
    if len(statistics.market_ids) != len(fit.market_ids):
        raise PanelError(
            f"the statistics have {len(statistics.market_ids)} markets and the fit {len(fit.market_ids)}; refit "
            "consumers of the fitted panel with all its markets, or take refit_channel_effects."
        )
    settings = refit_config(fit, config, imputations_count, seed)
    start = fit.draws[0].mean(axis=(0, 1))
    same_strata = set(np.unique(statistics.spend_stratum)) == set(fit.strata)
    return fit_completed(
        statistics,
        with_slope_sizes(fit.design, statistics),
        tuple(one.iloc[rows] for one in fit.completed[:imputations_count]),
        settings,
        np.random.default_rng(settings.seed),
        lambda text, share: None,
        {"imputation": 0.0},
        start if same_strata else None,
    )


def rows_of_fit(fit: HBMMMFit, statistics: SufficientStatistics) -> np.ndarray:
    """Position in the fit of each consumer of the statistics, (N,). Raises PanelError for strangers."""
    row = {consumer: i for i, consumer in enumerate(fit.consumer_ids.tolist())}
    unknown = [c for c in statistics.consumer_ids.tolist() if c not in row]
    if unknown:
        raise PanelError(
            f"{len(unknown)} consumers of these statistics (first: {unknown[:3]}) are not in the fit; refit consumers "
            "of the fitted panel, or fit anew."
        )
    return np.array([row[c] for c in statistics.consumer_ids.tolist()])


def refit_config(
    fit: HBMMMFit, config: HBMMMConfig | None, imputations_count: int, seed: int | None
) -> HBMMMConfig:
    """The configuration (of the fit, if None) with the sampler of refits."""
    settings = config or fit.config
    return replace(
        settings,
        inference="laplace",
        draws=-(-DRAWS // settings.chains),
        effect_draws=DRAWS * imputations_count,
        seed=settings.seed if seed is None else seed,
    )


def design_like(
    fit: HBMMMFit,
    statistics: SufficientStatistics,
    config: HBMMMConfig,
    characteristics: tuple[Characteristic, ...] | None = None,
) -> Design:
    """Columns of other statistics or settings under the affine maps of the fit, so that priors mean the same.

    characteristics: those of the fit if None. Columns and features the fit does not know get maps of their own.
    """
    made = build_design(statistics, characteristics or fit.design.characteristics, config)
    rows = {column.name: column for column in fit.design.row_columns}
    means = {mean.name: mean for mean in fit.design.means}
    design = replace(
        made,
        outcome_scale=fit.design.outcome_scale,
        row_columns=tuple(
            replace(c, centre=rows[c.name].centre, scale=rows[c.name].scale) if c.name in rows else c
            for c in made.row_columns
        ),
        means=tuple(
            replace(m, centre=means[m.name].centre, scale=means[m.name].scale) if m.name in means else m
            for m in made.means
        ),
    )
    return with_slope_sizes(design, statistics)
