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
