"""Incidence: a hierarchical logit of whether anything was bought, by a Gaussian variational approximation.

    d_it ~ Bernoulli(p_it),   logit p_it = D_it (d + M_i omega) + X_it g_i + R_it m_j(i)      (design.py's columns)

With the consumer effects' posterior taken as normal, eta_it has mean e and variance v there, and the bound on the
likelihood is stationary where it is for a Gaussian model of the working response z = e + (d - E p) / w with noise
variance 1 / w, w = E p (1 - p), expectations over N(e, v) (Opper and Archambeau 2009; Ormerod and Wand 2012). That
model lives on weighted Gram matrices, so the compiled kernel of the money model fits it, noise fixed at one, again
and again until eta stands still. With v = 0 this is penalised quasi-likelihood, tried first (by hand): against NUTS on
250 consumers of 14 rows its slopes came out 6 to 9 % too small and the sd of consumers' levels 12 %.

Columns are centred on the consumer's mean under w, so that to first order nothing constant about a consumer leaks into
a slope. Features are made of plain own means: under w, those of a single extreme consumer chased its p without end.
Market effects enter at their mode. tests/library/test_hbmmm_two_part.py holds it to NUTS on the rows and bounds what is
left of the bias. Draws are of the normal approximation of the last working model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from models.errors import ConvergenceError
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.consumers import mean_coefficients
from models.hbmmm.design import Design
from models.hbmmm.laplace import Gradient, find_mode, moment_start, search_mode
from models.hbmmm.problem import (
    CHUNK,
    Problem,
    build_problem,
    centred_gram,
    consumer_row_means,
    log_posterior,
    prior_table,
)
from models.hbmmm.sample import Sample
from models.hbmmm.statistics import SufficientStatistics
from models.hbmmm.two_part_rows import PanelRows

ROUNDS = 60
TOLERANCE = 1e-3  # root mean square change of e and v
DAMPED_FROM = 10  # rounds; by then most have settled, and what swings between two states is halved
START_SHARE = (
    0.1  # of its prior scale, at least, where the search for a standard deviation starts: 0 is stationary
)
NODES = 12  # of the quadrature
WEIGHT_LEAST = 1e-4  # keeps a working response finite where p is 0 or 1 to the last digit
NOISE_SD = 1e-3  # of the fixed log noise in the normal approximation; draws have it at 0


@dataclass(frozen=True, slots=True, eq=False)
class WorkingModel:
    """Where it came to rest: e and v of every row, (2, R); statistics of the working response, mode (d,), rounds."""

    predictor: np.ndarray
    statistics: SufficientStatistics
    mode: np.ndarray
    rounds: int


def working_statistics(rows: PanelRows, predictor: np.ndarray) -> SufficientStatistics:
    """Statistics of the working response at e and v, (2, R); one noise stratum, as its variance is known."""
    p, weights = expected_logistic(*predictor)
    weights = np.maximum(weights, WEIGHT_LEAST)
    made = rows.weighted(weights, predictor[0] + (rows.is_purchase - p) / weights)
    return replace(made, spend_stratum=np.full(len(made.consumer_ids), "none", dtype=object))


def starting_predictor(rows: PanelRows) -> np.ndarray:
    """e and v, (2, R): the log odds of each consumer's own share of purchases, drawn to all consumers'; v = 0."""
    bought, counts = rows.is_purchase.astype(float), np.diff(rows.starts)
    own = (np.add.reduceat(bought, rows.starts[:-1]) + 2.0 * bought.mean()) / (counts + 2.0)
    return np.stack([logit(own)[rows.consumer], np.zeros(len(bought))])


def expected_logistic(mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E p and E p (1 - p), p the inverse logit of N(mean, variance), (R,) each, by Gauss-Hermite quadrature."""
    nodes, shares = np.polynomial.hermite_e.hermegauss(NODES)
    sd = np.sqrt(variance)
    expected, weights = np.zeros(mean.shape), np.zeros(mean.shape)
    for node, share in zip(nodes, shares / shares.sum(), strict=True):
        p = expit(mean + sd * node)
        expected += share * p
        weights += share * p * (1.0 - p)
    return expected, weights


def working_model(
    rows: PanelRows, design: Design, completed: pd.DataFrame, config: HBMMMConfig
) -> WorkingModel:
    """Work until the predictor moves by less than TOLERANCE. Raises ConvergenceError after ROUNDS."""
    predictor = starting_predictor(rows)
    scaled = rows.scaled(design)
    prior_sd = prior_table(design, 1, config)[1]
    mode = None
    for done in range(1, ROUNDS + 1):
        statistics = working_statistics(rows, predictor)
        problem = build_problem(statistics, design, completed, rows.own_means(design))
        start = (
            _noiseless(problem, moment_start(problem, prior_sd))
            if mode is None
            else _lifted(problem, mode, prior_sd)
        )
        with threadpool_limits(limits=1):
            mode = search_mode(problem, prior_sd, fixed_noise_density(problem, prior_sd, config), start)
        centres = consumer_row_means(statistics, design)
        covariance = _consumer_covariances(problem, statistics, mode)
        x = (scaled - np.where(np.arange(scaled.shape[1]) > 0, centres, 0.0)[rows.consumer])[
            :, list(design.slope_columns)
        ]
        found = np.stack(
            [
                rows.predictor(scaled, mean_coefficients(problem, mode), centres),
                np.einsum("ra,rab,rb->r", x, covariance[rows.consumer], x),
            ]
        )
        change = float(np.sqrt(np.mean((found - predictor) ** 2)))
        if change < TOLERANCE:
            return WorkingModel(found, working_statistics(rows, found), mode, done)
        predictor = found if done < DAMPED_FROM else 0.5 * (found + predictor)
    raise ConvergenceError(
        f"the incidence part of the two-part model still moved by {change:.2g} log odds after {ROUNDS} rounds; look "
        "for an exposure or characteristic that tells buyers from others without error, or take outcome money."
    )


def sample_incidence(
    statistics: SufficientStatistics,
    design: Design,
    completed: pd.DataFrame,
    config: HBMMMConfig,
    seed: int,
    start: np.ndarray,
    own_means: np.ndarray,
) -> Sample:
    """Draws (chains, draws, d) of the working model's normal approximation, log noise 0."""
    problem = build_problem(statistics, design, completed, own_means)
    prior_sd = prior_table(design, 1, config)[1]
    with threadpool_limits(limits=1):
        laplace = find_mode(problem, prior_sd, fixed_noise_density(problem, prior_sd, config), start)
        root = np.linalg.cholesky(laplace.covariance)
        normal = np.random.default_rng(seed).standard_normal((config.chains, config.draws, len(root)))
        draws = _noiseless(problem, laplace.mode + normal @ root.T)
    return Sample(
        method="laplace",
        draws=problem.positive(draws),
        mode=laplace.mode,
        covariance=laplace.covariance,
        divergences_count=0,
        evaluations_count=0,
        step_size=np.nan,
        seconds_mode=np.nan,
        seconds_sampling=np.nan,
    )


def fixed_noise_density(problem: Problem, prior_sd: np.ndarray, config: HBMMMConfig) -> Gradient:
    """Log posterior with log noise at 0, and a narrow ridge along it so that the curvature there can be inverted."""
    noise = problem.layout.noise

    def density(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_posterior(
            problem, _noiseless(problem, parameters), prior_sd, config.prior_slope_correlation
        )
        gradient[noise] = -parameters[noise] / NOISE_SD**2
        return value - 0.5 * float(np.sum((parameters[noise] / NOISE_SD) ** 2)), gradient

    return density


def _consumer_covariances(
    problem: Problem, statistics: SufficientStatistics, parameters: np.ndarray
) -> np.ndarray:
    """Posterior covariances of the consumer effects given the global parameters, (N, k, k), at noise one."""
    factor, slopes = problem.split(parameters)[1], list(problem.design.slope_columns)
    out = np.empty((problem.consumers_count, len(slopes), len(slopes)))
    for start in range(0, len(out), CHUNK):
        part = slice(start, min(start + CHUNK, len(out)))
        gram = centred_gram(statistics, problem.design, part)[:, slopes][:, :, slopes]
        out[part] = factor @ np.linalg.inv(np.eye(len(slopes)) + factor.T @ gram @ factor) @ factor.T
    return out


def _lifted(problem: Problem, parameters: np.ndarray, prior_sd: np.ndarray) -> np.ndarray:
    out = parameters.copy()
    for part in (problem.layout.consumer, problem.layout.market):
        out[part] = np.maximum(out[part], START_SHARE * prior_sd[part])
    return out


def _noiseless(problem: Problem, parameters: np.ndarray) -> np.ndarray:
    out = parameters.copy()
    out[..., problem.layout.noise] = 0.0
    return out
