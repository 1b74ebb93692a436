"""Effects below the channel laid beside the truth of the same consumers: markets, and which segment responds more."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from models.evaluation.estimators import Estimates
from models.panel import ConsumerPanel

MARKET_COLUMNS = ["method", "market_id", "channel_id", "mean", "truth"]
PAIR_COLUMNS = [
    "method",
    "segment_name",
    "segment_value",
    "other_value",
    "channel_id",
    "estimated_gap",
    "standard_error",
    "truth_gap",
]


def market_scores(estimates: dict[str, Estimates], truth: pd.DataFrame) -> pd.DataFrame:
    """Slopes over panel rows of every market: MARKET_COLUMNS.

    truth: frame `market` of a world. Method `<name>` is an estimator's own market rows, `<name>_pooled` its channel
    row standing for every market.
    """
    key = ["market_id", "channel_id"]
    values = _slopes(truth).set_index(key)["value"].rename("truth")
    parts = []
    for name, found in estimates.items():
        if found.market is None:
            continue
        own = _slopes(found.market)[[*key, "mean"]]
        pooled = _slopes(found.channel).set_index("channel_id")["mean"]
        parts += [
            own.assign(method=name),
            own[key].assign(mean=own["channel_id"].map(pooled), method=f"{name}_pooled"),
        ]
    if not parts:
        return pd.DataFrame(columns=MARKET_COLUMNS)
    return pd.concat(parts, ignore_index=True).join(values, on=key, how="inner")[MARKET_COLUMNS]


def segment_pairs(estimates: dict[str, Estimates], panel: ConsumerPanel, truth: pd.DataFrame) -> pd.DataFrame:
    """Every two segments of one characteristic, and by how much the first one's slope is larger: PAIR_COLUMNS.

    truth: frame `consumer` of a world; a segment's true slope is the mean over its members' panel rows.
    standard_error is of the estimated gap, as if the two estimates were independent.
    """
    rows = np.bincount(panel.consumer_index, minlength=panel.consumers_count).astype(float)
    slopes = _slopes(truth).pivot(index="consumer_id", columns="channel_id", values="value")
    slopes = slopes.reindex(index=panel.consumer_ids, columns=panel.channel_ids)
    totals = slopes.to_numpy() * rows[:, None]
    found = []
    for name, one in estimates.items():
        if one.segment is None:
            continue
        table = _slopes(one.segment)
        for (segment_name, channel_id), group in table.groupby(["segment_name", "channel_id"], sort=False):
            c = panel.channel_ids.tolist().index(channel_id)
            values = {}
            for row in group.itertuples():
                inside = one.members[segment_name, row.segment_value]
                true = totals[inside, c].sum() / rows[inside].sum()
                values[row.segment_value] = (row.mean, row.standard_deviation, true)
            for a, b in combinations(values, 2):
                (m_a, s_a, t_a), (m_b, s_b, t_b) = values[a], values[b]
                gap = (m_a - m_b, float(np.hypot(s_a, s_b)), t_a - t_b)
                found.append((name, segment_name, a, b, channel_id, *gap))
    return pd.DataFrame(found, columns=PAIR_COLUMNS)


def _slopes(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["estimand"] == "slope") & (table["exposure_distribution"] == "panel_rows")]
