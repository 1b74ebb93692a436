"""Identification: textbook graphs with known answers, and adjustment held to exact linear algebra on random graphs."""

from itertools import chain, combinations

import networkx as nx
import numpy as np
import pytest

from models.errors import GraphError, NotIdentifiedError
from models.response.causal_graph import CausalGraph, Edge, Node, graph_from_yaml
from models.response.identification import identify, identify_all, judge_adjustment


def build(edges, hidden=(), absorbed=None, channels=("x",)):
    """A graph from `a -> b, ...` with outcome y; names in `hidden` are not observed."""
    pairs = [tuple(end.strip() for end in edge.split("->")) for edge in edges.split(",")]
    names = sorted({name for pair in pairs for name in pair})
    absorbed = absorbed or {}
    roles = {
        name: "channel" if name in channels else "outcome" if name == "y" else "covariate" for name in names
    }
    nodes = tuple(Node(n, roles[n], n not in hidden, absorbed.get(n)) for n in names)
    return CausalGraph(nodes, tuple(Edge(*pair) for pair in pairs))


def test_observed_confounder_is_adjusted_for():
    found = identify(build("c -> x, c -> y, x -> y"), "x")
    assert (found.method, found.adjustment_set) == ("backdoor", ("c",)) and found.is_identified
    assert found.never_adjust == {} and found.require() is found


def test_hidden_confounder_is_refused_naming_the_path():
    found = identify(build("u -> x, u -> y, x -> y", hidden="u"), "x")
    assert not found.is_identified and found.open_path == "x <- u -> y"
    with pytest.raises(NotIdentifiedError, match=r"x on y is not identified: .* x <- u -> y.*lift test"):
        found.require()


def test_an_observed_proxy_on_the_path_blocks_it_and_a_mere_child_does_not():
    assert identify(build("u -> p, p -> x, u -> y, x -> y", hidden="u"), "x").adjustment_set == ("p",)
    assert not identify(build("u -> p, u -> x, u -> y, x -> y", hidden="u"), "x").is_identified


def test_effects_of_periods_absorb_what_varies_over_periods_alone():
    found = identify(build("s -> x, s -> y, x -> y", hidden="s", absorbed={"s": "period"}), "x")
    assert found.adjustment_set == ("s",)


def test_mediator_is_never_adjusted_for():
    graph = build("x -> m, m -> y, x -> y, m -> d")
    total = identify(graph, "x")
    assert total.adjustment_set == () and set(total.never_adjust) == {"m", "d"}
    assert total.never_adjust["m"].startswith("mediator on x -> m -> y")
    assert "m -> d" in total.never_adjust["d"]
    direct = identify(graph, "x", "direct_effect")
    assert (direct.method, direct.mediators, direct.adjustment_set) == ("backdoor", ("m",), ())
    mediated = identify(graph, "x", "mediated_effect")
    assert (mediated.method, mediated.mediators, mediated.adjustment_set) == ("mediation", ("m",), ())


def test_confounder_of_mediator_and_outcome_is_adjusted_for_or_refused():
    edges = "x -> m, m -> y, x -> y, c -> m, c -> y"
    assert identify(build(edges), "x").adjustment_set == ()
    for estimand in ("direct_effect", "mediated_effect"):
        assert identify(build(edges), "x", estimand).adjustment_set == ("c",)
        refused = identify(build(edges, hidden="c"), "x", estimand)
        assert not refused.is_identified and "m <- c -> y" in refused.open_path
    assert identify(build(edges, hidden="c"), "x").is_identified


def test_an_effect_of_the_channel_that_confounds_the_mediator_leaves_only_the_direct_effect():
    graph = build("x -> m, m -> y, x -> y, x -> l, l -> m, l -> y")
    assert not identify(graph, "x", "mediated_effect", ["m"]).is_identified
    assert identify(graph, "x", "direct_effect").mediators == ("l", "m")
    left_out = identify(graph, "x", "direct_effect", ["m"])
    assert left_out.open_path == "x -> l -> y"


def test_m_bias_adjusting_for_the_collider_opens_a_path():
    graph = build("u -> x, u -> c, w -> c, w -> y, x -> y", hidden="uw")
    found = identify(graph, "x")
    assert found.adjustment_set == ()
    assert found.never_adjust["c"] == "collider: adjusting for it opens x <- u -> c <- w -> y"
    verdict = judge_adjustment(graph, "x", ["c"])
    assert not verdict.is_valid and verdict.open_path == "x <- u -> c <- w -> y"
    assert judge_adjustment(graph, "x", []).is_valid


def test_a_collider_that_is_also_a_confounder_needs_help():
    """The butterfly: c must be adjusted for and opens a path, which u or w closes."""
    edges = "u -> x, u -> c, w -> c, w -> y, c -> x, c -> y, x -> y"
    assert len(identify(build(edges), "x").adjustment_set) == 2
    assert not identify(build(edges, hidden="uw"), "x").is_identified


def test_front_door():
    edges = "u -> x, u -> y, x -> m, m -> y"
    found = identify(build(edges, hidden="u"), "x")
    assert (found.method, found.mediators, found.adjustment_set) == ("front_door", ("m",), ())
    with_covariate = identify(build(edges + ", c -> m, c -> y", hidden="u"), "x")
    assert (with_covariate.method, with_covariate.adjustment_set) == ("front_door", ("c",))
    two = identify(build("u -> x, u -> y, x -> m, m -> y, x -> n, n -> y", hidden="u"), "x")
    assert two.mediators == ("m", "n")
    for broken in (", x -> y", ", u -> m"):
        assert not identify(build(edges + broken, hidden="u"), "x").is_identified


def test_instrument_is_named_and_does_not_identify():
    found = identify(build("z -> x, u -> x, u -> y, x -> y", hidden="u"), "x")
    assert not found.is_identified and found.instruments == ("z",) and "instrument" in found.reason
    leaky = identify(build("z -> x, u -> x, u -> y, x -> y, z -> y", hidden="u"), "x")
    assert leaky.instruments == ()


def test_conditioning_on_an_instrument_is_no_bias_without_confounding():
    assert identify(build("z -> x, x -> y"), "x").never_adjust == {}


def test_funnel_one_channel_drives_another():
    graph = graph_from_yaml(
        "outcome: gmv\nchannels: [tv, search]\nconfounders: [price]\n"
        "edges: [tv -> search, tv -> gmv, search -> gmv, price -> tv, price -> gmv]"
    )
    upstream, downstream = identify(graph, "tv"), identify(graph, "search")
    assert upstream.adjustment_set == ("price",) and set(upstream.never_adjust) == {"search"}
    assert downstream.adjustment_set == ("tv",)  # price reaches search through tv alone
    assert identify(graph, "tv", "mediated_effect").mediators == ("search",)
    assert identify(graph, "search", "mediated_effect").method == "no_path"
    equation = judge_adjustment(graph, "tv", ["search", "price"])
    assert not equation.is_valid and set(equation.forbidden) == {"search"}
    assert len(identify_all(graph)) == 6


def test_one_of_two_parallel_mediators_may_be_asked_for_alone():
    graph = build("x -> m, m -> y, x -> n, n -> y, x -> y")
    assert identify(graph, "x", "mediated_effect", ["m"]).method == "mediation"
    assert identify(graph, "x", "direct_effect", ["m"]).open_path == "x -> n -> y"


def test_no_direct_path_is_zero_by_assumption_and_a_hidden_mediator_is_refused():
    assert identify(build("x -> m, m -> y"), "x", "direct_effect").method == "no_path"
    refused = identify(build("x -> m, m -> y, x -> y", hidden="m"), "x", "direct_effect")
    assert refused.open_path == "x -> m -> y"
    assert not identify(build("x -> m, m -> y, x -> y", hidden="m"), "x", "mediated_effect").is_identified


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("z",), "'z' is no channel"),
        (("x", "ite"), "estimand is 'ite'"),
        (("x", "total_effect", ["m"]), "leave them out"),
        (("x", "direct_effect", ["c"]), "c cannot mediate 'x'.*Observed there: m"),
    ],
)
def test_refuses_queries_that_are_none(arguments, says):
    with pytest.raises(GraphError, match=says):
        identify(build("x -> m, m -> y, c -> x, c -> y"), *arguments)
    with pytest.raises(GraphError, match="u cannot be adjusted for"):
        judge_adjustment(build("u -> x, u -> y, x -> y", hidden="u"), "x", ["u"])


# ------------------------------------------------------------------- exact second opinion
def linear_world(graph, rng):
    """Coefficients of a linear Gaussian world on the graph; its covariance and its total effects."""
    order = list(nx.topological_sort(graph))
    place = {name: i for i, name in enumerate(order)}
    weights = np.zeros((len(order), len(order)))
    for source, target in graph.edges:
        weights[place[target], place[source]] = rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
    totals = np.linalg.inv(np.eye(len(order)) - weights)
    return place, totals @ np.diag(rng.uniform(0.5, 2.0, len(order))) @ totals.T, totals


def adjusted_slope(covariance, place, treatment, covariates):
    columns = [place[treatment], *(place[name] for name in covariates)]
    return np.linalg.solve(covariance[np.ix_(columns, columns)], covariance[columns, place["y"]])[0]


def test_adjustment_agrees_with_exact_regressions_in_linear_worlds():
    """A set is called valid exactly if the regression on it has the total effect, in two worlds."""
    answers = [compare_with_regressions(seed) for seed in range(12)]
    assert {"refused", "nothing", "adjusted"} == set(answers)


def compare_with_regressions(seed):
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c", "x", "d", "e", "y"] if seed % 2 else ["a", "x", "b", "c", "d", "y", "e"]
    edges = [(s, t) for s, t in combinations(names, 2) if rng.random() < 0.45]
    edges = sorted({*edges, ("x", "y")})
    hidden = [name for name in "abcde" if rng.random() < 0.3]
    graph = build(", ".join(f"{s} -> {t}" for s, t in edges), hidden=hidden)
    place, covariance, totals = linear_world(graph.digraph, rng)
    others = sorted(graph.observed - {"x"})
    subsets = list(chain.from_iterable(combinations(others, size) for size in range(len(others) + 1)))
    second = linear_world(graph.digraph, np.random.default_rng(seed + 1000))
    is_exact = {
        s: all(
            abs(adjusted_slope(cov, at, "x", s) - effects[at["y"], at["x"]]) < 1e-9
            for at, cov, effects in ((place, covariance, totals), second)
        )
        for s in subsets
    }
    assert is_exact == {s: judge_adjustment(graph, "x", s).is_valid for s in subsets}
    found = identify(graph, "x")
    assert (found.method == "backdoor") == any(is_exact.values())
    if found.method != "backdoor":
        return "refused"
    assert is_exact[found.adjustment_set]
    return "adjusted" if found.adjustment_set else "nothing"


def joint_slopes(covariance, place, outcome, regressors):
    columns = [place[name] for name in regressors]
    return np.linalg.solve(covariance[np.ix_(columns, columns)], covariance[columns, place[outcome]])


def through(covariance, place, mediators, adjustment):
    """Front-door and mediation formula of a linear world: channel to mediators, times mediators to outcome."""
    first = [joint_slopes(covariance, place, m, ["x", *adjustment])[0] for m in mediators]
    second = joint_slopes(covariance, place, "y", [*mediators, "x", *adjustment])[: len(mediators)]
    return float(np.dot(first, second))


def held_effect(place, totals, mediators):
    """Effect of x on y with the mediators held: nothing arrives at them."""
    weights = np.eye(len(totals)) - np.linalg.inv(totals)
    weights[[place[m] for m in mediators]] = 0
    return np.linalg.inv(np.eye(len(totals)) - weights)[place["y"], place["x"]]


def test_front_door_direct_and_mediated_effects_agree_with_exact_regressions_in_linear_worlds():
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        names = ["a", "b", "x", "m", "n", "y"]
        edges = [(s, t) for s, t in combinations(names, 2) if rng.random() < 0.5]
        edges = sorted({*edges, ("x", "m"), ("m", "y")} - ({("x", "y")} if seed % 2 else set()))
        hidden = [name for name in "ab" if rng.random() < 0.5]
        graph = build(", ".join(f"{s} -> {t}" for s, t in edges), hidden=hidden)
        place, covariance, totals = linear_world(graph.digraph, rng)
        total = totals[place["y"], place["x"]]
        for estimand in ("total_effect", "direct_effect", "mediated_effect"):
            found = identify(graph, "x", estimand)
            held = held_effect(place, totals, found.mediators)
            if found.method == "front_door":
                answer, truth = through(covariance, place, found.mediators, found.adjustment_set), total
            elif found.method == "mediation":
                answer, truth = (
                    through(covariance, place, found.mediators, found.adjustment_set),
                    total - held,
                )
            elif estimand == "direct_effect" and found.method == "backdoor":
                answer, truth = (
                    adjusted_slope(covariance, place, "x", [*found.mediators, *found.adjustment_set]),
                    held,
                )
            else:
                continue
            seen.add(found.method)
            assert answer == pytest.approx(truth, abs=1e-8), (seed, edges, hidden, found)
    assert seen == {"front_door", "mediation", "backdoor"}
