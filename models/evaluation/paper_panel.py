"""The paper's own simulated world (models/simulate/consumer_months.py) as the panel that models and baselines take."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.baselines.known_population import KnownPopulation
from models.baselines.oracle import Oracle
from models.panel import ConsumerPanel
from models.simulate import consumer_months as paper
from models.simulate.consumer_months import (
    CHANNEL_IDS,
    CHARACTERISTICS,
    COVARIATES,
    ConsumerMonths,
    ConsumerMonthsConfig,
)

FIRST_MONTH = np.datetime64("2023-01", "M")
OUTCOME_UNIT = "log1p USD"


def paper_panel(months: ConsumerMonths) -> ConsumerPanel:
    """A chunk as a panel, rows in the chunk's order. `gmv` holds the world's outcome, log1p of dollars, and the
    currency says so; the spend stratum is "none" for everybody, as this world has no pre-period."""
    starts = (FIRST_MONTH + np.arange(months.period.max() + 1)).astype("datetime64[D]")
    ids = np.array([f"c{i:07d}" for i in months.number], dtype=object)
    markets, home = np.unique(months.market, return_inverse=True)
    rows, channels = np.nonzero(months.exposures)
    events = np.column_stack([months.consumer[rows], months.period[rows], channels]).astype(np.int64)
    frame = pd.DataFrame(months.characteristics, columns=list(CHARACTERISTICS), index=ids)
    return ConsumerPanel(
        consumer_ids=ids,
        market_ids=np.array([f"m{j:03d}" for j in markets], dtype=object),
        channel_ids=np.array(CHANNEL_IDS, dtype=object),
        period_starts=starts,
        consumer_index=months.consumer.astype(np.int64),
        market_index=home[months.consumer].astype(np.int64),
        period_index=months.period.astype(np.int64),
        gmv=months.outcome,
        exposures=months.exposures.astype(float),
        covariates=months.covariates,
        covariate_names=COVARIATES,
        covariates_incomplete=(),
        consumer_market_index=home.astype(np.int64),
        spend_stratum=np.full(len(ids), "none", dtype=object),
        characteristics=frame,
        characteristic_kinds=dict.fromkeys(CHARACTERISTICS, "numeric"),
        characteristic_origins=dict.fromkeys(CHARACTERISTICS, "declared"),
        calendar=starts,
        exposure_events=events,
        exposure_event_counts=months.exposures[rows, channels].astype(float),
        currency_code=OUTCOME_UNIT,
        period="month",
    )


def paper_oracle(months: ConsumerMonths) -> Oracle:
    """The predictor that knows every expectation of this world: what is left is the noise."""
    return Oracle.of_panel(paper_panel(months), months.expected, paper.NOISE_SD)


def paper_population(config: ConsumerMonthsConfig, months: ConsumerMonths) -> KnownPopulation:
    """The predictor that knows the true hyper-parameters of this world: market effects, Theta, variances and noise.

    What a consumer's exposures tell about its hidden propensity is left out: that part of the intercept counts among
    its own effects, of variance PROPENSITY_LOADING^2 + INTERCEPT_OWN_SD^2. A model with own means can use it.
    """
    truth = paper.market_truth(config)
    who, market = months.consumer, months.market
    slopes = paper.SLOPE_MEANS + truth.slopes[market] + months.characteristics @ truth.theta.T
    level = paper.LOG_INTERCEPT_MEAN + months.characteristics @ paper.INTERCEPT_LOADINGS
    level = level + truth.intercepts[market]
    x = (months.exposures - paper.EXPOSURE_MEANS) / paper.EXPOSURE_SDS
    population = level[who] + np.einsum("rc,rc->r", x, slopes[who])
    population += np.einsum("rz,rz->r", months.covariates, truth.covariate_effects[market[who]])
    channels = len(CHANNEL_IDS)
    covariance = np.zeros((1 + channels, 1 + channels))
    covariance[0, 0] = paper.PROPENSITY_LOADING**2 + paper.INTERCEPT_OWN_SD**2
    correlation = np.full((channels, channels), paper.SLOPE_CORRELATION)
    np.fill_diagonal(correlation, 1.0)
    covariance[1:, 1:] = paper.SLOPE_SDS[:, None] * correlation * paper.SLOPE_SDS
    design = np.column_stack([np.ones(len(x)), x])
    panel = paper_panel(months)
    return KnownPopulation.of_panel(panel, population, design, covariance, paper.NOISE_SD)
