"""How many exposures a consumer-period gets, given the past, and stabilised weights for a dose.

    x_r ~ Poisson(mu_r)  or negative binomial with variance mu_r + alpha mu_r^2,   log mu_r = b' h_r
    w_r = f(x_r; marginal) / f(x_r | h_r)

(Robins, Hernan and Brumback 2000: stabilised weights of a non-binary exposure; the numerator is the
same family without covariates. Cameron and Trivedi 1986: the second negative binomial.) Weighted by w, dose and
recorded history are unrelated, and the slope of GMV on dose is that of the marginal structural model
E[Y(x)] = a + b x. Nothing here adjusts for a wish to buy that is not recorded, and weights of doses are heavy:
read the effective share before the slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from models.effects.consumer_bootstrap import BootstrapEstimate, bootstrap_clusters
from models.effects.count_regression import CountMeans, clustered_errors, fit_count_means, log_probability
from models.effects.rows_design import RowsDesign
from models.effects.within import COLLINEARITY_TOLERANCE
from models.errors import ConvergenceError, OverlapError

FAMILIES = ("auto", "poisson", "negative_binomial")
DISPERSION_BOUNDS = (1e-6, 1e3)  # of alpha
DISPERSION_TOLERANCE = 1e-4  # change of alpha between rounds, relative to alpha or to 0.01 where it is less
DISPERSION_ROUNDS = 50
BALANCE_LIMIT = 0.1  # correlation of weighted doses with their expectation
OVERDISPERSION_CUTOFF = 2.706  # likelihood ratio at 5 %: alpha = 0 lies on the edge, so half a chi-square(1)


@dataclass(frozen=True, eq=False)
class CountExposureFit:
    """A dose model and its weights.

    Attributes
    ----------
    family : poisson or negative_binomial, the one that was used; dispersion : alpha, 0 for Poisson
    feature_names : 'intercept' and K names; coefficients, standard_errors : (K + 1,) log points per sd of a
        column, clustered by consumer; 0 for columns that do not vary or repeat earlier ones
    means : (R,) expected exposures mu; doses : (R,) observed
    weights_raw, weights : (R,) stabilised, before and after truncation at its quantiles
    """

    family: str
    dispersion: float
    feature_names: tuple[str, ...]
    coefficients: np.ndarray
    standard_errors: np.ndarray
    doses: np.ndarray
    means: np.ndarray
    weights_raw: np.ndarray
    weights: np.ndarray


def fit_count_exposure(
    features: np.ndarray,
    doses: np.ndarray,
    feature_names: tuple[str, ...],
    consumer_index: np.ndarray,
    *,
    columns: np.ndarray | None = None,
    family: str = "auto",
    truncation_share: float = 0.01,
) -> CountExposureFit:
    """Count regression of doses on the past, by maximum likelihood, and stabilised weights.

    Parameters
    ----------
    features : (R, *), known before the dose; doses : (R,) counts; consumer_index : (R,) clusters
    columns : (K,) positions of the features to use, all by default; feature_names : theirs
    family : 'auto' takes the negative binomial where a likelihood-ratio test at 5 % finds overdispersion
    truncation_share : weights beyond this quantile on either side are set to it; 0 for none

    Raises
    ------
    ValueError : unknown family, doses that are not counts, a share outside [0, 0.5).
    OverlapError : the dose does not vary, or is 0 or 1 only (a Poisson model's weights would leave most of the
        confounding: 36 instead of 20 in a trial).
    ConvergenceError : the likelihood has no finite maximum that was found.
    """
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}; it must be one of {', '.join(FAMILIES)}.")
    if not 0 <= truncation_share < 0.5:
        raise ValueError(f"truncation_share is {truncation_share}; it must lie in [0, 0.5).")
    if np.any(doses < 0) or np.any(doses != np.round(doses)):
        raise ValueError(
            "Doses must be counts, 0, 1, 2 and so on; exposures that are not need another model."
        )
    if np.ptp(doses) == 0:
        raise OverlapError(f"All {len(doses)} rows have {doses[0]:g} exposures; there is no other dose.")
    if doses.max() == 1:
        raise OverlapError(
            "Exposures are 0 or 1 only, which no count model describes; use the methods for exposed or not."
        )
    columns = np.arange(features.shape[1]) if columns is None else columns
    design = RowsDesign.of(features, columns)
    kept = design.independent_columns(COLLINEARITY_TOLERANCE)
    design = design if kept.all() else design.chosen(kept)
    fit = _fit(design, doses, family)
    marginal = _fit(RowsDesign.of(features, columns[:0]), doses, family)
    raw = np.exp(
        log_probability(doses, marginal.means, marginal.dispersion)
        - log_probability(doses, fit.means, fit.dispersion)
    )
    ends = np.quantile(raw, [truncation_share, 1 - truncation_share])
    place = np.append(True, kept)
    full = [np.zeros(len(place)) for _ in range(2)]
    full[0][place] = fit.coefficients
    full[1][place] = clustered_errors(design, doses, fit, consumer_index)
    return CountExposureFit(
        family="negative_binomial" if fit.dispersion > 0 else "poisson",
        dispersion=fit.dispersion,
        feature_names=("intercept", *feature_names),
        coefficients=full[0],
        standard_errors=full[1],
        doses=doses,
        means=fit.means,
        weights_raw=raw,
        weights=raw.clip(*ends),
    )


def weighted_dose_slope(
    fit: CountExposureFit,
    outcome: np.ndarray,
    consumer_index: np.ndarray,
    rng: np.random.Generator,
    *,
    period_index: np.ndarray | None = None,
    draws_count: int = 1_000,
    interval_level: float = 0.95,
) -> BootstrapEstimate:
    """Slope b of E[Y(x)] = a + b x by weighted least squares, money per exposure; consumers are resampled.

    Where period_index is given, the interval is stretched to the two-way error if that is wider.
    """
    w, x = fit.weights, fit.doses
    terms = np.column_stack([w, w * x, w * x**2, w * outcome, w * x * outcome])
    settings = {"draws_count": draws_count, "interval_level": interval_level}
    return bootstrap_clusters(terms, consumer_index, period_index, _slope, rng, **settings)


def dose_balance(fit: CountExposureFit) -> tuple[float, float]:
    """Correlation of the dose with what the past predicts of it (log mu), before and after weighting.

    After weighting it should be near 0; above BALANCE_LIMIT in size the weights have not done their work: the
    family is wrong, or truncation took too much (Zhu, Coffman and Ghosh 2015 take 0.1). NaN if mu is constant.
    """
    found = []
    for weights in (np.ones(len(fit.doses)), fit.weights):
        w = weights / weights.sum()
        x, m = (v - w @ v for v in (fit.doses, np.log(fit.means)))
        scale = np.sqrt((w @ x**2) * (w @ m**2))
        found.append(float(w @ (x * m) / scale) if scale > 1e-12 else np.nan)
    return found[0], found[1]


def _slope(totals: np.ndarray) -> np.ndarray:
    w, wx, wxx, wy, wxy = totals.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return (w * wxy - wx * wy) / (w * wxx - wx**2)


def _fit(design: RowsDesign, doses: np.ndarray, family: str) -> CountMeans:
    """Coefficients and dispersion in turn until the dispersion settles; Poisson where that does as well."""
    poisson = fit_count_means(design, doses, 0.0)
    if family == "poisson":
        return poisson
    alternative = poisson
    for _ in range(DISPERSION_ROUNDS):
        before, candidate = alternative.dispersion, _best_dispersion(doses, alternative.means)
        alternative = fit_count_means(design, doses, candidate, alternative.coefficients)
        if abs(candidate - before) <= DISPERSION_TOLERANCE * max(candidate, 0.01):
            break
    else:
        raise ConvergenceError(
            f"The dispersion of exposures still moved ({before:.3g} to {candidate:.3g}) after "
            f"{DISPERSION_ROUNDS} rounds. Use family='poisson', or fewer columns."
        )
    values = [log_probability(doses, fit.means, fit.dispersion).sum() for fit in (alternative, poisson)]
    overdispersed = 2 * (values[0] - values[1]) > OVERDISPERSION_CUTOFF
    return alternative if family == "negative_binomial" or overdispersed else poisson


def _best_dispersion(doses: np.ndarray, means: np.ndarray) -> float:
    found = minimize_scalar(
        lambda log_alpha: -log_probability(doses, means, float(np.exp(log_alpha))).sum(),
        bounds=tuple(np.log(DISPERSION_BOUNDS)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
