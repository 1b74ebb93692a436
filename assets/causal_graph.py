"""Group causal_graph: which series precede which in each market, by the classical level of CausalMMM.

Edges are predictive (Granger): the past of the source helps to predict the target beyond every other node's past.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import markdown, picture
from assets.status import EVALUATED, Refresh, load_refresh, write_family
from models.outcomes import NOT_EVALUATED

if TYPE_CHECKING:
    import pandas as pd

    from models.causalmmm.classical_config import ClassicalConfig
    from models.causalmmm.market_series import MarketSeries

_MARTS = ("market_periods", "market_channel_periods", "mediator_periods", "market_covariate_periods")
_STABILITY_PAIRS = 10
_SEED_STREAM = 6
#: Periods back that an edge may reach, and cycles that are no cause, by length of the period.
_LAGS = {"day": (1, 2, 3, 5, 7, 10, 14), "week": (1, 2, 3, 4), "month": (1, 2)}
_SEASONS = {"day": (7,), "week": (), "month": ()}


@dg.asset(
    key=keys.CAUSAL_GRAPH_EDGES,
    group_name=keys.CAUSAL_GRAPH,
    kinds={"python", "mlflow"},
    owners=list(keys.OWNERS),
    deps=[
        keys.MARKET_PERIODS,
        keys.MARKET_CHANNEL_PERIODS,
        keys.MEDIATOR_PERIODS,
        keys.MARKET_COVARIATE_PERIODS,
        keys.CURRENT_REFRESH,
    ],
)
def causal_graph_edges(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Probability, lag and sign of an edge between any two series of a market, and how often it is found again."""
    from orchestration.resources.artefacts import write_artefact

    refresh = load_refresh()
    family, table_name = keys.FAMILY_CAUSAL_GRAPH, "causal_graph_edges"
    try:
        series = read_series(refresh)
    except refusals() as error:
        write_family(refresh, family, NOT_EVALUATED, str(error))
        write_artefact(refresh.artefacts_dir, table_name, family, refresh.as_of_date, None)
        return dg.MaterializeResult(metadata={"status": NOT_EVALUATED, "reason": str(error)})
    from models.figures.causal_graph import causal_graph_figure

    table, facts = edges_table(series, refresh, context.log.info)
    table["data_version"] = (
        f"{refresh.as_of_date.isoformat()}.{refresh.loads_hash[:8]}.{refresh.content_hash(_MARTS)}"
    )
    write_artefact(refresh.artefacts_dir, table_name, family, refresh.as_of_date, table)
    write_family(refresh, family, EVALUATED, None, {"left_out": series.left_out}, **facts)
    figure = causal_graph_figure(table, series.node_kinds)
    log_graph(refresh, table, series, facts, figure)
    strongest = table.groupby(["source_id", "target_id"], as_index=False)[
        ["edge_probability", "selection_frequency", "lag", "sign"]
    ].mean()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            **facts,
            "left_out": markdown(series.left_out),
            "edges (mean over markets)": markdown(
                strongest.sort_values("edge_probability", ascending=False), most_rows=20
            ),
            "graph": picture(figure),
        }
    )


def refusals() -> tuple[type[Exception], ...]:
    """What data without a graph end in."""
    from models.errors import PanelError

    return (PanelError,)


def read_series(refresh: Refresh) -> "MarketSeries":
    """The market marts as a panel of shops. Raises PanelError where they hold no graph."""
    from models.causalmmm.market_series import market_series

    return market_series(*(refresh.read_mart(name) for name in _MARTS))


def graph_config(refresh: Refresh) -> "ClassicalConfig":
    """Lags and cycles that go with the period; ranks of every node, because intensities and money are skewed."""
    from models.causalmmm.classical_config import ClassicalConfig

    return ClassicalConfig(
        lags_count=None,
        lag_candidates=_LAGS[refresh.period],
        season_lengths=_SEASONS[refresh.period],
        normal_scores="all",
        seed=refresh.settings.seed,
    )


def edges_table(series: "MarketSeries", refresh: Refresh, tell: Any) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Rows of causal_graph_edges without versions, and facts about the fit."""
    from dataclasses import replace

    import numpy as np

    from models.causalmmm.classical import fit_classical
    from models.causalmmm.stability import SHOPS_LEAST, selection_frequency

    panel, config = series.panel, graph_config(refresh)
    fit = fit_classical(panel, config, tell)
    table = fit.posterior.to_frame(panel).rename(columns={"shop_id": "market_id"})
    fixed = replace(config, lags_count=fit.lags_count)
    table["selection_frequency"] = np.nan
    if panel.shops_count >= SHOPS_LEAST:
        frequency = selection_frequency(
            panel,
            lambda part, number: fit_classical(part, replace(fixed, seed=config.seed + 1 + number)).posterior,
            _STABILITY_PAIRS,
            np.random.default_rng([config.seed, _SEED_STREAM]),
            progress=lambda text, share: tell(text),
        )
        source, target = np.nonzero(panel.allowed)
        table["selection_frequency"] = frequency[:, source, target].ravel()
    shares = fit.posterior.structure_probability
    structure = np.zeros(panel.shops_count, dtype=int) if shares is None else shares.argmax(axis=1)
    table["structure"] = np.repeat(structure + 1, int(panel.allowed.sum()))
    facts = {
        "markets_count": panel.shops_count,
        "periods_count": panel.periods_count,
        "nodes": list(panel.node_ids),
        "lags_count": fit.lags_count,
        "structures_count": len(set(structure.tolist())),
        "edges_above_half_per_market": round(
            float((table["edge_probability"] >= 0.5).sum()) / panel.shops_count, 2
        ),
    }
    return table, facts


def log_graph(
    refresh: Refresh, table: "pd.DataFrame", series: "MarketSeries", facts: dict[str, Any], figure: bytes
) -> None:
    """A run of experiment mediamix/causalmmm: settings, facts, the edges' means over markets, the picture."""
    from dataclasses import asdict

    from orchestration.resources.tracking import AS_OF_DATE_TAG, Tracking, log_figures, log_tables

    tags = {AS_OF_DATE_TAG: refresh.as_of_date.isoformat()}
    with Tracking.from_settings(refresh.settings).run("causalmmm", "classical graph", tags) as mlflow:
        mlflow.log_params({name: str(value) for name, value in asdict(graph_config(refresh)).items()})
        mlflow.log_metrics(
            {name: float(value) for name, value in facts.items() if isinstance(value, int | float)}
        )
        means = table.groupby(["structure", "source_id", "target_id"], as_index=False)[
            ["edge_probability", "selection_frequency", "lag", "sign"]
        ].mean()
        log_tables(mlflow, {"causal_graph_edges": means, "left_out": series.left_out}, "graph")
        log_figures(mlflow, {"causal_graph": figure})
