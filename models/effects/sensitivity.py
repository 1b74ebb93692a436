"""How strong an unrecorded confounder would have to be to explain an effect away.

Linear effects (Cinelli and Hazlett 2020, *Making sense of sensitivity*, JRSS B 82, section 4). Let D's
coefficient have t value t and residual degrees of freedom df, and let a confounder Z explain the share r2_outcome
of what is left of Y given D and X, and r2_treatment of what is left of D given X. Leaving Z out moves the estimate by

    |bias| = s sqrt(r2_outcome r2_treatment / (1 - r2_treatment)),    s = standard error x sqrt(df)

and the robustness value is the strength, equal in both, at which the bias is as large as the estimate:

    RV = (sqrt(f^4 + 4 f^2) - f^2) / 2,    f = |t| / sqrt(df) = |estimate| / s

The algebra is exact with the *classical* standard error, which is what s measures. A consumer-clustered t may be
given: where clustering widens the error by a factor k, f shrinks by k, and the answer is the RV of an effect
whose evidence is k times weaker. For k > 1 that is smaller than the exact RV, hence on the safe side, and no
longer the confounder that exactly removes the estimate; for k < 1 it flatters. Say which t was used.

Effects of weighting and AIPW (Chernozhukov, Cinelli, Newey, Sharma and Syrgkanis 2022, *Long story short*): the same
formulas with s^2 = E[(Y - g)^2] E[alpha^2], alpha the weight a row's residual gets in the score. There the bias
is a bound, r2_outcome the share of residual outcome variance, and r2_treatment the share of alpha's variance,
which Z would account for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from models.effects.doubly_robust import ESTIMANDS, ExposureScores
from models.effects.exposure_counts import CountExposureFit
from models.panel import ConsumerPanel


@dataclass(frozen=True, slots=True)
class AdjustedEstimate:
    """What a linear effect becomes under a confounder of stated strength that pulls it towards zero."""

    estimate: float
    standard_error: float
    interval_lower: float
    interval_upper: float
    bias: float


def partial_r2(t_value: float, degrees_of_freedom: float) -> float:
    """Share of the outcome's residual variance that the treatment explains: t^2 / (t^2 + df)."""
    _require_degrees(degrees_of_freedom)
    return float(t_value**2 / (t_value**2 + degrees_of_freedom))


def robustness_value(
    t_value: float,
    degrees_of_freedom: float,
    *,
    share: float = 1.0,
    significance_level: float | None = None,
) -> float:
    """Strength in [0, 1) of a confounder, equal for treatment and outcome, that takes away `share` of the estimate.

    With `significance_level` it is the lesser strength at which the estimate reduced by that share is no longer
    different from zero at the level (0 where it is not already). NaN t, NaN out.

    Raises
    ------
    ValueError : share is not positive, degrees of freedom are not above 1, the level is outside (0, 1).
    """
    _require_degrees(degrees_of_freedom)
    if not share > 0:
        raise ValueError(f"share is {share}; it is the share of the estimate to take away, above 0 (1: all).")
    f = share * abs(t_value) / np.sqrt(degrees_of_freedom)
    if significance_level is None:
        return strength_for(f)
    if not 0 < significance_level < 1:
        raise ValueError(f"significance_level is {significance_level}; it must lie between 0 and 1.")
    critical = student.ppf(1 - significance_level / 2, degrees_of_freedom - 1) / np.sqrt(
        degrees_of_freedom - 1
    )
    if f > 1 / critical:  # the confounder that only explains the treatment is the cheaper one
        return float((f**2 - critical**2) / (1 + f**2))
    return strength_for(max(f - critical, 0.0) if np.isfinite(f) else f)


def strength_for(f: float) -> float:
    """r with r / sqrt(1 - r) = f: equal strengths whose bias is f times s."""
    return float((np.sqrt(f**4 + 4 * f**2) - f**2) / 2)


def confounding_bias(
    bias_scale: float, r2_outcome: float | np.ndarray, r2_treatment: float | np.ndarray
) -> float | np.ndarray:
    """|bias| for stated strengths, in the unit of the estimate; bias_scale is s: standard error x sqrt(df).

    Raises
    ------
    ValueError : a strength outside [0, 1] (r2_treatment: [0, 1)).
    """
    outcome, treatment = np.asarray(r2_outcome, dtype=float), np.asarray(r2_treatment, dtype=float)
    if not (np.all((outcome >= 0) & (outcome <= 1)) and np.all((treatment >= 0) & (treatment < 1))):
        raise ValueError(
            f"Strengths are shares of variance: r2_outcome {r2_outcome} must lie in [0, 1] and r2_treatment "
            f"{r2_treatment} in [0, 1)."
        )
    bias = bias_scale * np.sqrt(outcome * treatment / (1 - treatment))
    return float(bias) if bias.ndim == 0 else bias


def adjusted_estimate(
    estimate: float,
    standard_error: float,
    degrees_of_freedom: float,
    r2_outcome: float,
    r2_treatment: float,
    *,
    interval_level: float = 0.95,
) -> AdjustedEstimate:
    """The linear estimate had a confounder of this strength been recorded and had it been in the way.

    Its standard error is se sqrt((1 - r2_outcome) / (1 - r2_treatment) df / (df - 1)).
    """
    _require_degrees(degrees_of_freedom)
    bias = float(confounding_bias(standard_error * np.sqrt(degrees_of_freedom), r2_outcome, r2_treatment))
    value = float(estimate - np.sign(estimate) * bias)
    inflation = (1 - r2_outcome) / (1 - r2_treatment) * degrees_of_freedom / (degrees_of_freedom - 1)
    error = float(standard_error * np.sqrt(inflation))
    reach = student.ppf(0.5 + interval_level / 2, degrees_of_freedom - 1) * error
    return AdjustedEstimate(value, error, float(value - reach), float(value + reach), bias)


def score_bias_scale(scores: ExposureScores, estimand: str) -> float:
    """s of an AIPW effect, in money: sqrt(E[(Y - g_D)^2] E[alpha^2]); feed it to `confounding_bias`.

    E[alpha^2] is estimated as 2 E[m(alpha)] - mean alpha^2, less sensitive to an estimated propensity (same paper,
    section on inference; DoubleML's nu2), m(alpha) being the estimand applied to alpha; where that is not positive
    (next to no overlap), as the mean of alpha^2.
    """
    if estimand not in ESTIMANDS:
        raise ValueError(f"estimand is {estimand!r}; it must be one of {', '.join(ESTIMANDS)}.")
    d, e = scores.treatment, scores.propensity
    residual = scores.outcome - np.where(d, scores.outcome_exposed, scores.outcome_unexposed)
    if estimand == "ate_exposed":
        alpha = np.where(d, 1 / e, -1 / (1 - e))
        applied = 1 / e + 1 / (1 - e)
    else:
        share = d.mean()
        alpha = np.where(d, 1.0, -e / (1 - e)) / share
        applied = d / (1 - e) / share**2
    plain = np.mean(alpha**2)
    debiased = 2 * np.mean(applied) - plain
    return float(np.sqrt(np.mean(residual**2) * (debiased if debiased > 0 else plain)))


def dose_bias_scale(fit: CountExposureFit, outcome: np.ndarray) -> float:
    """s of a weighted slope of a dose, money per exposure: the same with alpha = w (x - m) / mean(w (x - m)^2).

    m is the weighted mean dose. Residuals are those of the weighted line, which leave in what the past explains of GMV:
    s is on the large side, and the robustness value on the safe one.
    """
    w, x = fit.weights / fit.weights.mean(), fit.doses
    centred = x - np.mean(w * x)
    spread = np.mean(w * centred**2)
    slope = np.mean(w * centred * outcome) / spread
    residual = outcome - np.mean(w * outcome) - slope * centred
    return float(np.sqrt(np.mean(residual**2) * np.mean((w * centred) ** 2)) / spread)


def estimate_robustness(
    bias_scale: float, estimate: float, interval_lower: float, interval_upper: float
) -> dict[str, float]:
    """bias_scale, `robustness_value` of the estimate, and `robustness_value_interval`, the strength at which the nearer
    end of its interval reaches zero (0 where the interval holds zero already)."""
    holds_zero = interval_lower <= 0 <= interval_upper
    nearer = 0.0 if holds_zero else min(abs(interval_lower), abs(interval_upper))
    return {
        "bias_scale": bias_scale,
        "robustness_value": strength_for(abs(estimate) / bias_scale),
        "robustness_value_interval": strength_for(nearer / bias_scale),
    }


def sensitivity_table(
    effects: pd.DataFrame, degrees_of_freedom: float, *, significance_level: float = 0.05
) -> pd.DataFrame:
    """Partial R2 and robustness of effect rows that are linear in the coefficients of one regression.

    Of the HBMMM's rows the t value is posterior mean over posterior standard deviation, which is the wider of model
    and consumer-clustered: a shrunken effect is easier to explain away, so its value is on the safe side.
    Any combination of coefficients, so an att_exposed of x and log1p(x) too, is itself a coefficient of the same
    regression written in other columns; its t value is mean over standard_deviation. With `within_effects` that t
    is clustered (see above), and degrees of freedom are rows less columns, consumers and periods.

    Columns: channel_id, estimand, exposure_distribution, horizon, method, estimate, t_value, partial_r2,
    robustness_value, robustness_value_significance (at `significance_level`), bias_scale in the row's unit; NaN where
    the row is.
    """
    rows = []
    for _, effect in effects.iterrows():
        t_value = effect["mean"] / effect["standard_deviation"]
        row = {k: effect[k] for k in ("channel_id", "estimand", "exposure_distribution", "horizon", "method")}
        row |= {"estimate": effect["mean"], "t_value": t_value}
        row |= {"partial_r2": partial_r2(t_value, degrees_of_freedom)}
        row |= {"robustness_value": robustness_value(t_value, degrees_of_freedom)}
        level = {"significance_level": significance_level}
        row |= {"robustness_value_significance": robustness_value(t_value, degrees_of_freedom, **level)}
        rows.append(row | {"bias_scale": effect["standard_deviation"] * np.sqrt(degrees_of_freedom)})
    return pd.DataFrame(rows)


def within_degrees(panel: ConsumerPanel) -> int:
    """Degrees of freedom left within consumers and periods: rows less both, two columns a channel and covariates."""
    absorbed = panel.consumers_count + len(panel.period_starts)
    columns = 2 * len(panel.channel_ids) + len(panel.covariate_names)
    return max(panel.rows_count - absorbed - columns, 2)


def _require_degrees(degrees_of_freedom: float) -> None:
    if not degrees_of_freedom > 1:
        raise ValueError(
            f"degrees_of_freedom is {degrees_of_freedom}; a regression that says something has 2 or more."
        )
