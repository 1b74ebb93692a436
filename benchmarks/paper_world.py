"""Tables 6 to 8 and Figures 3 and 6 of Ni et al. 2023 on the paper's world in bulk (simulate/consumer_months)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.paper_published import TABLE_6
from models.simulate import consumer_months as cm

Tell = Callable[[str], None]
SDS = dict(zip(cm.CHANNEL_IDS, cm.EXPOSURE_SDS.tolist(), strict=True))
MEANS = dict(zip(cm.CHANNEL_IDS, cm.EXPOSURE_MEANS.tolist(), strict=True))
HELD_OUT = 6
CRITERIA = tuple(
    f"{level} {name}" for level in ("conditional", "marginal") for name in ("DIC", "WAIC", "LOO")
)
OVER_KNOWN_MOST = 0.01


def fit_panel(panel: Any, options: dict[str, Any]) -> Any:
    """One HBMMM fit; a function of the module, so that it can be sent to a process."""
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    return fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, HBMMMConfig(**options))


def world(consumers: int, seed: int) -> tuple[cm.ConsumerMonthsConfig, cm.ConsumerMonths]:
    """Consumers of 24 months each in 50 markets, in one chunk."""
    config = cm.ConsumerMonthsConfig(consumers, shortest=24, seed=seed, chunk=consumers)
    return config, next(cm.consumer_months(config))


def summary_of(values: np.ndarray, level: float = 0.95) -> dict[str, float]:
    """Mean, interval, R-hat and effective sizes of draws (chain, draw)."""
    from models.hbmmm.diagnostics import ess_bulk, ess_tail, r_hat

    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    one = values[:, :, None]
    return {
        "mean": float(values.mean()),
        "lower": float(low),
        "upper": float(high),
        "r_hat": float(r_hat(one[None])[0]),
        "ess_bulk": float(ess_bulk(one)[0]),
        "ess_tail": float(ess_tail(one)[0]),
    }


def diagnostics_of(fit: Any) -> dict[str, Any]:
    """What a sampler must answer for, over all parameters."""
    table = fit.diagnostics
    return {
        "method": str(fit.sampler["method"].iloc[0]),
        "chains": fit.draws.shape[1],
        "draws_a_chain": fit.draws.shape[2],
        "parameters": len(table),
        "r_hat_max": float(table["r_hat"].max()),
        "ess_bulk_min": float(table["ess_bulk"].min()),
        "ess_tail_min": float(table["ess_tail"].min()),
        "divergences": fit.divergences_count,
        "seconds": {name: round(value, 1) for name, value in fit.seconds.items()},
    }


def true_parameters() -> dict[str, float]:
    """Table 6 of the world as it is drawn: Table 6 of the paper, but for sigma_alpha, which has parts of its own."""
    spread = np.sum(cm.INTERCEPT_LOADINGS**2) + cm.PROPENSITY_LOADING**2 + cm.INTERCEPT_OWN_SD**2
    truth = {
        "mu_alpha": cm.LOG_INTERCEPT_MEAN,
        "sigma_alpha": float(np.sqrt(spread)),
        "sigma_epsilon": cm.NOISE_SD,
    }
    for i, channel in enumerate(cm.CHANNEL_IDS):
        truth |= {
            f"mu_beta[{channel}]": float(cm.SLOPE_MEANS[i]),
            f"sigma_beta[{channel}]": float(cm.SLOPE_SDS[i]),
        }
    return truth


def table_6(fit: Any) -> list[dict[str, Any]]:
    """Estimates beside the truth of the world and the paper's numbers, in the paper's units and order."""
    from models.evaluation.paper_parameters import paper_parameters

    draws, truth = paper_parameters(fit, MEANS, SDS), true_parameters()
    rows = []
    for name in (*TABLE_6, "sigma_epsilon"):
        row = {"parameter": name} | summary_of(draws[name]) | {"truth": truth[name]}
        row["covers_truth"] = row["lower"] <= truth[name] <= row["upper"]
        printed = TABLE_6.get(name, (None,) * 4)
        rows.append(
            row | dict(zip(("paper", "paper_lower", "paper_upper", "paper_r_hat"), printed, strict=True))
        )
    return rows


def figure_3(fit: Any, panel: Any, months: cm.ConsumerMonths) -> bytes:
    """Global parameters, mean slopes of four markets, slopes of four consumers, and the average effects."""
    from models.evaluation.group_slopes import group_slope_draws
    from models.evaluation.paper_parameters import paper_parameters
    from models.figures.posterior_grid import posterior_grid
    from models.hbmmm.statistics import SufficientStatistics

    email = cm.CHANNEL_IDS.index("email")
    market_draws = fit.market_draws[0].mean(axis=0)[:, 1 + email]
    markets = np.argsort(market_draws)[[0, len(market_draws) // 3, 2 * len(market_draws) // 3, -1]]
    own = fit.coefficient_mean[:, fit.design.slope_columns[1 + email]]
    consumers = np.argsort(own)[[0, len(own) // 3, 2 * len(own) // 3, -1]]
    members = [fit.market_index == j for j in markets] + [np.arange(len(own)) == i for i in consumers]
    members = np.stack([*members, np.ones(len(own), dtype=bool)])
    slopes = group_slope_draws(fit, SufficientStatistics.from_panel(panel), members) * cm.EXPOSURE_SDS
    true = members / members.sum(axis=1, keepdims=True) @ months.slopes
    names = [f"market {fit.market_ids[j]}" for j in markets] + [
        f"consumer {fit.consumer_ids[i]}" for i in consumers
    ]
    truths = true_parameters() | dict(zip(names, true[:, email].tolist(), strict=False))
    truths |= dict(zip(cm.CHANNEL_IDS, true[-1].tolist(), strict=True))
    each = {name: slopes[:, g, email] for g, name in enumerate(names)}
    draws = paper_parameters(fit, MEANS, SDS)
    levels = {
        "population": {name: draws[name] for name in (*TABLE_6, "sigma_epsilon")},
        "market\n(email slope)": {name: each[name] for name in names[:4]},
        "consumer\n(email slope)": {name: each[name] for name in names[4:]},
    }
    average = {channel: slopes[:, -1, c] for c, channel in enumerate(cm.CHANNEL_IDS)}
    return posterior_grid(levels, average, truths, "log points per standard deviation of exposures (Table 5)")


def table_7(
    split: Any, trained: Any, config: cm.ConsumerMonthsConfig, months: cm.ConsumerMonths, tell: Tell
) -> dict[str, Any]:
    """Scores on held-out months of all predictors, and information criteria on the training months of two."""
    from models.baselines.market_bayes import MarketBayes
    from models.evaluation.comparison import compare_predictors, wide_table
    from models.evaluation.hbmmm_predictor import FittedHBMMM
    from models.evaluation.model_comparison import AlreadyFitted, rivals
    from models.evaluation.paper_panel import paper_oracle, paper_population

    bayes = MarketBayes().fit(split.train)
    predictors = {
        "oracle": paper_oracle(months),
        "known_population": paper_population(config, months),
        "hbmmm": AlreadyFitted(FittedHBMMM(trained)),
        **rivals(),
        "market_bayes": AlreadyFitted(bayes),
    }
    tell("Table 7: predictions of held-out months")
    scores = wide_table(compare_predictors([split], predictors, oracle="oracle"))
    tell("Table 7: information criteria")
    criteria, missing = all_criteria(trained, bayes, split.train)
    over = float(scores.loc["hbmmm", "rmse"] / scores.loc["known_population", "rmse"] - 1)
    return {
        "split": split.name,
        "rows": len(split.test),
        "noise_sd": cm.NOISE_SD,
        "scores": records(scores),
        "criteria": criteria,
        "criteria_missing": missing,
        "hbmmm_over_known_population": over,
        "passes": over <= OVER_KNOWN_MOST,
        "sampler": diagnostics_of(trained),
    }


def all_criteria(
    trained: Any, bayes: Any, train: Any
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, str]]:
    """Criteria of the two Bayesian models on their training panel by model, and why a model has none."""
    from models.baselines.base import Rows
    from models.errors import PanelError
    from models.evaluation.hbmmm_information import hbmmm_information
    from models.evaluation.market_bayes_information import market_bayes_information

    found, missing = {}, {}
    for name, criteria in (
        ("hbmmm", lambda: hbmmm_information(trained, train)),
        ("market_bayes", lambda: market_bayes_information(bayes, Rows.of_panel(train))),
    ):
        try:
            found[name] = criteria_of(criteria())
        except PanelError as error:
            missing[name] = str(error)
    return found, missing


def criteria_of(found: Any) -> dict[str, dict[str, float]]:
    """Value, penalty, standard error, number of points and share of unreliable points, by name."""
    return {
        one.name: {
            "value": one.value,
            "effective_parameters": one.effective_parameters,
            "standard_error": one.standard_error,
            "points": one.points_count,
            "unreliable_share": one.unreliable_share,
        }
        for one in found
    }


def table_8(
    fit: Any,
    panel: Any,
    replicates: int,
    processes: int,
    tell: Tell,
    scales: Mapping[str, float] | None = None,
    kind: str | None = None,
) -> list[dict[str, Any]]:
    """Placebo by refits on exchanged exposure histories; slopes, times `scales` by channel where given."""
    from models.checks.placebo import swappable_share
    from models.checks.placebo_refits import (
        REASSIGNMENT,
        RefitEstimator,
        placebo_groups,
        placebo_replicates,
        placebo_summary,
    )

    kind = kind or REASSIGNMENT
    groups = placebo_groups(panel, kind)
    drawn = placebo_replicates(
        panel,
        RefitEstimator(fit),
        groups,
        replicates,
        seed=(fit.config.seed, 0),
        processes_count=processes,
        progress=lambda text, share: tell(f"Table 8: {text}"),
    )
    table = placebo_summary(drawn, kind, swappable=swappable_share(groups))
    table = table[table["estimand"] == "slope"].copy()
    factor = table["channel_id"].map(scales or {}).fillna(1.0)
    for name in ("actual_estimate", "estimate", "standard_error", "smallest_detectable_effect"):
        table[name] = table[name].astype(float) * factor
    return records(table.set_index("channel_id"))


def robustness(
    fit: Any, panel: Any, tell: Tell, scales: Mapping[str, float], unit: str, padded_panel: Any = None
) -> tuple[dict[str, Any], bytes]:
    """Figure 6 and what it says in numbers; slopes times `scales` by channel, in `unit`."""
    from models.checks.robustness import robustness_checks
    from models.figures.robustness import NOT_REFITS, robustness_heatmap

    table = robustness_checks(
        fit, panel, padded_panel=padded_panel, progress=lambda text, share: tell(f"Figure 6: {text}")
    )
    slopes = table[table["estimand"] == "slope"].copy()
    for name in ("mean", "standard_deviation", "interval_lower", "interval_upper", "difference"):
        slopes[name] = slopes[name] * slopes["channel_id"].map(scales)
    slopes["unit"] = unit
    refits = slopes[~slopes["specification_kind"].isin(NOT_REFITS)]
    wide = refits.pivot_table(index="specification", columns="channel_id", values="mean", sort=False)
    base = refits[refits["specification_kind"] == "baseline"].set_index("channel_id")
    others = wide.drop(index="baseline")
    largest = wide.loc["baseline"].idxmax()
    shift = ((others - base["mean"]).abs() / base["standard_deviation"]).max()
    facts = {
        "specifications": len(others),
        "not_run": int(refits.groupby("specification")["mean"].apply(lambda v: v.isna().all()).sum()),
        "unit": unit,
        "largest_channel": str(largest),
        "largest_channel_in": int((others.dropna(how="all").idxmax(axis=1) == largest).sum()),
        "same_order_in": int((others.rank(axis=1) == wide.loc["baseline"].rank()).all(axis=1).sum()),
        "all_positive_in": int((others > 0).all(axis=1).sum()),
        "largest_shift_in_baseline_sds": {c: float(shift[c]) for c in shift.index},
        "rows": records(slopes.set_index("specification")),
    }
    return facts, robustness_heatmap(slopes)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame with its index, numbers as Python's and six digits, None for what is missing."""
    out = []
    for row in table.reset_index().to_dict("records"):
        out.append({str(k): plain(v) for k, v in row.items()})
    return out


def plain(value: Any) -> Any:
    """A value for JSON."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    return float(f"{value:.6g}") if np.isfinite(value) else None
