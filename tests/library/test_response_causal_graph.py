"""The causal graph: read, written, and refused with what is wrong."""

import pandas as pd
import pytest

from models.errors import GraphError
from models.response.causal_graph import Edge, graph_from_yaml, graph_to_yaml

FULL = """
outcome: gmv
channels: [tv, search]
mediators: [visits]
confounders:
  - price
  - {name: demand, observed: false}
  - {name: season, observed: false, absorbed_by: period}
covariates: [weather]
edges:
  - tv -> visits
  - visits -> gmv
  - search -> gmv
  - price -> tv
  - price -> gmv
  - demand -> search
  - demand -> gmv
  - season -> tv
  - season -> gmv
  - weather -> gmv
proposed_edges:
  - {edge: tv -> search, probability: 0.91, stability: 0.8, accepted: true}
  - {edge: search -> tv, probability: 0.55, stability: 0.3, accepted: false}
"""


def test_reads_writes_and_counts_only_accepted_edges():
    graph = graph_from_yaml(FULL)
    assert graph_from_yaml(graph_to_yaml(graph)) == graph
    assert graph.outcome == "gmv" and graph.channels == ("tv", "search")
    assert graph.digraph.has_edge("tv", "search") and not graph.digraph.has_edge("search", "tv")
    assert [str(edge) for edge in graph.waiting] == ["search -> tv"]
    assert graph.adjustable == {"tv", "search", "visits", "price", "season", "weather"}
    assert "season" not in graph.observed


def small(edges="[tv -> gmv]", more=""):
    return f"outcome: gmv\nchannels: [tv]\n{more}\nedges: {edges}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is no YAML"),
        ("outcome: gmv\nnodes: [a]", "has \\['nodes', 'outcome'\\]; give outcome"),
        ("outcome: gmv\nedges: []", "1 outcomes and 0 channels"),
        (small(more="covariates: [tv]"), "tv is declared more than once"),
        (small(more="covariates: [{name: x, absorbed_by: country}]"), "absorbed_by 'country'"),
        (small(more="covariates: [{name: x, observed: maybe}]"), "observed 'maybe'; give true or false"),
        (small(more="confounders: x"), "confounders is 'x'; give a list"),
        (small("[tv -> gmv, tv -> radio]"), "names 'radio', which is no node"),
        (small("[tv -> gmv, tv -> gmv]"), "occurs twice"),
        (small("[tv -> tv]"), "is a loop"),
        (small("[tv gmv]"), "write each as `cause -> effect`"),
        (
            small("[tv -> gmv, gmv -> x, x -> tv]", "covariates: [x]"),
            "form a cycle, .*nothing can be its own cause",
        ),
        (small("[gmv -> tv]"), "channel 'tv' has no directed path to 'gmv'"),
        (small("[tv -> gmv, x -> gmv]", "mediators: [x]"), "mediator 'x' lies on no directed path"),
        (
            small("[tv -> x, x -> gmv]", "confounders: [x]"),
            r"confounder 'x' is caused by a channel \(tv -> x\).*Declare it as a mediator",
        ),
        (small(more="proposed_edges: [{edge: tv -> gmv}]"), "give edge, probability, stability and accepted"),
        (
            "outcome: gmv\nchannels: [{name: tv, observed: false}]\nedges: [tv -> gmv]",
            "tv is a channel or the outcome and not observed",
        ),
    ],
)
def test_refuses_graphs_that_are_none(text, says):
    with pytest.raises(GraphError, match=says):
        graph_from_yaml(text)


def test_edges_refuse_shares_that_are_none():
    with pytest.raises(GraphError, match=r"probability 1\.2"):
        Edge("a", "b", 1.2)
    with pytest.raises(GraphError, match="declared and not accepted"):
        Edge("a", "b", is_accepted=False)


def proposals():
    rows = [
        ("north", "tv", "search", 1, 0.9, 0.8),
        ("north", "tv", "search", 2, 0.3, 0.2),
        ("south", "tv", "search", 1, 0.7, 0.6),
        ("north", "search", "tv", 1, 0.4, None),
        ("north", "tv", "tv", 1, 0.99, 1.0),
        ("north", "tv", "gmv", 1, 0.99, 1.0),
    ]
    columns = ["market_id", "source_id", "target_id", "lag", "edge_probability", "selection_frequency"]
    return pd.DataFrame(rows, columns=columns)


def test_a_proposal_waits_until_it_is_accepted():
    base = graph_from_yaml("outcome: gmv\nchannels: [tv, search]\nedges: [tv -> gmv, search -> gmv]")
    waiting = base.with_proposals(proposals())
    assert waiting.digraph.edges == base.digraph.edges and len(waiting.waiting) == 2
    graph = base.with_proposals(proposals(), accepted=[("tv", "search")])
    edge = next(e for e in graph.edges if str(e) == "tv -> search")
    assert (edge.probability, edge.stability) == pytest.approx((0.8, 0.7))
    assert graph.digraph.has_edge("tv", "search") and [str(e) for e in graph.waiting] == ["search -> tv"]
    assert not next(e for e in graph.edges if str(e) == "tv -> gmv").is_proposed
    assert graph_from_yaml(graph_to_yaml(graph)) == graph
    with pytest.raises(GraphError, match="form a cycle"):
        base.with_proposals(proposals(), accepted=[("tv", "search"), ("search", "tv")])
    with pytest.raises(GraphError, match="gmv -> tv is accepted and not proposed"):
        base.with_proposals(proposals(), accepted=[("gmv", "tv")])
    with pytest.raises(GraphError, match="lacks selection_frequency"):
        base.with_proposals(proposals().drop(columns="selection_frequency"))
