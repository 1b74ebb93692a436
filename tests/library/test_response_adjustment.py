"""What one regression on all channels identifies: held to regressions in linear worlds of the same graphs."""

import numpy as np
import pytest

from models.errors import GraphError
from models.response.adjustment import NO_GRAPH, choose_adjustment
from models.response.causal_graph import graph_from_yaml
from models.response.config import ResponseConfig
from models.response.market_panel import MarketPanel
from models.response.priors import ChannelPriors
from models.response.reduced_models import reduced_models

PERIODS = 60_000
START = np.datetime64("1900-01-01")


def panel(
    columns: dict[str, np.ndarray], channels: tuple[str, ...], controls: tuple[str, ...]
) -> MarketPanel:
    """One market whose series are the columns: gmv, channels (shifted above 0), controls."""
    count = len(columns["gmv"])
    shape = (1, count, len(channels))
    media = np.stack([columns[c] - columns[c].min() for c in channels], axis=-1).reshape(shape)
    unknown = np.full(shape, np.nan)
    return MarketPanel(
        market_ids=np.array(["all"], dtype=object),
        channel_ids=np.array(channels, dtype=object),
        period_starts=START + np.arange(count),
        kpi=columns["gmv"][None],
        intensity=media,
        spend=unknown,
        exposures=unknown.copy(),
        reach=unknown.copy(),
        frequency=unknown.copy(),
        controls=np.stack([columns[c] for c in controls], axis=-1)[None]
        if controls
        else np.empty((1, count, 0)),
        control_names=controls,
        controls_incomplete=(),
        mediators=np.empty((1, count, 0)),
        mediator_names=(),
        mediators_incomplete=(),
        population=np.array([np.nan]),
        currency_code="EUR",
        period="day",
    )


def linear_world(edges: dict[str, dict[str, float]], seed: int = 0) -> dict[str, np.ndarray]:
    """Every node its causes' weighted sum and noise of sd 1; nodes in order of the mapping."""
    rng = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    for node, causes in edges.items():
        values[node] = sum((w * values[c] for c, w in causes.items()), rng.standard_normal(PERIODS))
    return values


def regression(values: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, float]:
    """Coefficients of gmv on these, by least squares: what a joint model of them finds."""
    design = np.column_stack([*(values[n] for n in names), np.ones(PERIODS)])
    return dict(zip(names, np.linalg.lstsq(design, values["gmv"], rcond=None)[0], strict=False))


FUNNEL = """
outcome: gmv
channels: [tv, search]
confounders: [price]
edges: [price -> tv, price -> gmv, tv -> search, tv -> gmv, search -> gmv]
"""
FUNNEL_WORLD = {
    "price": {},
    "tv": {"price": 0.8},
    "search": {"tv": 0.7},
    "gmv": {"price": -1.0, "tv": 0.5, "search": 1.0},
}


def test_a_funnel_gives_the_upstream_channels_direct_effect_and_says_so():
    values = linear_world(FUNNEL_WORLD)
    found = choose_adjustment(
        graph_from_yaml(FUNNEL), panel(values, ("search", "tv"), ("price",)), has_period_effects=False
    )
    assert found.controls == ("price",)
    tv, search = found.channels["tv"], found.channels["search"]
    assert tv.is_identified and search.is_identified
    assert tv.through == ("search",) and search.through == ()
    assert search.total_reason is None
    assert "goes through search" in tv.total_reason
    joint = regression(values, ("tv", "search", *found.controls))
    assert joint["tv"] == pytest.approx(0.5, abs=0.03)  # direct; the total is 1.2
    assert joint["search"] == pytest.approx(1.0, abs=0.03)
    assert regression(values, ("tv", "search"))["tv"] < 0.2  # the control is what does it


def test_a_confounder_that_is_not_recorded_leaves_its_path_open():
    values = linear_world(FUNNEL_WORLD)
    found = choose_adjustment(graph_from_yaml(FUNNEL), panel(values, ("search", "tv"), ()), False)
    assert found.controls == ()
    assert not found.channels["tv"].is_identified
    assert "tv <- price -> gmv" in found.channels["tv"].reason
    assert "no complete series of that name" in found.channels["tv"].reason
    # search's own backdoor is blocked by tv, which the joint model holds
    assert found.channels["search"].is_identified
    assert regression(values, ("tv", "search"))["search"] == pytest.approx(1.0, abs=0.03)


def test_a_mediator_among_the_covariates_is_never_a_control():
    graph = graph_from_yaml(
        "outcome: gmv\nchannels: [tv]\nmediators: [visits]\nedges: [tv -> visits, visits -> gmv, tv -> gmv]"
    )
    values = linear_world({"tv": {}, "visits": {"tv": 1.0}, "gmv": {"visits": 0.6, "tv": 0.2}})
    found = choose_adjustment(graph, panel(values, ("tv",), ("visits",)), False)
    assert found.controls == () and found.channels["tv"].total_reason is None
    assert regression(values, ("tv",))["tv"] == pytest.approx(0.8, abs=0.03)
    assert regression(values, ("tv", "visits"))["tv"] == pytest.approx(
        0.2, abs=0.03
    )  # what adjusting would do


def test_a_collider_is_left_alone_and_a_cause_of_the_outcome_taken_for_precision():
    graph = graph_from_yaml(
        "outcome: gmv\nchannels: [tv]\ncovariates: [awards, weather]\n"
        "edges: [tv -> gmv, weather -> gmv, tv -> awards, gmv -> awards]"
    )
    values = linear_world(
        {"tv": {}, "weather": {}, "gmv": {"tv": 0.5, "weather": 2.0}, "awards": {"tv": 1.0, "gmv": 1.0}}
    )
    found = choose_adjustment(graph, panel(values, ("tv",), ("awards", "weather")), False)
    assert found.controls == ("weather",)
    assert regression(values, ("tv", *found.controls))["tv"] == pytest.approx(0.5, abs=0.02)
    assert abs(regression(values, ("tv", "awards"))["tv"] - 0.5) > 0.3


def test_what_effects_of_periods_absorb_needs_a_model_that_has_them():
    graph = graph_from_yaml(
        "outcome: gmv\nchannels: [tv]\nconfounders: [{name: demand, observed: false, absorbed_by: period}]\n"
        "edges: [demand -> tv, demand -> gmv, tv -> gmv]"
    )
    values = linear_world({"tv": {}, "gmv": {"tv": 1.0}})
    one = panel(values, ("tv",), ())
    assert choose_adjustment(graph, one, has_period_effects=True).channels["tv"].is_identified
    refused = choose_adjustment(graph, one, has_period_effects=False).channels["tv"]
    assert "the model has no effects of periods" in refused.reason


def test_without_a_graph_every_covariate_is_held_and_nothing_is_identified():
    values = linear_world(FUNNEL_WORLD)
    found = choose_adjustment(None, panel(values, ("search", "tv"), ("price",)), True)
    assert found.controls == ("price",) and not found.has_graph
    assert {one.reason for one in found.channels.values()} == {NO_GRAPH}


def test_a_channel_the_graph_does_not_know_is_not_identified_and_a_strange_outcome_refused():
    values = linear_world(FUNNEL_WORLD) | {"radio": np.arange(PERIODS, dtype=float)}
    found = choose_adjustment(
        graph_from_yaml(FUNNEL), panel(values, ("radio", "search", "tv"), ("price",)), False
    )
    assert "has no channel 'radio'" in found.channels["radio"].reason
    assert found.channels["tv"].is_identified
    strange = graph_from_yaml("outcome: orders\nchannels: [tv]\nedges: [tv -> orders]")
    with pytest.raises(GraphError, match="outcome is 'orders' and the data's is 'gmv'"):
        choose_adjustment(strange, panel(values, ("tv",), ()), False)


def test_the_model_without_what_a_channel_drives_gives_its_total_effect():
    values = linear_world(FUNNEL_WORLD)
    graph = graph_from_yaml(FUNNEL)
    whole = panel(values, ("search", "tv"), ("price",))
    (model,) = reduced_models(graph, whole, has_period_effects=False)
    assert (model.without, model.channel_ids, model.controls) == (("search",), ("tv",), ("price",))
    assert regression(values, ("tv", *model.controls))["tv"] == pytest.approx(0.5 + 0.7, abs=0.03)
    less = model.panel(whole)
    assert list(less.channel_ids) == ["tv"]
    np.testing.assert_array_equal(less.intensity[..., 0], whole.intensity[..., 1])
    config = ResponseConfig(priors={"search": ChannelPriors(), "tv": ChannelPriors()}, controls=())
    assert (set(model.config(config).priors), model.config(config).controls) == ({"tv"}, ("price",))
    assert reduced_models(graph, panel(values, ("search", "tv"), ()), False) == ()  # tv's backdoor is open
    assert reduced_models(None, whole, False) == ()
