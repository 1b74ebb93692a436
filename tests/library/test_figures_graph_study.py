"""Pictures of the graph study show what is in their tables: read back from the axes before they become bytes."""

import numpy as np
import pandas as pd
import pytest

from models.figures import funnel_graph, graph_study
from models.figures.drawing import GREY, RED


@pytest.fixture
def axes_of(monkeypatch):
    """Call a function of the module and get the figure's axes; the bytes are those of a PNG."""

    def call(module, function, *arguments):
        assert function(*arguments).startswith(b"\x89PNG")
        with monkeypatch.context() as patch:
            patch.setattr(module, "to_png", lambda figure: figure)
            return function(*arguments).axes

    return call


def test_auroc_by_shops_has_a_line_with_bars_for_each_method(axes_of):
    rows = pd.DataFrame({
        "method": ["a", "a", "b", "b"], "shops_count": [100, 10, 10, 100], "mean": [0.9, 0.7, 0.6, 0.65],
        "sd": [0.01, 0.03, np.nan, 0.02],
    })  # fmt: skip
    (axis,) = axes_of(graph_study, graph_study.auroc_by_shops, rows)
    first, second = axis.containers
    assert first.get_label() == "a" and second.get_label() == "b"
    np.testing.assert_array_equal(first[0].get_xydata(), [[10, 0.7], [100, 0.9]])
    (bars,) = first[2]
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], [[0.67, 0.73], [0.89, 0.91]])
    assert [text.get_text() for text in axis.get_xticklabels()] == ["10", "100"]


def test_reliability_is_drawn_against_the_diagonal_with_rare_bins_hollow(axes_of):
    bins = pd.DataFrame(
        {"method": "a", "stated": [0.1, 0.9], "observed": [0.2, 0.8], "pairs_count": [500, 29]}
    )
    (axis,) = axes_of(graph_study, graph_study.reliability_curve, bins)
    diagonal, line, many, few = axis.lines
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    np.testing.assert_array_equal(line.get_xydata(), [[0.1, 0.2], [0.9, 0.8]])
    np.testing.assert_array_equal(many.get_xydata(), [[0.1, 0.2]])
    np.testing.assert_array_equal(few.get_xydata(), [[0.9, 0.8]])
    assert few.get_markerfacecolor() == "white"


def test_settings_have_a_panel_each(axes_of):
    rows = pd.DataFrame({
        "method": "a", "parameter": ["lambda", "lambda", "tau"], "value": [1.0, 0.1, 0.5], "mean": [0.9, 0.8, 0.7],
        "sd": 0.0,
    })  # fmt: skip
    first, second = axes_of(graph_study, graph_study.auroc_by_setting, rows)
    assert (first.get_title(), second.get_title()) == ("lambda", "tau")
    np.testing.assert_array_equal(first.containers[0][0].get_xydata(), [[0.1, 0.8], [1.0, 0.9]])
    assert first.get_xscale() == "log"


def test_training_curves_have_losses_left_and_auroc_right(axes_of):
    rows = pd.DataFrame({
        "method": "a", "epoch": [2, 1, 3], "loss": [1.0, 2.0, 0.5], "holdout": [1.2, np.nan, 0.9],
        "auroc": [np.nan, 0.5, 0.8],
    })  # fmt: skip
    left, right = axes_of(graph_study, graph_study.training_curves, rows)
    loss, held = left.lines
    np.testing.assert_array_equal(loss.get_xydata(), [[1, 2.0], [2, 1.0], [3, 0.5]])
    np.testing.assert_array_equal(held.get_xydata(), [[2, 1.2], [3, 0.9]])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[1, 0.5], [3, 0.8]])
    assert [t.get_text() for t in left.get_legend().get_texts()] == [
        "training loss", "held-out loss", "AUROC (right)",
    ]  # fmt: skip


def test_seconds_are_labelled_with_the_power_of_the_size(axes_of):
    rows = pd.DataFrame({
        "method": ["a", "a", "a", "b"], "parameter": ["shops", "shops", "periods", "shops"], "size": [10, 40, 60, 10],
        "seconds": [1.0, 8.0, 2.0, 3.0],
    })  # fmt: skip
    shops, periods = axes_of(graph_study, graph_study.seconds_by_size, rows)
    labels = [line.get_label() for line in shops.lines[:2]]
    assert labels == [
        "a (power 1.50)",
        "b",
    ]  # 8 times the seconds for 4 times the size; one point has no power
    np.testing.assert_array_equal(shops.lines[-1].get_xydata(), [[10, 1.0], [40, 4.0]])  # proportional
    assert periods.get_xlabel() == "periods" and shops.get_yscale() == "log"


def test_a_shops_graph_shows_the_funnels_edges_in_colour(axes_of):
    columns = (("tv", "radio"), ("pv",), ("search",), ("gmv",))
    edges = pd.DataFrame(
        [("tv", "pv", 0.9), ("pv", "search", 0.5), ("pv", "gmv", 1.0), ("radio", "tv", 0.2)],
        columns=["source_id", "target_id", "weight"],
    )
    graphs = {"truth": edges, "found": edges.iloc[:1]}
    first, second = axes_of(funnel_graph, funnel_graph.funnel_graph_figure, graphs, columns, "pv")
    assert (first.get_title(), second.get_title()) == ("truth: 4 edges", "found: 1 edges")
    arrows = [text.arrow_patch for text in first.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 4
    assert {text.get_text() for text in first.texts} >= {"tv", "radio", "pv", "search", "gmv"}
    colors = [
        funnel_graph.edge_color(row.source_id, row.target_id, columns, "pv") for row in edges.itertuples()
    ]
    assert colors == [RED, funnel_graph.ORANGE, GREY, GREY]
