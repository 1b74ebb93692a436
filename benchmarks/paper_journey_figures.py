"""Figures 3 and 5 of Ni et al. 2023 for a home's fit in money: what of them a fit without the paper's linearity has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.panel import ConsumerPanel

#: Characteristics of Figure 5 and how they are shown; a home that lacks one has a panel less.
KNOWN = {
    "age_years": "age",
    "income_thousand_usd": "income, thousand USD",
    "rfm_monetary_amount": "past purchases, log(1 + USD) before the panel",
}


def exposure_sds(panel: ConsumerPanel) -> dict[str, float]:
    """Standard deviation of each channel's exposures over the panel's rows."""
    return dict(zip(panel.channel_ids, panel.exposures.std(axis=0).tolist(), strict=True))


def known_of(panel: ConsumerPanel) -> pd.DataFrame:
    """The characteristics of Figure 5 by consumer, gaps as NaN, under the names that the picture shows."""
    shown = {}
    for name, label in KNOWN.items():
        if name in panel.characteristics:
            values = panel.characteristics[name].to_numpy(dtype=float)
            shown[label] = np.log1p(values) if "log(1" in label else values
    return pd.DataFrame(shown, index=panel.characteristics.index)


def figure_3(fit: Any, panel: ConsumerPanel) -> bytes:
    """Noise and spreads, coefficients of the count for four markets and four consumers, and their averages.

    All per standard deviation of the panel's exposures; market and consumer panels are of the channel whose consumers
    differ most. The concave column, by which consumers differ as their characteristics do, is in none of them.
    """
    from models.evaluation.group_slopes import group_slope_draws
    from models.figures.posterior_grid import posterior_grid
    from models.hbmmm.problem import Layout
    from models.hbmmm.statistics import SufficientStatistics

    channels, columns = list(fit.design.modelled_channels), list(fit.design.slope_columns[1:])
    sds = np.array([exposure_sds(panel)[c] for c in channels])
    layout, unit = Layout.of(fit.design, len(fit.strata)), fit.design.outcome_scale
    per_sd = unit * sds / np.array([fit.design.row_columns[c].scale for c in columns])
    own = fit.draws[..., layout.consumer]
    population = {
        f"noise sd, {stratum} spend": unit * np.exp(fit.draws[..., s]) for s, stratum in enumerate(fit.strata)
    }
    population |= {"own intercepts, sd": unit * own[..., 0]}
    population |= {f"own slopes, sd [{c}]": per_sd[i] * own[..., i + 1] for i, c in enumerate(channels)}
    most = int(np.argmax([values.mean() for values in list(population.values())[-len(channels) :]]))

    by_market = fit.market_draws.mean(axis=(0, 1))[:, 1 + most]
    by_consumer = fit.coefficient_mean[:, columns[most]]
    markets, consumers = _quartered(by_market), _quartered(by_consumer)
    members = [fit.market_index == j for j in markets] + [np.arange(len(by_consumer)) == i for i in consumers]
    members = np.stack([*members, np.ones(len(by_consumer), dtype=bool)])
    slopes = group_slope_draws(fit, SufficientStatistics.from_panel(panel), members) * sds
    levels = {
        "population": population,
        f"market\n({channels[most]})": {
            f"market {fit.market_ids[j]}": slopes[:, g, most] for g, j in enumerate(markets)
        },
        f"consumer\n({channels[most]})": {
            f"consumer {fit.consumer_ids[i]}": slopes[:, g, most]
            for g, i in enumerate(consumers, start=len(markets))
        },
    }
    average = {channel: slopes[:, -1, c] for c, channel in enumerate(channels)}
    return posterior_grid(levels, average, {}, f"{panel.currency_code} per sd of exposures, linear part")


def figure_5(fit: Any, panel: ConsumerPanel) -> bytes:
    """Individual slopes by channel, per sd of exposures, and against what is known of the consumers."""
    from models.figures.individual_effects import individual_effects
    from models.hbmmm.effects import compute_effects

    table = compute_effects(fit, panel).consumer
    slopes = table[table["estimand"] == "slope"]
    wide = slopes.pivot(index="consumer_id", columns="channel_id", values="mean")
    wide = wide * pd.Series(exposure_sds(panel))[wide.columns]
    return individual_effects(
        wide, known_of(panel).reindex(wide.index), f"{panel.currency_code} per sd of exposures"
    )


def _quartered(values: np.ndarray) -> np.ndarray:
    """Positions of the least, the thirds between and the greatest of values, each once."""
    order, last = np.argsort(values), len(values) - 1
    return np.unique(order[[0, last // 3, 2 * last // 3, last]])
