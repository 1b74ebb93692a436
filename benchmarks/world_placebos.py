"""What the lead placebo says of simulated worlds, and what it would have let through as identified."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs

LEAD_PERIODS = 1


def placebo_of_world(kind: str, seed: int) -> list[dict[str, Any]]:
    """The lead placebo's verdict on every channel of one world."""
    import numpy as np

    from models.checks.placebo import lead_placebo
    from models.simulate.consumers import simulate_consumers
    from models.simulate.study_worlds import WORLD_KINDS

    panel = simulate_consumers(WORLD_KINDS[kind].config, np.random.default_rng(seed)).to_panel()
    found = lead_placebo(panel, LEAD_PERIODS)
    return [
        {
            "world": kind,
            "seed": seed,
            "channel_id": row.channel_id,
            "passed": row.passed,
            "p_value": row.p_value,
        }
        for row in found.itertuples(index=False)
    ]


def placebos_of_worlds(seeds: dict[str, tuple[int, ...]], processes: int) -> pd.DataFrame:
    """One row per world and channel: world (kind), seed, channel_id, passed (None where not evaluated), p_value."""
    from models.simulate.study_worlds import WORLD_KINDS

    rows = []
    for kind, wanted in seeds.items():
        path = FOLDER / f"placebos-{kind}-{fingerprint(placebo_of_world, WORLD_KINDS[kind].config)}.jsonl"
        jobs = {job_key((kind, seed)): (kind, seed) for seed in wanted}
        for found in run_jobs(path, jobs, placebo_of_world, processes).values():
            rows += found
    return pd.DataFrame(rows)


def identification_table(placebos: pd.DataFrame, scores: pd.DataFrame, method: str) -> pd.DataFrame:
    """Per kind and channel: how often the placebo failed, and how the method's slope fared where it passed.

    scores: channel rows of `score_levels`, with the kind in `world`.

    Columns: world, channel_id, worlds, failed, not_evaluated, passed; of those passed: truth and error (means),
    coverage of the method's intervals (NaN where none passed).
    """
    slopes = scores[
        (scores["method"] == method)
        & (scores["estimand"] == "slope")
        & (scores["exposure_distribution"] == "panel_rows")
    ]
    merged = placebos.merge(slopes, on=["world", "seed", "channel_id"], how="left")
    covered = (merged["interval_lower"] <= merged["truth"]) & (merged["truth"] <= merged["interval_upper"])
    merged = merged.assign(
        error=merged["mean"] - merged["truth"], covered=covered.where(merged["mean"].notna()).astype(float)
    )
    rows = []
    for (world, channel), part in merged.groupby(["world", "channel_id"], sort=False):
        through = part[part["passed"].eq(True)]
        rows.append(
            {
                "world": world,
                "channel_id": channel,
                "worlds": len(part),
                "failed": int(part["passed"].eq(False).sum()),
                "not_evaluated": int(part["passed"].isna().sum()),
                "passed": len(through),
                "truth": through["truth"].mean(),
                "error": through["error"].mean(),
                "coverage": through["covered"].mean(),
            }
        )
    return pd.DataFrame(rows)


def identification_lines(table: pd.DataFrame) -> list[str]:
    """The table of one kind for people."""
    lines = [
        f"Lead placebo ({LEAD_PERIODS} month ahead, 5 % level), which decides whether a channel's effects are "
        "published as identified, and the HBMMM's slope in the worlds it lets through:",
        "",
        "| channel | failed | not evaluated | let through | mean error there, USD (truth) | coverage there |",
        "|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        there = (
            f"{row['error']:+.3g} ({row['truth']:.3g}) | {row['coverage']:.2f}" if row["passed"] else "- | -"
        )
        lines.append(
            f"| {row['channel_id']} | {row['failed']} of {row['worlds']} | {row['not_evaluated']} | {row['passed']} "
            f"| {there} |"
        )
    return [*lines, ""]
