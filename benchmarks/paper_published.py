"""What Ni et al. 2023 print, and arithmetic on it: where the paper contradicts itself, and what this project chose.

Every figure of the second part is computed here from the first; nothing is typed twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

# Table 5: mean, sd, min, max
TABLE_5 = {
    "Monthly purchase amount ($)": (127.84, 215.63, 0, 2500),
    "tv exposures": (12.37, 8.92, 0, 78),
    "digital exposures": (45.63, 32.18, 0, 352),
    "email exposures": (3.82, 2.75, 0, 25),
    "social exposures": (6.41, 5.87, 0, 62),
    "Age": (38.72, 13.45, 18, 80),
    "Income ($1000)": (72.56, 41.23, 20, 250),
}
# Table 6: mean, 95 % interval, R-hat
TABLE_6 = {
    "mu_alpha": (2.487, 2.312, 2.653, 1.001),
    "mu_beta[tv]": (0.042, 0.028, 0.056, 1.003),
    "mu_beta[digital]": (0.035, 0.022, 0.048, 1.002),
    "mu_beta[email]": (0.058, 0.041, 0.075, 1.004),
    "mu_beta[social]": (0.029, 0.015, 0.043, 1.002),
    "sigma_alpha": (0.872, 0.795, 0.949, 1.005),
    "sigma_beta[tv]": (0.031, 0.024, 0.038, 1.007),
    "sigma_beta[digital]": (0.028, 0.021, 0.035, 1.006),
    "sigma_beta[email]": (0.037, 0.029, 0.045, 1.008),
    "sigma_beta[social]": (0.025, 0.018, 0.032, 1.005),
}
# Table 7: RMSE, MAE, R2, DIC
TABLE_7 = {
    "hbmmm": (78.24, 52.17, 0.684, 1_253_872),
    "pooled_ols": (112.36, 83.45, 0.521, None),
    "ridge": (105.78, 79.62, 0.548, None),
    "market_bayes": (93.41, 68.29, 0.612, 1_289_415),
}
# Table 8: "true" ATE, placebo ATE, p
TABLE_8 = {
    "tv": (0.042, 0.003, "<0.001"),
    "digital": (0.035, -0.001, "<0.001"),
    "email": (0.058, 0.002, "<0.001"),
    "social": (0.029, 0.000, "<0.001"),
}
CONSUMERS, MARKETS, MONTHS = 500_000, 50, 24
CHANNELS = ("tv", "digital", "email", "social")


@dataclass(frozen=True)
class Contradiction:
    """found: what the paper's own numbers say, with the arithmetic; figures: those numbers; chosen: our reading."""

    title: str
    found: str
    figures: dict[str, float]
    chosen: str


def contradictions() -> list[Contradiction]:
    """All of them, computed from the tables above."""
    return [
        _intercept_and_dollars(),
        _zero_inflation(),
        _error_and_fit(),
        _gaps_on_equal_columns(),
        _deviance_and_size(),
        _precision_and_units(),
        _placebo_and_effect(),
        *_without_arithmetic(),
    ]


def _intercept_and_dollars() -> Contradiction:
    means = np.array([TABLE_5[f"{c} exposures"][0] for c in CHANNELS])
    sds = np.array([TABLE_5[f"{c} exposures"][1] for c in CHANNELS])
    slopes = np.array([TABLE_6[f"mu_beta[{c}]"][0] for c in CHANNELS])
    spreads = np.array([TABLE_6[f"sigma_beta[{c}]"][0] for c in CHANNELS])
    level = TABLE_6["mu_alpha"][0] + slopes @ means
    # independent normal slopes and exposures about their means; the consumers' own slopes alone, no noise
    variance = TABLE_6["sigma_alpha"][0] ** 2 + (spreads**2) @ (means**2 + sds**2) + (slopes**2) @ (sds**2)
    implied = np.exp(level + variance / 2)
    figures = {
        "predictor at mean exposures": level,
        "its exponential, dollars": np.exp(level),
        "variance of log amounts without noise": variance,
        "mean amount if log-normal, dollars": implied,
        "mean of Table 5, dollars": TABLE_5["Monthly purchase amount ($)"][0],
    }
    return Contradiction(
        "Intercept 2.487 and a mean of $127.84",
        f"On raw counts and a log scale the predictor at mean exposures is {level:.2f} (exp: ${np.exp(level):.0f}, "
        f"which looks right), but the spread of slopes alone makes the variance of log amounts {variance:.2f}, and so "
        f"a mean of ${implied:,.0f} (normal, independent terms). On a dollar scale the intercept and slopes are of "
        f"another order than $127.84. Raw counts fit no scale.",
        figures,
        "The outcome is log1p of dollars and exposures are z-scored by Table 5 (its section 3.4 normalises continuous "
        "variables). The money model of the product is another one and is judged elsewhere.",
    )


def _zero_inflation() -> Contradiction:
    amount, sd, _, most = TABLE_5["Monthly purchase amount ($)"]
    intercept, sigma = TABLE_6["mu_alpha"][0], TABLE_6["sigma_alpha"][0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def moments(zero: float, mean: float, width: float) -> np.ndarray:
        dollars = np.exp(mean + width**2 / 2)
        second = np.exp(2 * mean + 2 * width**2)
        logs = np.log1p(np.exp(mean + width * nodes)) @ weights / weights.sum()
        keep = 1 - zero
        return np.array([keep * dollars, np.sqrt(keep * second - (keep * dollars) ** 2), keep * logs])

    def gap(free: np.ndarray) -> np.ndarray:
        zero = 1 / (1 + np.exp(-free[0]))
        return moments(zero, free[1], np.exp(free[2])) / np.array([amount, sd, intercept]) - 1

    solved = optimize.root(gap, [0.1, 5.2, -0.3])
    if not solved.success:
        raise RuntimeError(f"no zero-inflated log-normal has these moments: {solved.message}")
    zero, mean, width = 1 / (1 + np.exp(-solved.x[0])), solved.x[1], float(np.exp(solved.x[2]))
    square = np.log1p(np.exp(mean + width * nodes)) ** 2 @ weights / weights.sum()
    spread = np.sqrt((1 - zero) * square - intercept**2)
    beyond = float(stats.norm.sf((np.log(most) - mean) / width))
    gaussian = np.expm1(intercept + (sigma**2 + 0.85**2) / 2)
    figures = {
        "share of months without a purchase": zero,
        "mean of log amounts when buying": mean,
        "their sd": width,
        "share of purchases above the maximum of Table 5": beyond,
        "sd of log1p amounts it implies": spread,
        "sigma_alpha of Table 6": sigma,
        "mean dollars if log1p amounts were normal with noise 0.85": gaussian,
    }
    return Contradiction(
        "What distribution Tables 5 and 6 share",
        f"A log-normal with {zero:.1%} of months at zero (log mean {mean:.3f}, log sd {width:.3f}) has Table 5's mean "
        f"and sd and a mean of log1p dollars of {intercept}; {beyond:.2%} of its purchases exceed the printed maximum. "
        f"But then log1p dollars have an sd of {spread:.2f}, of which sigma_alpha = {sigma} leaves nearly all to "
        f"noise; and without zeros, normal log1p dollars of mean {intercept} average ${gaussian:.0f}, not ${amount}.",
        figures,
        "The paper's world here is normal on log1p, as the model of equation 1 is, with Table 6's numbers; its dollars "
        "therefore average far less than Table 5's. Zero-heavy money is what the product's own worlds have.",
    )


def _error_and_fit() -> Contradiction:
    implied = {m: rmse / np.sqrt(1 - r2) for m, (rmse, _, r2, _) in TABLE_7.items()}
    ols, own = TABLE_7["pooled_ols"], TABLE_7["hbmmm"]
    printed = 1 - own[0] / ols[0]
    by_r2 = 1 - np.sqrt((1 - own[2]) / (1 - ols[2]))
    figures = {f"sd of the outcome implied by {m}": v for m, v in implied.items()}
    figures |= {"cut in RMSE by the RMSEs": printed, "cut in RMSE by the R2s": by_r2}
    said = ", ".join(f"{v:.0f}" for v in implied.values())
    return Contradiction(
        "RMSE and R2 of Table 7",
        f"RMSE / sqrt(1 - R2) is the sd of the outcomes scored, one number for one set of rows; the four pairs give "
        f"{said}, and Table 5 says {TABLE_5['Monthly purchase amount ($)'][1]}. The RMSEs are {printed:.1%} apart, the "
        f"R2s imply {by_r2:.1%}.",
        figures,
        "All metrics here come from one set of held-out rows; the cut in RMSE is quoted beside that of the oracle, "
        "because it depends on the noise as much as on the model.",
    )


def _gaps_on_equal_columns() -> Contradiction:
    ols = TABLE_7["pooled_ols"][0]
    ridge, bayes = 1 - TABLE_7["ridge"][0] / ols, 1 - TABLE_7["market_bayes"][0] / ols
    return Contradiction(
        "Ridge and non-hierarchical Bayes beat OLS by far",
        f"Ridge is printed {ridge:.1%} and non-hierarchical Bayes {bayes:.1%} better than OLS. With a few columns "
        f"and {CONSUMERS * MONTHS:,} rows a penalty or a weak prior changes OLS in far digits only: Table 7 below has "
        "what they do on equal columns.",
        {"ridge": ridge, "non-hierarchical Bayes": bayes},
        "The non-hierarchical Bayes model is read as one regression for each market; ridge chooses its penalty inside "
        "the training rows.",
    )


def _deviance_and_size() -> Contradiction:
    rows = {}
    for name in ("hbmmm", "market_bayes"):
        rmse, _, _, dic = TABLE_7[name]
        rows[name] = dic / (
            np.log(2 * np.pi * rmse**2) + 1
        )  # deviance of normal errors of this size, no penalty
    low, high = sorted(rows.values())
    figures = {f"rows implied by the DIC of {m}": v for m, v in rows.items()}
    figures |= {"consumers of 24 months": low / MONTHS, "rows of the data described": CONSUMERS * MONTHS}
    return Contradiction(
        "DIC and the size of the data",
        f"A normal model with the printed RMSE has a deviance of log(2 pi RMSE^2) + 1 a row, so that the DICs are of "
        f"{low:,.0f} and {high:,.0f} rows, about {low / MONTHS:,.0f} consumers of {MONTHS} months, not of "
        f"{CONSUMERS * MONTHS:,} rows (penalties neglected; the match may be chance).",
        figures,
        "Every criterion here names its kind and level, and its number of points.",
    )


def _precision_and_units() -> Contradiction:
    z = stats.norm.ppf(0.975)
    units = {}
    for channel in CHANNELS:
        mean, low, high, _ = TABLE_6[f"sigma_beta[{channel}]"]
        relative = (high - low) / (2 * z) / mean
        units[channel] = 1 / (
            2 * relative**2
        )  # relative error of a standard deviation from n values: 1 / sqrt(2 n)
    figures = {f"units behind sigma_beta[{c}]": v for c, v in units.items()}
    return Contradiction(
        "How precisely sigma_beta is known",
        f"The intervals of sigma_beta have the width that a standard deviation of {min(units.values()):.0f} to "
        f"{max(units.values()):.0f} known values would have: nearer to {MARKETS} markets than to {CONSUMERS:,} "
        "consumers.",
        figures,
        "sigma_beta is read as the spread of consumers within a market, as equation 1 says; markets have their own.",
    )


def _placebo_and_effect() -> Contradiction:
    gap = max(abs(TABLE_8[c][0] - TABLE_6[f"mu_beta[{c}]"][0]) for c in CHANNELS)
    least = min(abs(a - b) for a, b, _ in TABLE_8.values())
    return Contradiction(
        "The true ATE of Table 8",
        f"It equals mu_beta of Table 6 to the digit (largest difference {gap:g}): a slope per unit of exposure. "
        "Section 3.3 defines the ATE as Y(1) - Y(0) of a binary treatment, which is another number. The p-values "
        "say nothing of how often the test would cry out without an effect, nor how many reassignments were made.",
        {"largest difference": gap, "smallest distance of true and placebo ATE": least},
        "The placebo compares slopes; whole exposure histories are exchanged within market and propensity stratum, and "
        "the size of the test and the smallest detectable effect are reported.",
    )


def _without_arithmetic() -> list[Contradiction]:
    return [
        Contradiction(
            "Two priors of beta_ij",
            "Section 3.1 has beta_ij ~ N(mu_beta_j, Sigma_beta), section 3.2 beta_ij = Theta W_i + eta_i: both cannot "
            "hold, and the second has no market.",
            {},
            "One equation: beta_ij = mu_beta + m_j + Theta W_i + eta_i, with Theta on standardised characteristics.",
        ),
        Contradiction(
            "Two samplers, one with a step that does not exist",
            "Section 3.5 and Table 4 describe Gibbs sampling with Metropolis steps and thinning by 10; section 4.2 "
            "says NUTS. Step 5 draws lambda, coefficients of a logistic regression, from a full conditional, which is "
            "not of a known family.",
            {},
            "NUTS on the posterior with consumer and market effects integrated out; consumer effects drawn exactly; "
            "no thinning. R-hat below 1.01 is asked, not 1.1.",
        ),
        Contradiction(
            "Propensity weights inside a likelihood",
            "Section 3.3 puts weights 1/e(W) into the Bayesian model. A weighted likelihood is not a posterior of "
            "anything, and e(W) of consumers' traits cannot balance what months differ in.",
            {},
            "Own mean exposures stand in the intercept equation (Mundlak); weighting estimators are reported beside "
            "the model, with their own errors.",
        ),
    ]
