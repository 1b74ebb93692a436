"""A linear working model with propensity weights, under the only name such a thing deserves.

    y_r = a + tau d_r + gamma' w_r + error,   tau, a, gamma = argmin sum_r sw_r error_r^2,   sw = P(D = d) / e(d)

Raising each row's likelihood to the power of its weight and calling the result a posterior (Ni et al. 2023, section
3.3) gives an interval that treats weights as counted rows: it answers to no sampling model. The centre is that of
weighted least squares; what is published around it is the sandwich of its estimating equations, clustered by consumer
(and by period, where that is wider), the correction that Williams and Savitsky (2021) show pseudo-posteriors to need.
Unbiased for the average effect where the propensity holds all that matters, or where the linear model does and w has it
all; weights that were estimated are taken as given, which makes intervals wide if anything. A wish to buy that w does
not hold stays in it.
"""

from __future__ import annotations

import numpy as np

from models.effects.consumer_bootstrap import BootstrapEstimate
from models.effects.doubly_robust import ExposureScores
from models.effects.rows_design import RowsDesign
from models.effects.two_way import two_way_error

METHOD = "weighted_pseudo_posterior"
COLLINEARITY_TOLERANCE = 1e-10  # of eigenvalues of the weighted Gram matrix


def stabilised_weights(scores: ExposureScores) -> np.ndarray:
    """(R,) P(D = d) / P(D = d | X) of scores' rows; their mean is about 1."""
    d, e = scores.treatment, scores.propensity
    return np.where(d, d.mean() / e, (1 - d.mean()) / (1 - e))


def weighted_pseudo_posterior(
    scores: ExposureScores, characteristics: np.ndarray, *, interval_level: float = 0.95
) -> BootstrapEstimate:
    """tau, money per exposed consumer-period, with its clustered sandwich error (no draws: draws_count is 0).

    characteristics : (R, K) w of the scores' rows; columns that repeat others are harmless
    """
    weights = stabilised_weights(scores)
    design = RowsDesign.of(np.column_stack([scores.treatment.astype(float), characteristics]))
    bread = np.linalg.pinv(design.gram(weights), rcond=COLLINEARITY_TOLERANCE, hermitian=True)
    coefficients = bread @ (design.matrix.T @ (weights * scores.outcome))
    residuals = scores.outcome - design.matrix @ coefficients
    influence = weights * residuals * (design.matrix @ bread[1]) / design.spread[0]
    error = two_way_error(influence, scores.consumer_index, scores.period_index)
    estimate = float(coefficients[1] / design.spread[0])
    return BootstrapEstimate.from_error(
        estimate,
        error,
        consumers_count=len(np.unique(scores.consumer_index)),
        interval_level=interval_level,
    )
