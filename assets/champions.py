"""Models that pass a gate, and the rows of a champion that stay beside a challenger's until the gate has decided."""

from typing import TYPE_CHECKING

from assets import keys
from assets.status import Refresh
from orchestration.resources.artefacts import read_artefact
from orchestration.resources.tracking import CHAMPION, Tracking

if TYPE_CHECKING:
    import pandas as pd

#: Family -> registered model, of those whose rows are published in the champion's version only.
GATED = {
    keys.FAMILY_HBMMM: keys.REGISTERED_HBMMM,
    keys.FAMILY_RESPONSE: keys.REGISTERED_RESPONSE,
}


def with_champion_rows(rows: "pd.DataFrame", refresh: Refresh, name: str, family: str) -> "pd.DataFrame":
    """Rows of artefact `name`, and those that a champion of this as-of date left in it before."""
    if family not in GATED:
        return rows
    import pandas as pd

    alias = Tracking.from_settings(refresh.settings).alias_version(GATED[family], CHAMPION)
    decided = read_artefact(refresh.artefacts_dir, "champions", family, refresh.as_of_date)["model_version"]
    champions = {alias, *decided.dropna()} - {None}  # they differ in a back-fill: the alias is of later data
    before = read_artefact(refresh.artefacts_dir, name, family, refresh.as_of_date)
    kept = before[
        before["model_version"].isin(champions) & ~before["model_version"].isin(rows["model_version"])
    ]
    if kept.empty:
        return rows
    return pd.concat([rows.astype(object), kept.astype(object)], ignore_index=True)
