"""The newest found graph of a home, as proposals to the graph that a person declares."""

from typing import TYPE_CHECKING

from orchestration.resources.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from models.response.graph_proposal import GraphProposal


class ProposalError(RuntimeError):
    """The home holds no graph to propose; the message says why."""


def proposed_graph(
    settings: Settings,
    declared_yaml: str | None,
    least_probability: float,
    least_stability: float,
    structure: int | None = None,
) -> "GraphProposal":
    """Proposals from reporting.causal_graph_edges of the newest as-of date.

    declared_yaml: None draws up the graph that rules out least. structure: its markets alone.
    Raises ProposalError where there are no edges, GraphError for a declared graph or a share that is none.
    """
    from models.response.causal_graph import graph_from_yaml
    from models.response.graph_proposal import ProposalRule, propose_graph, unrestricted_graph

    rule = ProposalRule(least_probability, least_stability)
    edges = newest_edges(settings)
    if structure is not None:
        found = sorted(int(one) for one in edges["structure"].unique())
        edges = edges[edges["structure"] == structure]
        if edges.empty:
            raise ProposalError(f"There is no structure {structure}; the newest graph has {found}.")
    if declared_yaml is None:
        declared = unrestricted_graph(node_kinds(settings, edges))
    else:
        declared = graph_from_yaml(declared_yaml)
    return propose_graph(declared, edges, rule)


def newest_edges(settings: Settings) -> "pd.DataFrame":
    """Rows of causal_graph_edges of the newest as-of date."""
    import pyarrow.parquet as pq

    from orchestration.results import reporting_dir

    path = reporting_dir(settings) / "causal_graph_edges.parquet"
    if not path.exists():
        raise ProposalError(
            f"{path} does not exist: nothing was published in this home yet. Use `mediamix run`."
        )
    edges = pq.ParquetFile(path).read().to_pandas()
    if edges.empty:
        raise ProposalError(
            "causal_graph_edges has no rows; reporting.family_status says why (family causal_graph)."
        )
    return edges[edges["as_of_date"] == edges["as_of_date"].max()]


def node_kinds(settings: Settings, edges: "pd.DataFrame") -> dict[str, str]:
    """Node -> channel, mediator or outcome, by the marts of the newest refresh."""
    from assets.status import RefreshError, load_refresh
    from models.causalmmm.market_series import CHANNEL, MEDIATOR, OUTCOME, OUTCOME_ID

    try:
        channels = set(load_refresh(settings).read_mart("market_channel_periods")["channel_id"].astype(str))
    except RefreshError as error:
        raise ProposalError(
            f"Which series are channels is unknown: {error} Or declare them: --graph."
        ) from error
    nodes = sorted({*edges["source_id"], *edges["target_id"]} - {OUTCOME_ID})
    kinds = {node: CHANNEL if node in channels else MEDIATOR for node in nodes}
    return dict(sorted(kinds.items(), key=lambda item: item[1])) | {OUTCOME_ID: OUTCOME}
