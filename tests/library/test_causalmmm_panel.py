import numpy as np
import pytest

from models.errors import PanelError
from models.shops.graph_posterior import FRAME_COLUMNS, GraphPosterior
from models.shops.panel import ShopPanel, every_edge_but_from

NODES = ("search", "gmv", "views")


def make_panel(**changes) -> ShopPanel:
    given = {
        "values": np.arange(24.0).reshape(2, 4, 3),
        "shop_ids": ("a", "b"),
        "node_ids": NODES,
        "outcome_id": "gmv",
        "context": np.arange(8.0).reshape(2, 4, 1),
        "context_ids": ("economy",),
        "planned_ids": ("search",),
        "allowed": every_edge_but_from(NODES, "gmv"),
    }
    return ShopPanel(**(given | changes))


def test_parts_of_a_panel_keep_names_beside_their_values():
    panel = make_panel()
    part = panel.shops([1]).periods(1, None)
    assert part.shop_ids == ("b",)
    np.testing.assert_array_equal(part.values, panel.values[1:, 1:])
    np.testing.assert_array_equal(part.context, panel.context[1:, 1:])
    assert panel.shops(np.array([False, True])).shop_ids == ("b",)
    assert panel.outcome_index == 1
    np.testing.assert_array_equal(panel.planned, [True, False, False])
    assert panel.allowed.tolist() == [[False, True, True], [False] * 3, [True, True, False]]


def test_a_panel_cannot_be_changed_from_outside():
    values = np.zeros((2, 4, 3))
    panel = make_panel(values=values)
    values[:] = 1
    assert not panel.values.any()
    with pytest.raises(ValueError, match="read-only"):
        panel.values[0] = 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": np.zeros((2, 4, 2))}, "2 shops and 3 nodes are named"),
        ({"values": np.full((2, 4, 3), np.nan)}, "first: shop 'a', period 0, node 'search'"),
        (
            {"values": np.zeros((2, 2, 3)), "context": np.zeros((2, 2, 1))},
            "3 periods and two nodes at the least",
        ),
        ({"context": np.zeros((2, 4, 2))}, "`context` has shape"),
        ({"context": np.full((2, 4, 1), np.inf)}, "Context 'economy' of shop 'a'"),
        ({"outcome_id": "sales"}, "none of the nodes"),
        ({"planned_ids": ("gmv",)}, "told what it is to forecast"),
        ({"shop_ids": ("a", "a")}, "more than once"),
        ({"allowed": np.ones((3, 3), dtype=bool)}, "Set the diagonal to False"),
        ({"allowed": np.zeros((3, 3))}, "is float64 of shape"),
    ],
)
def test_what_a_panel_refuses(changes, said):
    with pytest.raises(PanelError, match=said):
        make_panel(**changes)


def test_frame_has_a_row_per_shop_and_allowed_edge_source_first():
    panel = make_panel()
    probability = np.zeros((2, 3, 3))
    probability[1, 0, 1] = 0.75  # shop b, search -> gmv
    unknown = np.full((2, 3, 3), np.nan)
    frame = GraphPosterior(probability, unknown, unknown, None, "by_hand").to_frame(panel)
    assert tuple(frame.columns) == FRAME_COLUMNS and len(frame) == 2 * 4
    row = frame.loc[frame["edge_probability"] == 0.75].iloc[0]
    assert (row["shop_id"], row["source_id"], row["target_id"], row["method"]) == (
        "b",
        "search",
        "gmv",
        "by_hand",
    )


def test_what_a_posterior_refuses():
    fine = np.zeros((2, 3, 3))
    with pytest.raises(ValueError, match=r"leaves \[0, 1\]"):
        GraphPosterior(fine + 2, fine, fine, None, "by_hand")
    with pytest.raises(ValueError, match="`lag` has shape"):
        GraphPosterior(fine, fine[:1], fine, None, "by_hand")
    with pytest.raises(ValueError, match="sum to one"):
        GraphPosterior(fine, fine, fine, np.ones((2, 2)), "by_hand")
    with pytest.raises(ValueError, match="panel that was scored"):
        GraphPosterior(fine, fine, fine, None, "by_hand").to_frame(make_panel().shops([0]))
