"""Found edges as proposals: what is proposed, what waits, and what is said of those that cannot be accepted."""

import numpy as np
import pandas as pd
import pytest

from models.errors import GraphError
from models.response.causal_graph import graph_from_yaml
from models.response.graph_proposal import ProposalRule, accepted_edges, propose_graph, unrestricted_graph
from models.response.identification import identify_all
from models.response.proposed_edges import pooled_edges
from models.shops.graph_posterior import GraphPosterior
from models.shops.panel import ShopPanel

DECLARED = """
outcome: gmv
channels: [tv, search]
mediators: [visits]
confounders: [price]
edges: [tv -> visits, visits -> gmv, search -> gmv, price -> tv, price -> gmv]
"""


def found(*rows: tuple) -> pd.DataFrame:
    """source, target, probability, selection frequency and, where given, market, lag and sign."""
    return pd.DataFrame([
        {
            "source_id": source, "target_id": target, "edge_probability": probability,
            "selection_frequency": stability, "market_id": (*rest, "a", 1.0, 1.0)[0] if rest else "a",
            "lag": rest[1] if len(rest) > 1 else 1.0, "sign": rest[2] if len(rest) > 2 else 1.0,
        }
        for source, target, probability, stability, *rest in rows
    ])  # fmt: skip


def note_about(proposal, text: str) -> str:
    (note,) = [note for note in proposal.notes if text in note]
    return note


def test_markets_are_averaged_with_lag_and_sign_weighted_by_probability():
    rows = found(
        ("tv", "gmv", 0.9, 0.8, "a", 1.0, 1.0), ("tv", "gmv", 0.3, 0.4, "b", 5.0, -1.0),
        ("tv", "gmv", 0.2, 0.9, "a", 7.0, -1.0), ("tv", "tv", 1.0, 1.0, "a"),
    )  # fmt: skip
    (row,) = pooled_edges(rows).to_dict("records")
    assert (row["edge_probability"], row["selection_frequency"]) == pytest.approx((0.6, 0.6))
    assert row["lag"] == pytest.approx((0.9 * 1 + 0.3 * 5) / 1.2) and row["sign"] == pytest.approx(0.5)
    assert (row["least"], row["most"], row["markets_count"]) == (0.3, 0.9, 2)
    with pytest.raises(GraphError, match="lacks source_id"):
        pooled_edges(rows.drop(columns="source_id"))
    assert pooled_edges(rows.iloc[:0]).empty


def test_only_sure_and_stable_edges_are_proposed_and_nothing_counts_before_it_is_accepted():
    declared = graph_from_yaml(DECLARED)
    edges = found(
        ("tv", "search", 0.9, 0.8, "a", 2.0, 0.9), ("search", "visits", 0.49, 1.0),
        ("tv", "gmv", 0.9, 0.4), ("tv", "visits", 0.7, 0.9),
    )  # fmt: skip
    proposal = propose_graph(declared, edges)
    assert proposal.graph.digraph.edges == declared.digraph.edges
    (edge,) = proposal.graph.waiting
    assert (str(edge), edge.probability, edge.stability, edge.lag, edge.sign) == (
        "tv -> search",
        0.9,
        0.8,
        2.0,
        0.9,
    )
    assert "2 of 4 possible edges" in proposal.notes[0] and "1 of them" in proposal.notes[0]
    assert note_about(proposal, "Declared, and found") == (
        "Declared, and found with: tv -> visits (probability 0.70, stability 0.90, lag 1.0, raises)."
    )
    text = proposal.to_yaml()
    assert text.startswith("# status: proposed.") and "accepted: false" in text
    assert graph_from_yaml(text) == proposal.graph
    by_hand = graph_from_yaml(text.replace("accepted: false", "accepted: true"))
    assert by_hand.digraph.has_edge("tv", "search") and by_hand == accepted_edges(proposal.graph, [edge])
    loose = propose_graph(declared, edges, ProposalRule(0.4, 0.3))
    assert {str(e) for e in loose.graph.waiting} == {"tv -> search", "search -> visits", "tv -> gmv"}
    with pytest.raises(GraphError, match=r"`least_probability` is 1\.5"):
        ProposalRule(least_probability=1.5)


def test_a_cycle_that_lags_allow_is_told_with_what_would_have_to_stay_out():
    edges = found(
        ("tv", "search", 0.9, 0.8), ("search", "tv", 0.6, 0.9, "a", 3.0, -1.0), ("gmv", "tv", 0.95, 1.0)
    )
    proposal = propose_graph(graph_from_yaml(DECLARED), edges)
    assert len(proposal.graph.waiting) == 3  # nothing is dropped
    note = note_about(proposal, "run in a circle")
    assert "tv -> visits (accepted)" in note and "search -> tv (probability 0.60, lag 3.0, lowers)" in note
    assert "have to stay out: gmv -> tv, search -> tv." in note  # tv -> visits -> gmv is declared
    strongest_first = {str(e): e for e in proposal.graph.waiting}
    accepted_edges(proposal.graph, [strongest_first["tv -> search"]])
    for name in ("gmv -> tv", "search -> tv"):
        with pytest.raises(GraphError, match="form a cycle"):
            accepted_edges(proposal.graph, [strongest_first["tv -> search"], strongest_first[name]])
    alone = propose_graph(graph_from_yaml(DECLARED), edges.iloc[:1])
    assert not any("circle" in note for note in alone.notes)


def test_what_a_role_forbids_what_markets_disagree_on_and_unknown_series_are_told():
    edges = found(
        ("tv", "price", 0.8, 0.8), ("radio", "gmv", 1.0, 1.0),
        ("search", "visits", 0.9, 0.8, "a"), ("search", "visits", 0.0, 0.0, "b"),
    )  # fmt: skip
    proposal = propose_graph(graph_from_yaml(DECLARED), edges)
    assert "run in a circle" in note_about(proposal, "price -> tv (accepted)")
    assert "radio" in note_about(proposal, "Not in the graph")
    assert "search -> visits (mean 0.45, largest 0.90)" in note_about(proposal, "in some markets")
    covariate = DECLARED.replace("price -> tv, ", "").replace("edges", "covariates: [weather]\nedges")
    proposal = propose_graph(graph_from_yaml(covariate), edges)
    assert "confounder 'price' is caused by a channel" in note_about(
        proposal, "tv -> price cannot be accepted"
    )


def test_a_posterior_of_shops_can_be_proposed_without_stability():
    nodes = ("tv", "visits", "gmv")
    panel = ShopPanel(
        values=np.zeros((2, 4, 3)), shop_ids=("a", "b"), node_ids=nodes, outcome_id="gmv", context=np.zeros((2, 4, 0)),
        context_ids=(), planned_ids=(), allowed=~np.eye(3, dtype=bool),
    )  # fmt: skip
    probability = np.zeros((2, 3, 3))
    probability[:, 0, 1] = [0.9, 0.7]
    unknown = np.full((2, 3, 3), np.nan)
    frame = GraphPosterior(probability, unknown, unknown, None, "made up").to_frame(panel)
    declared = graph_from_yaml("outcome: gmv\nchannels: [tv]\ncovariates: [visits]\nedges: [tv -> gmv]")
    proposal = propose_graph(declared, frame)
    (edge,) = proposal.graph.waiting
    assert (edge.probability, edge.stability, edge.lag) == (0.8, None, None)
    assert note_about(proposal, "Stability is unknown")
    assert graph_from_yaml(proposal.to_yaml()) == proposal.graph


def test_the_graph_drawn_up_for_a_person_rules_out_no_effect_of_a_channel():
    graph = unrestricted_graph({"tv": "channel", "mail": "channel", "visits": "mediator", "gmv": "outcome"})
    assert {str(edge) for edge in graph.edges} == {
        "tv -> visits", "mail -> visits", "tv -> gmv", "mail -> gmv", "visits -> gmv",
    }  # fmt: skip
    assert not graph.waiting
    total = [one for one in identify_all(graph) if one.estimand == "total_effect"]
    assert len(total) == 2 and all(one.is_identified for one in total)
