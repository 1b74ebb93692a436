"""What decides a response fit: marts, settings, the declared graph, the champion's scaling; no fit is made here."""

import dataclasses
import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest

from assets.market_panel import MARKET_MART_NAMES, read_declared_graph, read_lift_tests, read_market_panel
from assets.response_fits import champion_scaling, response_input
from assets.status import Refresh
from models.errors import GraphError, PanelError
from models.response.adjustment import NO_GRAPH
from models.response.storage import FORMAT
from orchestration.resources.settings import Settings
from orchestration.resources.tracking import Tracking

AS_OF = dt.date(2023, 7, 30)
GRAPH = "outcome: gmv\nchannels: [podcast, push]\nedges: [podcast -> gmv, push -> gmv]\n"
TEST = {
    "lift_test_id": "t",
    "channel_ids": '["podcast"]',
    "market_ids": '["north"]',
    "start_date": dt.date(2023, 3, 6),
    "end_date": dt.date(2023, 4, 2),
    "spend_delta_amount": 20.0,
    "exposures_delta_count": None,
    "lift_amount": 100.0,
    "lift_standard_error": 30.0,
    "kpi": "gmv_net",
}
LEFT_OUT = {
    "orders": {"kpi": "orders"},
    "certain": {"lift_standard_error": 0.0},
    "too much": {"spend_delta_amount": 1e9},
    "early": {"start_date": dt.date(2019, 3, 6), "end_date": dt.date(2019, 4, 2)},
}


@pytest.fixture
def refresh(contract_tables, tmp_path, monkeypatch):
    """A refresh whose exported marts are those of the small market-only folder, with five lift tests."""
    monkeypatch.setattr(Tracking, "alias_version", lambda *_: None)
    settings = Settings(home=tmp_path / "home", source=str(tmp_path), period="week")
    made = Refresh(settings, AS_OF, "week", "EUR", "0" * 64, "canonical", dt.date(2023, 3, 27))
    tables = contract_tables.build_market_only_tables()
    outcomes = tables["market_outcomes"].rename(columns={"gmv_amount": "gmv_net_amount"})
    empty = {"exposures_count": None, "reach_count": np.nan, "frequency": np.nan}
    covariates = outcomes[["market_id", "period_start_date"]].assign(
        covariate_name="price", covariate_value=np.arange(len(outcomes)) % 7.0
    )
    marts = {
        "market_periods": outcomes.assign(source_kind="market_outcomes"),
        "market_channel_periods": tables["marketing_activities"].assign(**empty),
        "market_covariate_periods": covariates,
        "mediator_periods": pd.DataFrame(
            columns=["market_id", "mediator_name", "period_start_date", "mediator_value"]
        ),
        "markets": pd.DataFrame({"market_id": ["north", "south"], "population": [10, 0]}),
        "lift_tests": pd.DataFrame([TEST, *({**TEST, "lift_test_id": n} | c for n, c in LEFT_OUT.items())]),
    }
    assert tuple(marts) == MARKET_MART_NAMES
    for name, frame in marts.items():
        made.mart_path(name).parent.mkdir(parents=True)
        frame.to_parquet(made.mart_path(name), index=False)
    return made


def given(refresh):
    return response_input(refresh, refresh.content_hash(MARKET_MART_NAMES))


def test_the_panel_is_the_marts_and_a_population_of_zero_is_unknown(refresh):
    panel = read_market_panel(refresh).panel
    assert list(panel.market_ids) == ["north", "south", "west"]
    assert panel.is_observed.all()  # recorded outcomes count in the pre-period too
    assert panel.population[0] == 10 and np.isnan(panel.population[1:]).all()


def test_lift_tests_that_the_panel_cannot_be_held_to_are_named_with_the_reason(refresh):
    used, left_out = read_lift_tests(refresh, read_market_panel(refresh).panel)
    assert [test.lift_test_id for test in used] == ["t"]
    reasons = left_out.set_index("name")["reason"]
    assert set(reasons.index) == set(LEFT_OUT)
    for name, words in (
        ("orders", "it measured 'orders'"),
        ("certain", "standard error 0"),
        ("too much", "Recorded spend contains the test"),
        ("early", "the panel's periods start between"),
    ):
        assert words in reasons[name]


def test_the_same_input_has_the_same_fingerprint_and_the_graph_is_part_of_it(refresh, tmp_path):
    first = given(refresh)
    assert given(refresh).fingerprint == first.fingerprint
    assert first.adjustment.controls == ("price",)
    assert first.adjustment.channels["push"].reason == NO_GRAPH
    (tmp_path / "causal_graph.yaml").write_text(GRAPH)
    second = given(refresh)
    assert second.fingerprint != first.fingerprint
    assert second.adjustment.channels["push"].is_identified and second.adjustment.controls == ()
    assert second.config.controls == () and second.graph_text == GRAPH


def test_the_graph_of_the_home_wins_and_a_wrong_one_is_named_by_its_path(refresh, tmp_path):
    assert read_declared_graph(refresh) == (None, "")
    (tmp_path / "causal_graph.yaml").write_text(GRAPH)
    graph, _ = read_declared_graph(refresh)
    assert graph.channels == ("podcast", "push")
    home = refresh.settings.home / "causal_graph.yaml"
    home.write_text("outcome: gmv\nchannels: [tv]\nedges: [tv -> sales]\n")
    with pytest.raises(GraphError, match=r"home/causal_graph\.yaml: edge tv -> sales names 'sales'"):
        read_declared_graph(refresh)


def test_a_refresh_keeps_the_champions_scaling_where_it_suits(refresh, monkeypatch):
    one = given(refresh)
    frozen = dataclasses.replace(one.scaling, kpi_spread=0.5)
    folder = refresh.artefacts_dir / "fits" / "response" / "fingerprint=f" / "fit"
    folder.mkdir(parents=True)
    text = {"format": FORMAT, "scaling": frozen.as_dict()}
    (folder / "fit.json").write_text(json.dumps(text))
    monkeypatch.setattr(Tracking, "alias_version", lambda *_: "1")
    monkeypatch.setattr(Tracking, "version_tag", lambda *_: "f")
    assert given(refresh).scaling == frozen
    assert given(refresh).fingerprint != one.fingerprint
    assert champion_scaling(refresh, one.panel, ()) is None  # other controls
    (folder / "fit.json").write_text(json.dumps(text | {"format": FORMAT + 1}))
    assert given(refresh).scaling == one.scaling


def test_the_champions_own_data_have_its_fingerprint_again(refresh, monkeypatch):
    one = given(refresh)
    folder = refresh.artefacts_dir / "fits" / "response" / f"fingerprint={one.fingerprint}" / "fit"
    folder.mkdir(parents=True)
    (folder / "fit.json").write_text(json.dumps({"format": FORMAT, "scaling": one.scaling.as_dict()}))
    monkeypatch.setattr(Tracking, "alias_version", lambda *_: "1")
    monkeypatch.setattr(Tracking, "version_tag", lambda *_: one.fingerprint)
    assert given(refresh).fingerprint == one.fingerprint


def test_marts_without_channels_are_refused_with_what_is_missing(refresh):
    path = refresh.mart_path("market_channel_periods")
    pd.read_parquet(path).head(0).to_parquet(path, index=False)
    with pytest.raises(PanelError, match="a response model needs both"):
        given(refresh)
