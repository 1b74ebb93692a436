"""Draws of a linear HBMMM in the parameters of the paper's Table 6: z-scored exposures, intercept at their means.

The fitted model scales exposures by the panel, centres them on each consumer and has its intercept at the consumer's
own means (design.py). With x_i the scaled own means, s_i their distance from the paper's means and f_i the features,
    alpha_i = level_i - sum_c beta_ic s_ic - gamma' s_iz,   beta_ic = (d_c + omega_c'f_i) + market + own
so that, expectations taken over the consumers at hand and over new markets and own effects,
    mu_alpha       mean_i of the part of alpha_i that is linear in the fixed coefficients (d, omega)
    sigma_alpha^2  its variance over i + Var(own intercept) + mean_i s_i' Sigma_beta s_i: spread within a market
    mu_beta_c      d_c + omega_c' mean_i f_i = d_c,      sigma_beta_c  sd of own slopes within market and features
in outcome units per standard deviation of Table 5. sigma_epsilon is the noise's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.errors import PanelError
from models.hbmmm.design import feature_matrix
from models.hbmmm.fit import HBMMMFit
from models.hbmmm.problem import Layout


def paper_parameters(
    fit: HBMMMFit, exposure_means: Mapping[str, float], exposure_sds: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Draws (chain, draw) by name, "mu_alpha", "mu_beta[tv]" and so on; chains of all completed data sets.

    exposure_means, exposure_sds: by channel, what an exposure is z-scored with. Covariates count as 0 in their own
    unit. Raises PanelError for a fit whose response to exposures is not linear, or with several noise strata.
    """
    design = fit.design
    if any(c.kind == "exposure_log1p" for c in design.row_columns) or len(fit.strata) > 1:
        raise PanelError(
            'Table 6 is of the linear model with one noise; fit with basis="linear" on a panel of one spend stratum.'
        )
    layout, unit = Layout.of(design, len(fit.strata)), design.outcome_scale
    channels, columns = design.modelled_channels, design.slope_columns[1:]
    per_sd = np.array(
        [unit * exposure_sds[c] / design.row_columns[i].scale for c, i in zip(channels, columns, strict=True)]
    )
    parts: dict[str, list[np.ndarray]] = {}
    for draws, completed in zip(fit.draws, fit.completed, strict=True):
        weights, distance = intercept_weights(fit, completed, exposure_means)
        fixed = draws[..., layout.fixed]
        spread = np.einsum("cdp,pq,cdq->cd", fixed, np.cov(weights.T, bias=True), fixed)
        second = distance.T @ distance / len(distance)
        flat = draws.reshape(-1, draws.shape[-1])
        factors = np.stack([layout.consumer_factor(one) for one in flat])
        own = factors[:, 0, 0] ** 2 + np.einsum("sck,cd,sdk->s", factors[:, 1:], second, factors[:, 1:])
        found = {
            "mu_alpha": unit * (fixed @ weights.mean(axis=0)),
            "sigma_alpha": unit * np.sqrt(spread + own.reshape(spread.shape)),
            "sigma_epsilon": unit * np.exp(draws[..., 0]),
        }
        for c, (channel, column) in enumerate(zip(channels, columns, strict=True)):
            found[f"mu_beta[{channel}]"] = per_sd[c] * fixed[..., column]
            found[f"sigma_beta[{channel}]"] = per_sd[c] * draws[..., layout.consumer][..., c + 1]
        for name, values in found.items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def intercept_weights(
    fit: HBMMMFit, completed, exposure_means: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """(N, p) weights of the fixed coefficients (d, omega) in alpha_i, and (N, C) the distances s_i, scaled units."""
    design = fit.design
    features = feature_matrix(design, fit.row_means, completed)
    at = np.zeros((len(features), len(design.row_columns)))
    at[:, 0] = 1.0
    for j, column in enumerate(design.row_columns):
        if column.kind == "exposure":
            at[:, j] = exposure_means[str(column.channel_id)] / column.scale - fit.row_means[:, j]
        elif column.kind == "covariate":
            at[:, j] = -column.centre / column.scale - fit.row_means[:, j]
    moderated = [at[:, c] * features[:, f] for c, f in design.moderators]
    return np.column_stack([at, *moderated]), at[:, list(design.slope_columns[1:])]
