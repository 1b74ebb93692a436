"""Group evaluation: the model beside its rivals on held-out data (Ni et al. 2023, Table 7)."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import markdown, picture
from assets.robustness import RobustnessRunConfig, publish, robustness_input, without_fit
from assets.robustness_fits import comparison_table, log_robustness
from assets.status import load_refresh

if TYPE_CHECKING:
    import pandas as pd


@dg.asset(
    key=keys.MODEL_COMPARISON,
    group_name=keys.EVALUATION,
    kinds={"python", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[keys.HBMMM_POSTERIOR, keys.CONSUMER_PANEL],
)
def model_comparison(context: dg.AssetExecutionContext, config: RobustnessRunConfig) -> dg.MaterializeResult:
    """The model beside OLS, ridge, Bayes without hierarchy, no pooling and seasonal naive; the paper's Table 7."""
    refresh = load_refresh()
    given = robustness_input(refresh, config)
    if given is None:
        return without_fit(refresh, "model_comparison")
    table = comparison_table(given)
    publish(given, "model_comparison", table)
    metadata: dict[str, Any] = {"dagster/row_count": len(table), **given.sizes}
    if table["value"].isna().all():
        return dg.MaterializeResult(metadata=metadata | {"reason": str(table["reason"].iloc[0])})
    from models.evaluation.model_comparison import summary_of
    from models.figures.model_comparison import comparison_figure

    summary = summary_of(table)
    figure = comparison_figure(table)
    log_robustness(
        given, {"model_comparison": table}, {"model_comparison": figure}, comparison_metrics(table)
    )
    return dg.MaterializeResult(
        metadata=metadata | {"results": markdown(summary), "comparison": picture(figure)}
    )


def comparison_metrics(table: "pd.DataFrame") -> dict[str, float]:
    """Means over splits by MLflow metric name, ``comparison/rolling_origin/hbmmm/rmse``."""
    known = table[table["value"].notna()]
    means = known.groupby(["split_kind", "method", "metric"])["value"].mean()
    return {"/".join(("comparison", *key)).replace(" ", "_"): float(value) for key, value in means.items()}
