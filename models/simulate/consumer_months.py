"""Consumer-months of the paper's own world in bulk: the linear model of Ni et al. 2023 (eq. 1-2) on log1p of dollars.

    y_it = alpha_i + sum_c beta_ic z_ict + gamma_j' Z_jt + e_it,   z = (exposures - mean) / sd of Table 5
    beta_i = mu_beta + m_j + Theta W_i + eta_i,   eta ~ N(0, Sigma_beta) with Table 6's sds and correlation 0.2
    alpha_i = 2.487 + delta' W_i + 0.30 u_i + market + own

u_i, which nobody records, drives exposures too: without own means in the intercept equation slopes are biased. Rows
are drawn in chunks, so that 60 million fit beside anything else; the same seed gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.simulate.consumer_config import LOG_INTERCEPT_MEAN, PAPER_CHANNELS

CHANNEL_IDS = tuple(channel.name for channel in PAPER_CHANNELS)
SLOPE_MEANS = np.array([channel.slope_mean for channel in PAPER_CHANNELS])
SLOPE_SDS = np.array([channel.slope_sd for channel in PAPER_CHANNELS])
EXPOSURE_MEANS = np.array([channel.exposures_mean for channel in PAPER_CHANNELS])
EXPOSURE_SDS = np.array([channel.exposures_sd for channel in PAPER_CHANNELS])
COVARIATES = ("competition", "economy", "price")
COVARIATE_MEANS = np.array([-0.08, 0.05, -0.10])
CHARACTERISTICS = ("age", "income", "tenure")
INTERCEPT_LOADINGS = np.array([0.10, 0.05, -0.05])
SLOPE_CORRELATION = 0.2
NOISE_SD = 0.85  # not printed in the paper; gives about its 30 % cut in error
INTERCEPT_OWN_SD = 0.80
PROPENSITY_LOADING, PROPENSITY_TARGETING = 0.30, 0.15


@dataclass(frozen=True)
class ConsumerMonthsConfig:
    """consumers_count, markets_count, periods_count: sizes; shortest: fewest months of a consumer; seed of all."""

    consumers_count: int
    markets_count: int = 50
    periods_count: int = 24
    shortest: int = 12
    seed: int = 20261122
    chunk: int = 20_000

    def __post_init__(self) -> None:
        for name in ("consumers_count", "markets_count", "chunk"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        if not 2 <= self.shortest <= self.periods_count:
            raise ValueError(
                f"shortest is {self.shortest}; it must lie between 2 and periods_count {self.periods_count}."
            )


@dataclass(frozen=True, eq=False)
class MarketTruth:
    """What all chunks share: covariates (J, T, 3), market deviations of slopes (J, C), of covariate effects (J, 3), of
    intercepts (J,), and Theta (C, 3)."""

    covariates: np.ndarray
    slopes: np.ndarray
    covariate_effects: np.ndarray
    intercepts: np.ndarray
    theta: np.ndarray


@dataclass(frozen=True, eq=False)
class ConsumerMonths:
    """A chunk. By consumer: number (n,), market (n,), characteristics (n, 3), slopes (n, C), months (n,).
    By row: consumer (R,) position in the chunk, period (R,), exposures (R, C), covariates (R, 3), expected (R,): the
    outcome without its noise, outcome (R,)."""

    number: np.ndarray
    market: np.ndarray
    characteristics: np.ndarray
    slopes: np.ndarray
    months: np.ndarray
    consumer: np.ndarray
    period: np.ndarray
    exposures: np.ndarray
    covariates: np.ndarray
    expected: np.ndarray
    outcome: np.ndarray


def market_truth(config: ConsumerMonthsConfig) -> MarketTruth:
    """Draws of the market level."""
    rng = np.random.default_rng([config.seed, 0])
    markets = config.markets_count
    return MarketTruth(
        covariates=rng.standard_normal((markets, config.periods_count, len(COVARIATES))),
        slopes=rng.normal(0.0, 0.012, (markets, len(CHANNEL_IDS))),
        covariate_effects=COVARIATE_MEANS + rng.normal(0.0, 0.03, (markets, len(COVARIATES))),
        intercepts=rng.normal(0.0, 0.15, markets),
        theta=rng.normal(0.0, 0.008, (len(CHANNEL_IDS), len(CHARACTERISTICS))),
    )


def consumer_months(config: ConsumerMonthsConfig) -> Iterator[ConsumerMonths]:
    """Chunks of consumers, each from its own generator."""
    truth = market_truth(config)
    channels, periods = len(CHANNEL_IDS), config.periods_count
    correlation = np.full((channels, channels), SLOPE_CORRELATION) + (1 - SLOPE_CORRELATION) * np.eye(
        channels
    )
    root = SLOPE_SDS[:, None] * np.linalg.cholesky(correlation)
    spread = np.log1p((EXPOSURE_SDS**2 - EXPOSURE_MEANS) / EXPOSURE_MEANS**2)  # variance of log rates
    for part, start in enumerate(range(0, config.consumers_count, config.chunk)):
        rng = np.random.default_rng([config.seed, 1, part])
        n = min(config.chunk, config.consumers_count - start)
        market = rng.integers(0, config.markets_count, n)
        known = rng.standard_normal((n, len(CHARACTERISTICS)))
        propensity = rng.standard_normal(n)
        slopes = SLOPE_MEANS + truth.slopes[market] + known @ truth.theta.T
        slopes += rng.standard_normal((n, channels)) @ root.T
        months = rng.integers(config.shortest, periods + 1, n)
        consumer = np.repeat(np.arange(n), months)
        period = np.arange(len(consumer)) - np.repeat(np.cumsum(months) - months, months)
        own = np.sqrt(0.5 * spread) * rng.standard_normal((n, channels))
        log_rates = own[consumer] + PROPENSITY_TARGETING * propensity[consumer, None]
        log_rates += np.sqrt(0.5 * spread) * rng.standard_normal((len(consumer), channels))
        rates = EXPOSURE_MEANS * np.exp(log_rates - 0.5 * (spread + PROPENSITY_TARGETING**2))
        exposures = rng.poisson(rates)
        covariates = truth.covariates[market[consumer], period]
        intercept = LOG_INTERCEPT_MEAN + known @ INTERCEPT_LOADINGS + PROPENSITY_LOADING * propensity
        intercept += truth.intercepts[market] + rng.normal(0.0, INTERCEPT_OWN_SD, n)
        scaled = (exposures - EXPOSURE_MEANS) / EXPOSURE_SDS
        expected = intercept[consumer] + np.einsum("rc,rc->r", scaled, slopes[consumer])
        expected += np.einsum("rz,rz->r", covariates, truth.covariate_effects[market[consumer]])
        outcome = expected + rng.normal(0.0, NOISE_SD, len(consumer))
        yield ConsumerMonths(
            np.arange(start, start + n), market, known, slopes, months, consumer, period,
            exposures, covariates, expected, outcome,
        )  # fmt: skip
