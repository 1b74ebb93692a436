"""Market marts as series of shops: what is a node, what is left out and why; and how stable edges are."""

import numpy as np
import pandas as pd
import pytest

from models.causalmmm.classical import fit_classical
from models.causalmmm.classical_config import ClassicalConfig
from models.causalmmm.classical_storage import load_classical, save_classical
from models.causalmmm.market_series import MarketSeries, market_series, panel_of_wide_rows
from models.causalmmm.stability import selection_frequency
from models.errors import NotFittedError, PanelError
from models.figures.causal_graph import PROBABILITY_SHOWN, group_edges, node_places
from models.shops.graph_posterior import GraphPosterior
from models.shops.panel import ShopPanel, every_edge_but_from

WEEKS = pd.date_range("2024-01-01", periods=5, freq="W-MON")


def frames(rng_seed: int = 1) -> dict[str, pd.DataFrame]:
    """Two markets, channels tv and silent (never anything), mediator visits, covariate rain (unknown once in b)."""
    rng = np.random.default_rng(rng_seed)
    grid = pd.MultiIndex.from_product([["a", "b"], WEEKS], names=["market_id", "period_start_date"]).to_frame(
        index=False
    )

    def column(name: str, of: str, values: str, numbers: np.ndarray) -> pd.DataFrame:
        return grid.assign(**{of: name, values: numbers})

    tv = column("tv", "channel_id", "intensity", rng.random(10))
    silent = column("silent", "channel_id", "intensity", np.zeros(10))
    rain = column("rain", "covariate_name", "covariate_value", rng.random(10))
    rain.loc[7, "covariate_value"] = np.nan
    sun = column("sun", "covariate_name", "covariate_value", rng.random(10))
    return {
        "market_periods": grid.assign(gmv_net_amount=np.arange(10.0)),
        "market_channel_periods": pd.concat([tv, silent]),
        "mediator_periods": column("visits", "mediator_name", "mediator_value", rng.random(10)),
        "market_covariate_periods": pd.concat([rain, sun]),
    }


def reasons(found: MarketSeries) -> dict[tuple[str, str], str]:
    return {
        (row.kind, row.name_): row.reason
        for row in found.left_out.rename(columns={"name": "name_"}).itertuples()
    }


def test_channels_mediators_and_gmv_are_nodes_in_their_place():
    given = frames()
    found = market_series(**given)
    panel = found.panel
    assert panel.node_ids == ("tv", "visits", "gmv") and panel.shop_ids == ("a", "b")
    assert found.node_kinds == {"tv": "channel", "visits": "mediator", "gmv": "outcome"}
    assert panel.planned_ids == ("tv",)
    np.testing.assert_array_equal(panel.values[1, :, 2], [5.0, 6.0, 7.0, 8.0, 9.0])
    tv = given["market_channel_periods"].query("channel_id == 'tv' and market_id == 'b'")["intensity"]
    np.testing.assert_array_equal(panel.values[1, :, 0], tv)
    assert not panel.allowed[2].any() and panel.allowed[0, 2] and panel.allowed[1, 0]
    assert panel.context_ids == ("sun",)
    assert reasons(found) == {
        ("node", "silent"): "it never changes in any market",
        ("context", "rain"): "it has gaps in markets of the panel",
    }


def test_the_order_of_rows_does_not_matter():
    given = frames()
    shuffled = {name: frame.sample(frac=1.0, random_state=3) for name, frame in given.items()}
    np.testing.assert_array_equal(market_series(**shuffled).panel.values, market_series(**given).panel.values)


def test_a_market_with_a_hole_is_left_out_by_name():
    given = frames()
    given["mediator_periods"] = given["mediator_periods"].drop(index=[6, 8])
    found = market_series(**given)
    assert found.panel.shop_ids == ("a",)
    assert reasons(found)["market", "b"] == "visits is known in 3 of 5 periods"
    assert found.panel.context_ids == ("rain", "sun")  # the hole of rain was in b


def test_no_mediators_and_no_covariates_are_no_obstacle():
    given = frames()
    for name in ("mediator_periods", "market_covariate_periods"):
        given[name] = given[name].iloc[:0]
    found = market_series(**given)
    assert found.panel.node_ids == ("tv", "gmv") and found.panel.context.shape == (2, 5, 0)
    nothing = pd.DataFrame(columns=["market_id", "covariate_name", "period_start_date", "covariate_value"])
    bare = market_series(**given | {"market_covariate_periods": nothing})
    np.testing.assert_array_equal(bare.panel.values, found.panel.values)


def test_what_holds_no_graph_is_refused():
    given = frames()
    short = {name: frame[frame["period_start_date"] < WEEKS[2]] for name, frame in given.items()}
    with pytest.raises(PanelError, match="2 periods"):
        market_series(**short)
    holes = given | {"mediator_periods": given["mediator_periods"].iloc[[1, 6]]}
    with pytest.raises(PanelError, match="none of 2 markets"):
        market_series(**holes)
    named_alike = given | {"mediator_periods": given["mediator_periods"].assign(mediator_name="tv")}
    with pytest.raises(PanelError, match=r"\['tv'\]"):
        market_series(**named_alike)
    still = given | {
        "market_channel_periods": given["market_channel_periods"].query("channel_id == 'silent'"),
        "mediator_periods": given["mediator_periods"].iloc[:0],
    }
    with pytest.raises(PanelError, match="one channel or mediator"):
        market_series(**still)


def test_an_edge_is_as_stable_as_the_halves_that_find_it():
    """Shop k's edge 0 -> 1 is found in every refit that has shop 0 in it, and otherwise never."""
    nodes = ("x", "gmv")
    panel = ShopPanel(
        values=np.random.default_rng(0).random((6, 4, 2)), shop_ids=tuple("abcdef"), node_ids=nodes, outcome_id="gmv",
        context=np.zeros((6, 4, 0)), context_ids=(), planned_ids=(), allowed=every_edge_but_from(nodes, "gmv"),
    )  # fmt: skip
    numbers = []

    def fit(part: ShopPanel, number: int) -> GraphPosterior:
        numbers.append(number)
        probability = np.zeros((part.shops_count, 2, 2))
        probability[:, 0, 1] = 0.5 if "a" in part.shop_ids else 0.49
        nothing = np.full_like(probability, np.nan)
        return GraphPosterior(probability, nothing, nothing, None, "made up")

    found = selection_frequency(panel, fit, 40, np.random.default_rng(5))
    assert numbers == list(range(80))
    assert found[0, 0, 1] == 1.0
    others = found[1:, 0, 1]  # the chance of being in the half of shop 0 is 2 in 5
    assert ((others > 0) & (others < 1)).all() and others.mean() == pytest.approx(0.4)
    assert found[:, 1, 0].max() == 0.0
    with pytest.raises(ValueError, match="4 shops"):
        selection_frequency(panel.shops([0, 1, 2]), fit, 1, np.random.default_rng(5))


def test_the_picture_shows_means_over_a_groups_markets_and_no_weak_edge():
    edges = pd.DataFrame({
        "source_id": ["tv", "tv", "tv", "tv"], "target_id": ["gmv", "gmv", "visits", "visits"],
        "edge_probability": [1.0, 0.5, PROBABILITY_SHOWN, 0.0], "lag": [1.0, 4.0, 1.0, np.nan],
        "sign": [1.0, -1.0, 1.0, np.nan],
    })  # fmt: skip
    (row,) = group_edges(edges).to_dict("records")
    assert row["target_id"] == "gmv" and row["edge_probability"] == 0.75
    assert row["lag"] == pytest.approx(2.0) and row["sign"] == pytest.approx(1 / 3)
    places = node_places({"tv": "channel", "visits": "mediator", "gmv": "outcome"})
    assert [places[name][0] for name in ("tv", "visits", "gmv")] == [0.0, 1.0, 2.0]


def test_rows_of_new_markets_are_a_panel_to_be_scored():
    allowed = every_edge_but_from(("tv", "gmv"), "gmv")
    rows = pd.DataFrame({
        "market_id": ["b", "a", "b", "a", "b", "a"], "tv": [1.0, 2, 3, 4, 5, 6], "gmv": [6.0, 5, 4, 3, 2, 1],
        "rain": [0.0, 1, 0, 1, 0, 1],
    })  # fmt: skip
    panel = panel_of_wide_rows(rows, ("tv", "gmv"), allowed, ("rain", "sun"))
    assert panel.shop_ids == ("a", "b")
    np.testing.assert_array_equal(panel.values[1], [[1, 6], [3, 4], [5, 2]])
    np.testing.assert_array_equal(panel.context[0], [[1, 0]] * 3)
    with pytest.raises(PanelError, match=r"lack \['tv'\]"):
        panel_of_wide_rows(rows.drop(columns="tv"), ("tv", "gmv"), allowed)
    with pytest.raises(PanelError, match="2 to 3 rows"):
        panel_of_wide_rows(rows.iloc[1:], ("tv", "gmv"), allowed)


def test_a_saved_fit_scores_new_shops_as_the_fit_itself_does(tmp_path):
    rng = np.random.default_rng(2)
    nodes = ("x", "z", "gmv")
    values = rng.standard_normal((8, 60, 3))
    values[:, 1:, 2] += 2 * values[:, :-1, 0]  # x precedes gmv
    panel = ShopPanel(
        values=values, shop_ids=tuple("abcdefgh"), node_ids=nodes, outcome_id="gmv", context=np.zeros((8, 60, 0)),
        context_ids=(), planned_ids=(), allowed=every_edge_but_from(nodes, "gmv"),
    )  # fmt: skip
    fit = fit_classical(panel.shops(range(5)), ClassicalConfig(lags_count=2))
    assert (fit.posterior.edge_probability[:, 0, 2] > 0.9).all()
    save_classical(fit, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded, new = load_classical(tmp_path), panel.shops([5, 6, 7])
    again, before = loaded.score(new), fit.score(new)
    np.testing.assert_array_equal(again.edge_probability, before.edge_probability)
    np.testing.assert_array_equal(again.structure_probability, before.structure_probability)
    assert (again.edge_probability[:, 0, 2] > 0.9).all()
    assert loaded.config == fit.config
    assert loaded.posterior.diagnostics == pytest.approx(fit.posterior.diagnostics, nan_ok=True)
    (tmp_path / "classical.json").unlink()
    with pytest.raises(NotFittedError, match=r"lacks classical\.json"):
        load_classical(tmp_path)
