"""Would another prior have moved the posterior? Its draws, reweighted by the ratio of the priors.

w_s = p_alternative(theta_s) / p(theta_s), smoothed (Vehtari et al. 2024): no refit, no approximation, and k-hat says
where the draws at hand cannot carry the answer. Within each completed data set weights sum to one: the mixture over
imputations stays the equal one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.hbmmm import correlation
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.problem import Layout, prior_table
from models.hbmmm.psis import smooth_weights

K_HAT_MOST = 0.7  # beyond, no number of draws helps (Vehtari et al. 2024)


@dataclass(frozen=True, slots=True, eq=False)
class Reweighting:
    """weights (imputation, kept): of the draws kept for effects, summing to one in all; k_hat: the worst data set's."""

    weights: np.ndarray
    k_hat: float

    @property
    def is_reliable(self) -> bool:
        """k-hat is known and small enough."""
        return bool(self.k_hat < K_HAT_MOST)


def reweight(fit: HBMMMFit, config: HBMMMConfig) -> Reweighting:
    """Weights of the fit's draws under the priors of another configuration (same columns, same layout)."""
    kept, shapes = [], []
    for draws in fit.draws:
        flat = draws.reshape(-1, draws.shape[-1])
        ratios = log_prior_change(fit, config, flat)
        if np.ptp(ratios) < 1e-12:  # the same prior: nothing to weigh
            kept.append(np.full(len(fit.kept_index), 1.0 / len(fit.kept_index)))
            shapes.append(-np.inf)
            continue
        smoothed = smooth_weights(ratios)
        chosen = smoothed.weights[fit.kept_index]
        is_possible = chosen.sum() > 0
        kept.append(chosen / chosen.sum() if is_possible else np.full(len(chosen), 1.0 / len(chosen)))
        shapes.append(
            smoothed.k_hat if is_possible else np.inf
        )  # no kept draw is possible under the other prior
    return Reweighting(np.stack(kept) / len(kept), float(np.max(shapes)))


def log_prior_change(fit: HBMMMFit, config: HBMMMConfig, draws: np.ndarray) -> np.ndarray:
    """Log of the other prior's density over that of the fit's at draws (S, d), up to a constant, (S,)."""
    sd, other = (prior_table(fit.design, len(fit.strata), c)[1] for c in (fit.config, config))
    change = -0.5 * draws**2 @ (other**-2.0 - sd**-2.0)
    part = Layout.of(fit.design, len(fit.strata)).correlation
    if part.stop > part.start and config.prior_slope_correlation != fit.config.prior_slope_correlation:
        slopes = len(fit.design.slope_columns) - 1
        for sign, concentration in (
            (1.0, config.prior_slope_correlation),
            (-1.0, fit.config.prior_slope_correlation),
        ):
            values = [correlation.log_prior_ratio(z, slopes, concentration)[0] for z in draws[:, part]]
            change += sign * np.array(values)
    return change
