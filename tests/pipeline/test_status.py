"""A refresh without any accepted row is refused in words."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from assets.status import Refresh, RefreshError, load_refresh
from orchestration.resources.settings import Settings


@pytest.mark.parametrize("dates", [[None], []])
def test_no_accepted_row_is_an_error_that_says_where_to_look(tmp_path, dates):
    settings = Settings(home=tmp_path, source="simulated")
    settings.marts_dir.mkdir()
    pd.DataFrame({"as_of_date": dates}).to_parquet(settings.marts_dir / "current_refresh.parquet")
    with pytest.raises(RefreshError, match=r"no accepted row has a date.*reporting\.data_quality"):
        load_refresh(settings)


def test_a_home_without_a_warehouse_says_what_to_run_first(tmp_path):
    with pytest.raises(RefreshError, match="run refresh_warehouse first"):
        load_refresh(Settings(home=tmp_path, source="simulated"))


def test_second_opinions_see_one_sample_of_so_many_consumers_and_small_panels_whole(tmp_path):
    from models.simulate.consumer_config import ConsumerWorldConfig
    from models.simulate.consumers import simulate_consumers

    world = ConsumerWorldConfig(consumers_count=1_300, markets_count=2, periods_count=5, pre_periods_count=2)
    panel = simulate_consumers(world, np.random.default_rng(1)).to_panel()

    def sample(count: int):
        settings = Settings(home=tmp_path, source="simulated", second_opinion_consumers_count=count)
        refresh = Refresh(settings, dt.date(2024, 1, 31), "month", "USD", "", "simulated", None)
        return refresh.panel_sample(panel)

    part, sizes = sample(1_000)
    assert part.consumers_count == 1_000 < panel.consumers_count
    assert sizes == {
        "consumers_count": 1_000, "rows_count": part.rows_count, "consumers_in_panel": panel.consumers_count,
    }  # fmt: skip
    np.testing.assert_array_equal(sample(1_000)[0].consumer_ids, part.consumer_ids)
    assert sample(2_000)[0] is panel


def test_a_graph_that_cannot_be_fitted_leaves_a_row_that_says_why(tmp_path, monkeypatch):
    import dagster as dg

    from assets.causal_graph import causal_graph_edges
    from orchestration.resources.artefacts import read_artefact

    when = pd.to_datetime(["2024-01-01", "2024-01-08"])
    of_market = pd.DataFrame({"market_id": "a", "period_start_date": when})
    none = of_market.iloc[:0]
    marts = {
        "market_periods": of_market.assign(gmv_net_amount=[1.0, 2.0]),
        "market_channel_periods": of_market.assign(channel_id="tv", intensity=[1.0, 2.0]),
        "mediator_periods": none.assign(mediator_name="", mediator_value=0.0),
        "market_covariate_periods": none.assign(covariate_name="", covariate_value=0.0),
    }
    day = dt.date(2024, 1, 14)
    for name, frame in marts.items():
        path = tmp_path / "marts" / name / f"as_of_date={day}" / f"{name}.parquet"
        path.parent.mkdir(parents=True)
        frame.to_parquet(path)
    refresh = Refresh(
        Settings(home=tmp_path, source="simulated"), day, "week", "USD", "12345678", "simulated", None
    )
    monkeypatch.setattr("assets.causal_graph.load_refresh", lambda: refresh)
    causal_graph_edges(dg.build_asset_context())
    (row,) = read_artefact(refresh.artefacts_dir, "family_status", "causal_graph", day).to_dict("records")
    assert (row["family"], row["status"], row["rows_count"]) == ("causal_graph", "not_evaluated", 0)
    assert "2 periods; a graph needs 3" in row["reason"]
    assert row["data_version"].startswith("2024-01-14.12345678.")
    assert read_artefact(refresh.artefacts_dir, "causal_graph_edges", "causal_graph", day).empty
