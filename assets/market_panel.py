"""The market marts of a refresh as the response model reads them: panel, lift tests, declared graph. No Dagster."""

from pathlib import Path
from typing import TYPE_CHECKING

from assets.status import Refresh

if TYPE_CHECKING:
    import pandas as pd

    from models.response.causal_graph import CausalGraph
    from models.response.lift_tests import LiftTest
    from models.response.market_panel import MarketPanel
    from models.response.preparation import PreparedMarkets

MARKET_MART_NAMES = (
    "market_periods",
    "market_channel_periods",
    "market_covariate_periods",
    "mediator_periods",
    "markets",
    "lift_tests",
)
GRAPH_NAME = "causal_graph.yaml"
#: Values of lift_tests.kpi that mean GMV net of returns.
GMV_NAMES = ("gmv", "gmv_net", "gmv_amount")


def read_market_panel(refresh: Refresh) -> "PreparedMarkets":
    """Raises PanelError where the marts hold nothing that a response model can be fitted to."""
    from models.response.preparation import prepare_market_panel

    markets = refresh.read_mart("markets")
    known = markets[markets["population"].notna() & (markets["population"] > 0)]
    return prepare_market_panel(
        *(refresh.read_mart(name) for name in MARKET_MART_NAMES[:4]),
        currency_code=refresh.currency_code or "",
        period=refresh.period,
        population=dict(zip(known["market_id"], known["population"].astype(float), strict=True)),
        pre_period_end=refresh.pre_period_end_date,
        markets_most=refresh.settings.response_markets_most,
    )


def read_lift_tests(refresh: Refresh, panel: "MarketPanel") -> "tuple[tuple[LiftTest, ...], pd.DataFrame]":
    """Accepted tests that the panel can be held to, and the others by name with the reason."""
    import numpy as np
    import pandas as pd

    from models.errors import PanelError
    from models.response.lift_terms import lift_terms
    from models.response.lift_tests import lift_tests_from_frame
    from models.response.scaling import Scaling

    frame = refresh.read_mart("lift_tests")
    frame = frame.assign(kpi=frame["kpi"].where(~frame["kpi"].isin(GMV_NAMES), panel.kpi_name))
    used, left_out = [], []
    for position in range(len(frame)):
        row = frame.iloc[[position]]
        name = str(row["lift_test_id"].iloc[0])
        if row["kpi"].iloc[0] != panel.kpi_name:
            left_out.append(
                ("lift_test", name, f"it measured {row['kpi'].iloc[0]!r}; the model explains GMV ('gmv')")
            )
            continue
        try:
            (test,) = lift_tests_from_frame(row, panel.kpi_name)
            scaling = Scaling.of_panel(panel, ())
            lift_terms(panel, [test], scaling.exposures(panel.intensity), np.array(scaling.kpi_mean))
        except (PanelError, ValueError) as error:
            left_out.append(("lift_test", name, str(error)))
        else:
            used.append(test)
    return tuple(used), pd.DataFrame(left_out, columns=["kind", "name", "reason"])


def declared_graph_path(refresh: Refresh) -> Path | None:
    """``causal_graph.yaml`` of the home, else of the source folder; None where there is neither."""
    folders = (refresh.settings.home, refresh.settings.source_folder)
    found = [one / GRAPH_NAME for one in folders if one is not None and (one / GRAPH_NAME).is_file()]
    return found[0] if found else None


def read_declared_graph(refresh: Refresh) -> "tuple[CausalGraph | None, str]":
    """The declared graph and its text; (None, "") without one. Raises GraphError for a file that is none."""
    from models.errors import GraphError
    from models.response.causal_graph import graph_from_yaml

    path = declared_graph_path(refresh)
    if path is None:
        return None, ""
    text = path.read_text(encoding="utf-8")
    try:
        return graph_from_yaml(text), text
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error
