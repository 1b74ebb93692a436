"""Logistic regression with a normal prior, and its Laplace posterior: lambda of the propensity, with intervals.

    d_r ~ Bernoulli(e_r),  logit e_r = intercept + lambda' z_r,  lambda_k ~ Normal(0, prior_sd^2)

(Ni et al. 2023, section 3.3: logit e(W_i) = lambda' W_i, and Table 2. The paper names no prior; the prior here
is on standardised columns z, the intercept's is flat.) The posterior is taken as normal around its mode with the
inverse of the negative Hessian, H = Z' diag(e (1 - e)) Z + I / prior_sd^2 (Bishop 2006, equations 4.142-4.143).

Months of one consumer are not independent draws, so a second covariance H^-1 (sum_i s_i s_i') H^-1, with s_i a
consumer's sum of scores, stands beside it; intervals use the wider standard deviation of each coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, ndtr, ndtri

from models.effects.consumer_bootstrap import consumer_sums
from models.errors import ConvergenceError

NEWTON_ROUNDS = 60
NEWTON_TOLERANCE = 1e-11  # Newton decrement as a share of the objective, whose rounding must not hide it
NUMERIC_PRECISION = 1e-9  # of a flat coefficient: keeps the Hessian invertible without moving the mode


@dataclass(frozen=True, eq=False)
class LogisticPosterior:
    """Mode and normal approximation of the coefficients, intercept first (K + 1 of them, logit units).

    Attributes
    ----------
    feature_names : K + 1 names, the first 'intercept'
    mean : (K + 1,) posterior mode on standardised columns
    covariance : (K + 1, K + 1) Laplace; clustered_covariance : the same size, sandwich by consumer
    centre, spread : (K,) of the columns, to standardise new ones; a column without variation has spread 1
    prior_sd : of every coefficient but the intercept
    """

    feature_names: tuple[str, ...]
    mean: np.ndarray
    covariance: np.ndarray
    clustered_covariance: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    prior_sd: float

    @property
    def error_ratio(self) -> np.ndarray:
        """(K + 1,) clustered over Laplace standard deviation; above 1 the Laplace interval is too narrow."""
        return np.sqrt(np.diag(self.clustered_covariance) / np.diag(self.covariance))

    def coefficient_table(self, interval_level: float = 0.95) -> pd.DataFrame:
        """Lambda: one row per coefficient, in log odds per standard deviation of the column.

        Columns feature_name, mean, standard_deviation (the wider of the two), interval_lower, interval_upper,
        interval_level, probability_positive, error_ratio.
        """
        sd = np.sqrt(np.diag(self.covariance)) * np.fmax(self.error_ratio, 1.0)
        reach = ndtri(0.5 + interval_level / 2) * sd
        return pd.DataFrame(
            {
                "feature_name": list(self.feature_names),
                "mean": self.mean,
                "standard_deviation": sd,
                "interval_lower": self.mean - reach,
                "interval_upper": self.mean + reach,
                "interval_level": interval_level,
                "probability_positive": ndtr(self.mean / sd),
                "error_ratio": self.error_ratio,
            }
        )

    def propensities(self, features: np.ndarray, interval_level: float = 0.95) -> np.ndarray:
        """(R, 3): e at the mode, and the ends of its posterior interval, for raw features (R, K).

        The interval is the normal one of the log odds, carried through the inverse logit; its covariance is the
        larger of the two in the direction asked.
        """
        design = _with_intercept((features - self.centre) / self.spread)
        variances = [
            np.einsum("rk,kl,rl->r", design, c, design) for c in (self.covariance, self.clustered_covariance)
        ]
        reach = ndtri(0.5 + interval_level / 2) * np.sqrt(np.maximum(*variances))
        middle = design @ self.mean
        return expit(np.column_stack([middle, middle - reach, middle + reach]))


def fit_logistic_posterior(
    features: np.ndarray,
    treatment: np.ndarray,
    feature_names: tuple[str, ...],
    consumer_index: np.ndarray,
    *,
    prior_sd: float = 1.0,
) -> LogisticPosterior:
    """Posterior of the logit coefficients of a 0/1 treatment.

    Parameters
    ----------
    features : (R, K) raw columns, standardised here; treatment : (R,) bool; consumer_index : (R,) clusters
    prior_sd : prior standard deviation of a coefficient, log odds per standard deviation of its column

    Raises
    ------
    ValueError : prior_sd is not positive.
    ConvergenceError : Newton's method did not settle.
    """
    if not prior_sd > 0:
        raise ValueError(f"prior_sd is {prior_sd}; a normal prior needs a standard deviation above 0.")
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    design = _with_intercept((features - centre) / spread)
    precision = np.append(NUMERIC_PRECISION, np.full(features.shape[1], prior_sd**-2.0))
    mode = penalised_logistic(design, treatment, precision)
    probability = expit(design @ mode)
    inverse = _inverse(_hessian(design, probability, precision))
    scores = consumer_sums(design * (treatment - probability)[:, None], consumer_index)
    return LogisticPosterior(
        feature_names=("intercept", *feature_names),
        mean=mode,
        covariance=inverse,
        clustered_covariance=inverse @ (scores.T @ scores) @ inverse,
        centre=centre,
        spread=spread,
        prior_sd=prior_sd,
    )


def penalised_logistic(design: np.ndarray, treatment: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Mode (K,) of sum_r log Bernoulli(d_r; expit(x_r' b)) - sum_k precision_k b_k^2 / 2, by Newton.

    Raises
    ------
    ConvergenceError : no step improved the objective although the gradient is not zero.
    """
    target = treatment.astype(float)

    def objective(b: np.ndarray) -> float:
        linear = design @ b
        return float(target @ linear - np.logaddexp(0.0, linear).sum() - 0.5 * precision @ b**2)

    b = np.zeros(design.shape[1])
    value = objective(b)
    for _ in range(NEWTON_ROUNDS):
        probability = expit(design @ b)
        gradient = design.T @ (target - probability) - precision * b
        step = cho_solve(cho_factor(_hessian(design, probability, precision)), gradient)
        decrement = 0.5 * float(gradient @ step)
        if decrement < NEWTON_TOLERANCE * (1 + abs(value)):
            return b + step
        length = 1.0
        while (proposed := objective(b + length * step)) < value and length > 1e-6:
            length /= 2
        if length <= 1e-6:
            break
        b, value = b + length * step, proposed
    raise ConvergenceError(
        f"Logistic regression of {len(design)} rows on {design.shape[1]} columns did not settle in {NEWTON_ROUNDS} "
        "Newton steps. Are values finite and columns of similar size? A smaller prior_sd also helps."
    )


def _with_intercept(columns: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(columns)), columns])


def _hessian(design: np.ndarray, probability: np.ndarray, precision: np.ndarray) -> np.ndarray:
    curvature = probability * (1 - probability)
    return design.T @ (design * curvature[:, None]) + np.diag(precision + NUMERIC_PRECISION)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return cho_solve(cho_factor(matrix), np.eye(len(matrix)))
