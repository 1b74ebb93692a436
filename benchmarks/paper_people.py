"""Table 5, Figures 4 and 5 and section 5.1 of Ni et al. 2023 on a world of people with age, income and segments that
respond more (models/simulate/consumers, outcome log1p: Table 6 again, amounts cut at zero)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.paper_published import TABLE_5
from benchmarks.paper_world import plain, records
from models.simulate.consumer_config import HIGH_INCOME, PAPER_CHANNELS, ConsumerWorldConfig

AGE_EDGES, AGE_NAMES = (18, 25, 35, 45, 55, 65, 200), ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
SDS = {c.name: c.exposures_sd for c in PAPER_CHANNELS}


def people(consumers: int, seed: int) -> tuple[Any, Any]:
    """The world and its panel, the outcome log1p of dollars, characteristics the bands of section 5.1 and two more."""
    from models.simulate.consumers import simulate_consumers

    config = ConsumerWorldConfig(
        consumers_count=consumers,
        markets_count=50,
        outcome="log1p",
        null_channel_name=None,
        returns_share=0.0,
        missing_share=0.0,
    )
    drawn = simulate_consumers(config, np.random.default_rng(seed))
    panel = drawn.to_panel()
    known = panel.characteristics
    bands = pd.DataFrame(
        {
            "age_band": np.select([known["age"] < 35, known["age"] < 55], ["18-34", "35-54"], "55+").astype(
                object
            ),
            "income_band": np.where(known["income"] >= HIGH_INCOME, "high", "other").astype(object),
            "plan": known["plan"],
            "acquisition_source": known["acquisition_source"],
        },
        index=known.index,
    )
    fitted = replace(
        panel,
        gmv=np.log1p(panel.gmv.clip(min=0.0)),
        characteristics=bands,
        characteristic_kinds=dict.fromkeys(bands.columns, "categorical"),
        characteristic_origins=dict.fromkeys(bands.columns, "declared"),
        currency_code="log1p USD",
    )
    return drawn, fitted


def summary_rows(values: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Mean, sd, least and most by name."""
    return {
        name: {"mean": v.mean(), "sd": v.std(ddof=1), "min": v.min(), "max": v.max(), "count": len(v)}
        for name, v in values.items()
    }


def table_5(bulk: Any, drawn: Any) -> list[dict[str, Any]]:
    """The paper's line, the bulk world's and the people's: bulk is a ConsumerMonths, drawn a ConsumerWorld."""
    from models.simulate.consumer_months import CHANNEL_IDS

    panel = drawn.to_panel()
    first = {"Monthly purchase amount ($)": np.expm1(bulk.outcome)}
    first |= {f"{c} exposures": bulk.exposures[:, i] for i, c in enumerate(CHANNEL_IDS)}
    second = {"Monthly purchase amount ($)": panel.gmv}
    second |= {f"{c} exposures": panel.exposures[:, i] for i, c in enumerate(panel.channel_ids)}
    second |= {name.capitalize(): panel.characteristics[name].to_numpy() for name in ("age", "income")}
    second["Income ($1000)"] = second.pop("Income")
    found = {"bulk": summary_rows(first), "people": summary_rows(second)}
    rows = []
    for name, printed in TABLE_5.items():
        row: dict[str, Any] = {"variable": name} | dict(
            zip(("paper_mean", "paper_sd", "paper_min", "paper_max"), printed, strict=True)
        )
        for label, table in found.items():
            row |= {f"{label}_{k}": v for k, v in table.get(name, {}).items()}
        rows.append(plain(row))
    return rows


def figure_4(drawn: Any) -> bytes:
    """Amounts in dollars and exposures of consumer-months by age group."""
    from models.figures.amounts_by_group import amounts_by_group

    panel = drawn.to_panel()
    age = panel.characteristics["age"].to_numpy()[panel.consumer_index]
    group = np.array(AGE_NAMES, dtype=object)[np.digitize(age, AGE_EDGES[1:-1])]
    exposures = pd.DataFrame(panel.exposures, columns=list(panel.channel_ids))[
        ["tv", "digital", "email", "social"]
    ]
    means = exposures.groupby(group).mean().reindex(AGE_NAMES)
    return amounts_by_group(pd.DataFrame({"group": group, "amount": panel.gmv}), means, "age group", "USD")


def figure_5(fit: Any, fitted: Any, drawn: Any) -> bytes:
    """Individual effects by channel, and against age, income and past purchases."""
    from models.figures.individual_effects import individual_effects
    from models.hbmmm.effects import compute_effects

    table = compute_effects(fit, fitted).consumer
    slopes = table[table["estimand"] == "slope"]
    wide = slopes.pivot(index="consumer_id", columns="channel_id", values="mean")[list(SDS)] * pd.Series(SDS)
    known = drawn.to_panel().characteristics.reindex(wide.index)
    shown = pd.DataFrame(
        {
            "age": known["age"],
            "income, thousand USD": known["income"],
            "past purchases, log(1 + USD) before the panel": np.log1p(known["rfm_monetary_amount"]),
        }
    )
    return individual_effects(wide, shown, "log points per sd of exposures")


def segments(fit: Any, fitted: Any, drawn: Any) -> list[dict[str, Any]]:
    """Mean slope of each of section 5.1's segments less that of everybody else, by channel, beside the truth."""
    from models.evaluation.group_slopes import group_slope_draws
    from models.hbmmm.statistics import SufficientStatistics

    frame = drawn.consumers.set_index("consumer_id").reindex(fit.consumer_ids)
    chosen = {
        "age 55 and more": (frame["age"] >= 55, "tv"),
        "age 18 to 34": (frame["age"] < 35, "social"),
        f"income {HIGH_INCOME:g} thousand and more": (frame["income"] >= HIGH_INCOME, "email"),
    }
    inside = np.stack([mask.to_numpy() for mask, _ in chosen.values()])
    channels = list(fit.design.modelled_channels)
    sds = np.array([SDS[c] for c in channels])
    members = np.concatenate([inside, ~inside])
    draws = group_slope_draws(fit, SufficientStatistics.from_panel(fitted), members) * sds
    position = pd.Index(drawn.consumer_ids).get_indexer(fit.consumer_ids)
    order = [drawn.config.channel_ids.index(c) for c in channels]
    true = members / members.sum(axis=1, keepdims=True) @ drawn.slopes[position][:, order]
    rows = []
    for s, (name, (_, responds)) in enumerate(chosen.items()):
        for c, channel in enumerate(channels):
            gap = draws[:, s, c] - draws[:, s + len(chosen), c]
            low, high = np.quantile(gap, [0.025, 0.975])
            truth = true[s, c] - true[s + len(chosen), c]
            row = {
                "segment": name,
                "consumers": int(inside[s].sum()),
                "channel": channel,
                "responds": channel == responds,
            }
            row |= {"inside": draws[:, s, c].mean(), "others": draws[:, s + len(chosen), c].mean()}
            row |= {"difference": gap.mean(), "lower": low, "upper": high, "truth": truth}
            row |= {"covers_truth": bool(low <= truth <= high), "excludes_zero": bool(low > 0 or high < 0)}
            rows.append(row)
    return records(pd.DataFrame(rows).set_index("segment"))
