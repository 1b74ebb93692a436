"""Group causal_graph: which series precede which in each market, by the classical level of CausalMMM.

Edges are predictive (Granger): the past of the source helps to predict the target beyond every other node's past.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets import keys
from assets.checks import markdown, picture
from assets.status import EVALUATED, Refresh, load_refresh, publish_status
from models.errors import PanelError
from models.outcomes import NOT_EVALUATED

if TYPE_CHECKING:
    from models.causalmmm.market_graph import MarketGraph
    from models.causalmmm.market_series import MarketSeries

_MARTS = ("market_periods", "market_channel_periods", "mediator_periods", "market_covariate_periods")
_SHOWN = ["edge_probability", "selection_frequency", "lag", "sign"]
SERVING_CODE = Path(__file__).resolve().parent / "serving" / "causalmmm_pyfunc.py"


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
    content = refresh.content_hash(_MARTS)
    data_version = f"{refresh.as_of_date.isoformat()}.{refresh.loads_hash[:8]}.{content}"
    try:
        series = read_series(refresh)
    except PanelError as error:
        write_artefact(refresh.artefacts_dir, table_name, family, refresh.as_of_date, None)
        status = {"family": family, "status": NOT_EVALUATED, "reason": str(error), "rows_count": 0}
        return dg.MaterializeResult(metadata=publish_status(refresh, status, data_version))
    from models.causalmmm.market_graph import fit_market_graph, market_graph_config
    from models.figures.causal_graph import causal_graph_figure

    config = market_graph_config(refresh.period, refresh.settings.seed)
    graph = fit_market_graph(series.panel, config, progress=context.log.info)
    table, facts = graph.edges, graph.facts
    figure = causal_graph_figure(table, series.node_kinds)
    version = register_graph(refresh, content, graph, series, figure)
    table["data_version"] = data_version
    table["model_name"], table["model_version"] = keys.REGISTERED_CAUSALMMM, version
    write_artefact(refresh.artefacts_dir, table_name, family, refresh.as_of_date, table)
    status = {"family": family, "status": EVALUATED, "reason": None, "rows_count": len(table)}
    publish_status(refresh, status, data_version)
    strongest = table.groupby(["source_id", "target_id"], as_index=False)[_SHOWN].mean()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "model_version": version,
            **facts,
            "left_out": markdown(series.left_out),
            "edges (mean over markets)": markdown(
                strongest.sort_values("edge_probability", ascending=False), most_rows=20
            ),
            "graph": picture(figure),
        }
    )


def read_series(refresh: Refresh) -> "MarketSeries":
    """The market marts as a panel of shops. Raises PanelError where they hold no graph."""
    from models.causalmmm.market_series import market_series

    return market_series(*(refresh.read_mart(name) for name in _MARTS))


def register_graph(
    refresh: Refresh, content: str, graph: "MarketGraph", series: "MarketSeries", figure: bytes
) -> str:
    """Version of mediamix-causalmmm: the one of the same marts, settings and code, or a new run and version.

    Alias challenger is set; a graph has no gate, since nothing is decided on it without a person.
    """
    import json
    import tempfile
    from dataclasses import asdict

    from models.causalmmm.classical_storage import save_classical
    from orchestration.resources.artefacts import combined_hash
    from orchestration.resources.tracking import (
        AS_OF_DATE_TAG,
        CHALLENGER,
        FINGERPRINT_TAG,
        Tracking,
        log_figures,
        log_tables,
    )

    settings = asdict(graph.fit.config)
    fingerprint = combined_hash({"data": content, "config": settings, "code": graph_code_hash()})
    tracking = Tracking.from_settings(refresh.settings)
    known = tracking.find_version(keys.REGISTERED_CAUSALMMM, fingerprint)
    if known is None:
        tags = {
            FINGERPRINT_TAG: fingerprint,
            AS_OF_DATE_TAG: refresh.as_of_date.isoformat(),
            "mediamix.source": refresh.source_name,
        }
        name = f"causal graph {refresh.as_of_date.isoformat()}"
        with tempfile.TemporaryDirectory() as scratch, tracking.run("causalmmm", name, tags) as mlflow:
            folder = Path(scratch) / "fit"
            save_classical(graph.fit, folder)
            (folder / "context.json").write_text(json.dumps(list(series.panel.context_ids)), encoding="utf-8")
            mlflow.log_params({key: str(value) for key, value in settings.items()} | {"data_hash": content})
            mlflow.log_metrics(
                {key: float(v) for key, v in graph.facts.items() if isinstance(v, int | float)}
            )
            means = graph.edges.groupby(["structure", "source_id", "target_id"], as_index=False)[
                _SHOWN
            ].mean()
            log_tables(mlflow, {"causal_graph_edges": means, "left_out": series.left_out}, "graph")
            log_figures(mlflow, {"causal_graph": figure})
            known = tracking.register_code_model(
                keys.REGISTERED_CAUSALMMM, SERVING_CODE, {"fit": folder}, fingerprint
            )
    tracking.set_alias(keys.REGISTERED_CAUSALMMM, CHALLENGER, known.version)
    return known.version


def graph_code_hash() -> str:
    """Hash of the family's files and of those that it shares with others."""
    from assets.hbmmm import hash_of_files

    package = Path(__file__).resolve().parents[1] / "models"
    families = [sorted((package / name).rglob("*.py")) for name in ("causalmmm", "shops", "transforms")]
    return hash_of_files([*sorted(package.glob("*.py")), *(path for family in families for path in family)])
