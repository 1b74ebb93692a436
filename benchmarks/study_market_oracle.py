"""The least error to hope for on the response model's worlds (`make study-market-oracle`): the oracle's, kind by kind.

No estimator runs here. The oracle (models/simulate/market_oracle.py) knows adstock, curves and noise, and not the
coefficients; once with and once without the demand that nobody records. Beside it, how precise a lift test is.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import ROOT, provenance

LEVEL = 0.9


def rows_of_world(kind: Any, seed: int) -> list[dict[str, Any]]:
    """One row per channel: truth, the oracle's mean and interval of the national ROI, and the lift test's precision."""
    from models.simulate.market_oracle import oracle_roi
    from models.simulate.market_studies import one_test_per_channel

    world = kind.world(seed)
    knowing, blind = (oracle_roi(world, "total", knows, LEVEL) for knows in (True, False))
    national = knowing["market_id"].isna()
    is_covered = knowing["truth"].between(knowing["interval_lower"], knowing["interval_upper"])
    by_market = is_covered[~national].groupby(knowing["channel_id"]).mean()
    tests = {}
    if kind.config.markets_count >= 6:
        tests = {t.spec.channel_ids[0]: t for t in one_test_per_channel(world)}
    rows = []
    for i in np.flatnonzero(national):
        one = knowing.iloc[i]
        test = tests.get(one["channel_id"])
        rows.append(
            {
                "kind": kind.name,
                "seed": seed,
                "channel_id": one["channel_id"],
                "truth": float(one["truth"]),
                "oracle": float(one["mean"]),
                "width": float(one["interval_upper"] - one["interval_lower"]),
                "is_covered": bool(is_covered.iloc[i]),
                "is_covered_by_market": float(by_market[one["channel_id"]]),
                "oracle_without_demand": float(blind.iloc[i]["mean"]),
                "lift_over_error": None if test is None else test.true_lift / test.standard_error,
            }
        )
    return rows


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """The kind's figures over the channels that have an effect."""
    real = rows[rows["truth"] > 0]
    relative = (real["oracle"] / real["truth"] - 1).abs()
    worlds = relative.groupby(real["seed"]).mean()
    return {
        "kind": rows["kind"].iloc[0],
        "worlds": int(rows["seed"].nunique()),
        "error": float(relative.mean()),
        "error_standard_error": float(worlds.std(ddof=1) / np.sqrt(len(worlds))),
        "error_by_channel": relative.groupby(real["channel_id"], sort=False).mean().to_dict(),
        "coverage": float(rows["is_covered"].mean()),
        "coverage_by_market": float(rows["is_covered_by_market"].mean()),
        "width": float((real["width"] / real["truth"]).mean()),
        "error_without_demand": float((real["oracle_without_demand"] / real["truth"] - 1).abs().mean()),
        "lift_over_error": None
        if real["lift_over_error"].isna().all()
        else float(real["lift_over_error"].median()),
    }


def page(content: dict[str, Any]) -> list[str]:
    """The Markdown page, line by line."""
    where = content["provenance"]
    lines = [
        "# Market worlds: the oracle's error",
        "",
        f"`make study-market-oracle`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {content['seconds']:.0f} s. "
        "Worlds and seeds: models/simulate/market_studies.py, fixed before any estimator of the response model ran on "
        "them.",
        "",
        "National ROI (total effect) of every channel by a fit that knows adstock, curves and noise, and not the "
        "coefficients: mean absolute relative error (with the standard error over worlds), share of 90 % intervals "
        "with the truth, by market too, their width over the truth, and the error of the same fit without the demand "
        "that nobody records. Last column: median of lift over its standard error, one test per channel, twelve weeks "
        "against nothing spent in half of the markets.",
        "",
        "| kind | worlds | error | coverage | by market | width | error without demand | lift over error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["kinds"]:
        lift = "–" if row["lift_over_error"] is None else f"{row['lift_over_error']:.1f}"
        lines.append(
            f"| {row['kind']} | {row['worlds']} | {row['error']:.3f} ({row['error_standard_error']:.3f}) "
            f"| {row['coverage']:.2f} | {row['coverage_by_market']:.2f} | {row['width']:.2f} "
            f"| {row['error_without_demand']:.3f} | {lift} |"
        )
    lines += ["", "Error by channel:", ""]
    for row in content["kinds"]:
        shown = ", ".join(f"{channel} {error:.3f}" for channel, error in row["error_by_channel"].items())
        lines.append(f"- {row['kind']}: {shown}")
    return [
        *lines,
        "",
        "`display` follows `social` (0.9 in log spend). A placebo channel has no relative error and counts in coverage "
        "alone. The one national series has no week effects to absorb the common shock, whose memory its fit leaves "
        "out, so that its intervals are too narrow.",
    ]


def main() -> None:
    """Run the kinds, write market_oracle.json and market_oracle.md."""
    from models.simulate.market_studies import MARKET_WORLD_KINDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=None, help="of each kind at most (all by default)")
    arguments = parser.parse_args()
    started, frames = time.monotonic(), []
    for kind in MARKET_WORLD_KINDS.values():
        count = min(arguments.worlds or kind.worlds_count, kind.worlds_count)
        frames.append(pd.DataFrame([row for seed in kind.seeds(count) for row in rows_of_world(kind, seed)]))
        print(f"{kind.name}: {count} worlds, {time.monotonic() - started:.0f} s", flush=True)
    content = {
        "command": "make study-market-oracle",
        "provenance": provenance(),
        "seconds": time.monotonic() - started,
        "interval_level": LEVEL,
        "seeds": {kind.name: kind.seeds() for kind in MARKET_WORLD_KINDS.values()},
        "kinds": [summary(frame) for frame in frames],
    }
    folder = ROOT / "docs" / "studies"
    (folder / "market_oracle.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = page(content)
    (folder / "market_oracle.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
