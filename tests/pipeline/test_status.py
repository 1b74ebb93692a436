"""A refresh without any accepted row is refused in words."""

import pandas as pd
import pytest

from assets.status import RefreshError, load_refresh
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
