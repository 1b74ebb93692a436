"""Table 7 of Ni et al. 2023 for a fitted HBMMM on its own panel: rivals on held-out rows, criteria on fitted rows.

rolling_origin   the last periods held out, from known consumers, several origins
by_consumer      consumers held out with all their rows
fitted_rows      information criteria on the rows the models were fitted on, which only the Bayesian two have

On held-out rows the HBMMM is fitted anew to the training rows alone, imputation included, by the normal approximation
at the mode with few draws (refit.refit_config): its point is the full model's, its intervals lack what NUTS adds. Its
criteria are those of the full fit. A method that cannot be scored keeps a row, without a number and with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.baselines.base import Fitted, Predictor, Rows
from models.baselines.consumer_ols import ConsumerOLS
from models.baselines.market_bayes import MarketBayes
from models.baselines.ols import PooledOLS
from models.baselines.ridge import Ridge
from models.baselines.seasonal_naive import SeasonalNaive
from models.errors import ConvergenceError, PanelError
from models.evaluation.comparison import compare_predictors
from models.evaluation.hbmmm_predictor import HBMMMPredictor
from models.evaluation.information import InformationCriterion
from models.evaluation.splits import PanelSplit, by_consumer_splits, rolling_origin_splits
from models.panel import ConsumerPanel

if TYPE_CHECKING:
    from models.hbmmm.fit import HBMMMFit

Progress = Callable[[str, float], None]
HBMMM, REFERENCE = "hbmmm", "pooled_ols"
ROLLING_ORIGIN, BY_CONSUMER, FITTED_ROWS = "rolling_origin", "by_consumer", "fitted_rows"
SPLIT_KINDS = (ROLLING_ORIGIN, BY_CONSUMER, FITTED_ROWS)
#: Panel periods held out after an origin: about a quarter of a year.
HELD_OUT_PERIODS = {"day": 28, "week": 6, "month": 3}
#: Draws kept for predictions: the mean of a consumer's coefficient errs by a fourteenth of its posterior sd.
PREDICTION_DRAWS = 200
_PREDICTED_AS = "normal approximation at the mode, fitted to the training rows"
_MONEY = ("rmse", "mae", "crps", "interval_width")
_COUNTS = {"rows_count": "rows", "log_score": "log density a row"}
_REFUSALS = (PanelError, ConvergenceError, np.linalg.LinAlgError)
COLUMNS = (
    "split_kind",
    "split",
    "method",
    "metric",
    "value",
    "unit",
    "variant",
    "standard_error",
    "effective_parameters",
    "unreliable_share",
    "reason",
)


@dataclass(frozen=True)
class AlreadyFitted:
    """A fitted model as a predictor, so that it is not fitted again."""

    model: Fitted

    def fit(self, train: ConsumerPanel) -> Fitted:
        """Whatever the training rows, the fitted model."""
        return self.model


def rivals() -> dict[str, Predictor]:
    """The predictors that need no truth, by name, the reference of cuts first."""
    return {
        REFERENCE: PooledOLS(),
        "pooled_ols_characteristics": PooledOLS(with_characteristics=True),
        "ridge": Ridge(),
        "market_bayes": MarketBayes(),
        "consumer_ols": ConsumerOLS(),
        "seasonal_naive": SeasonalNaive(),
    }


def compare_models(
    fit: HBMMMFit,
    panel: ConsumerPanel,
    *,
    origins: int = 2,
    consumer_folds: int = 5,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """COLUMNS, one row per split, method and metric, those of comparison.py on held-out rows.

    panel: the one `fit` was fitted on. origins: rolling origins of HELD_OUT_PERIODS each. consumer_folds: parts that
    consumers are divided into, each held out once. variant: how the HBMMM was fitted, or the type of a criterion.
    standard_error, effective_parameters, unreliable_share: of criteria (information.py), nan where there is none.
    """
    tell = progress or (lambda text, share: None)
    horizon = HELD_OUT_PERIODS[panel.period]
    recipes = {
        ROLLING_ORIGIN: lambda: rolling_origin_splits(panel, horizon=horizon, folds=origins),
        BY_CONSUMER: lambda: by_consumer_splits(panel, folds=consumer_folds, seed=fit.config.seed),
    }
    parts, done, count = [], 0, origins + consumer_folds + 1
    for kind, recipe in recipes.items():
        try:
            splits = recipe()
        except PanelError as error:
            parts.append(not_evaluated(str(error), (kind,)))
            continue
        for split in splits:
            tell(f"{kind}: {split.name}", done / count)
            parts.append(_scores(fit, split).assign(split_kind=kind, split=split.name))
            done += 1
    tell("information criteria", 1 - 1 / count)
    parts.append(_criteria(fit, panel))
    tell("done", 1.0)
    table = pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))
    money = panel.currency_code or "money"
    table["unit"] = table["metric"].map(lambda m: money if m in _MONEY else _unit(m))
    table[["variant", "reason"]] = table[["variant", "reason"]].astype(object)
    undefined = table["value"].isna() & table["reason"].isna()
    table.loc[undefined, "reason"] = "not defined for these predictions"
    return table


def not_evaluated(reason: str, kinds: tuple[str, ...] = SPLIT_KINDS) -> pd.DataFrame:
    """A row a split kind and method that says why it has no number."""
    rows = []
    for kind in kinds:
        methods = (HBMMM, "market_bayes") if kind == FITTED_ROWS else (HBMMM, *rivals())
        metric = "conditional LOO" if kind == FITTED_ROWS else "rmse"
        rows += [(kind, "all", method, metric, np.nan, f"not evaluated: {reason}") for method in methods]
    names = ["split_kind", "split", "method", "metric", "value", "reason"]
    return pd.DataFrame(rows, columns=names).reindex(columns=list(COLUMNS))


def summary_of(table: pd.DataFrame) -> pd.DataFrame:
    """Means over splits for people: a row a kind of split and method, best RMSE first, a column a metric."""
    known = table[table["value"].notna()]
    wide = known.pivot_table(index=["split_kind", "method"], columns="metric", values="value", sort=False)
    first = [name for name in ("rmse", "mae", "r_squared", "crps", "interval_coverage") if name in wide]
    wide = wide[first + [name for name in wide.columns if name not in first]].reset_index()
    order = {kind: i for i, kind in enumerate(SPLIT_KINDS)}
    by = ["split_kind", *first[:1]]
    wide = wide.sort_values(by, key=lambda v: v.map(order) if v.name == "split_kind" else v)
    return wide.rename_axis(columns=None).reset_index(drop=True)


def _unit(metric: str) -> str:
    deviance = any(metric.endswith(name) for name in ("DIC", "WAIC", "LOO"))
    return "-2 log density" if deviance else _COUNTS.get(metric, "share")


def _scores(fit: HBMMMFit, split: PanelSplit) -> pd.DataFrame:
    """Metrics of every method on one split; one that refuses the split does not take the others with it."""
    reference = AlreadyFitted(rivals()[REFERENCE].fit(split.train))
    methods = {HBMMM: _refitted(fit), **rivals(), REFERENCE: reference}
    parts = []
    for name, predictor in methods.items():
        try:
            scores = compare_predictors(
                [split],
                {REFERENCE: reference, name: predictor},
                reference=REFERENCE,
                interval_level=fit.config.interval_level,
            )
        except _REFUSALS as error:
            scores = pd.DataFrame([{"method": name, "metric": "rmse", "reason": f"not evaluated: {error}"}])
            parts.append(scores.assign(value=np.nan))
            continue
        parts.append(scores[scores["model_name"] == name].rename(columns={"model_name": "method"}))
    table = pd.concat(parts, ignore_index=True)
    table.loc[table["method"] == HBMMM, "variant"] = _PREDICTED_AS
    return table


def _refitted(fit: HBMMMFit) -> HBMMMPredictor:
    from models.hbmmm.refit import refit_config

    config = replace(refit_config(fit, None, 2, None), imputations_count=2, effect_draws=PREDICTION_DRAWS)
    return HBMMMPredictor(config.as_dict())


def _criteria(fit: HBMMMFit, panel: ConsumerPanel) -> pd.DataFrame:
    """DIC, WAIC and LOO, conditional and marginal, of the fit and of the non-hierarchical Bayes model."""
    from models.evaluation.hbmmm_information import hbmmm_information
    from models.evaluation.market_bayes_information import market_bayes_information

    def of_markets() -> tuple[InformationCriterion, ...]:
        rows = Rows.of_panel(panel)
        return market_bayes_information(MarketBayes().fit(panel), rows)

    recipes = {HBMMM: lambda: hbmmm_information(fit, panel), "market_bayes": of_markets}
    rows = []
    for name, recipe in recipes.items():
        try:
            rows += [{"method": name} | one for one in _criterion_rows(recipe())]
        except _REFUSALS as error:
            rows.append({"method": name, "metric": "conditional LOO", "reason": f"not evaluated: {error}"})
    return pd.DataFrame(rows).assign(split_kind=FITTED_ROWS, split="all").reindex(columns=list(COLUMNS))


def _criterion_rows(criteria: tuple[InformationCriterion, ...]) -> Iterator[dict]:
    for one in criteria:
        yield {
            "metric": one.name,
            "value": one.value,
            "variant": one.variant,
            "standard_error": one.standard_error,
            "effective_parameters": one.effective_parameters,
            "unreliable_share": one.unreliable_share,
        }
