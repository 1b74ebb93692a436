"""Controls of demand (models/response/demand_controls.py) where demand drives spend, and where it does not.

`make study-demand`. Worlds, seeds and lift tests are those of models/simulate/market_studies.py; fits are normal
approximations at the mode (benchmarks/normal_fits.py), so that figures compare with each other, not with those of
`make study-response`. Resumes where it was cut.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, make_command, provenance

LEVEL, DRAWS = 0.9, 400
VARIANTS = {
    "confounded": ("plain", "demand controls", "lift tests", "lift tests, demand controls", "proxy"),
    "identified": ("plain", "demand controls"),
}


def fit_world(kind_name: str, seed: int, variant: str) -> dict[str, Any]:
    """Truth, mean and interval of every channel's national ROI."""
    from benchmarks.normal_fits import normal_fit
    from benchmarks.study_response import panel_of
    from models.response.config import ResponseConfig
    from models.response.demand_controls import with_demand_controls
    from models.response.lift_tests import lift_tests_from_frame
    from models.response.returns import return_table
    from models.simulate.market_lift_tests import lift_tests_frame
    from models.simulate.market_studies import MARKET_WORLD_KINDS, one_test_per_channel
    from models.simulate.market_truth import truth_table

    world = MARKET_WORLD_KINDS[kind_name].world(seed)
    panel, tests = panel_of(world, variant == "proxy"), ()
    if "lift tests" in variant:
        tests = lift_tests_from_frame(lift_tests_frame(one_test_per_channel(world)), "gmv")
    if "demand controls" in variant:
        panel = with_demand_controls(panel)
    fit = normal_fit(panel, ResponseConfig(seed=seed % 2**31, kept_draws=DRAWS, interval_level=LEVEL), tests)
    found = return_table(fit).query("market_id.isna() and estimand == 'roi'").set_index("channel_id")
    truth = truth_table(world).query("market_id.isna()").set_index("channel_id")["roi"]
    columns = ["mean", "interval_lower", "interval_upper"]
    rows = [
        {
            "channel_id": name,
            "truth": float(truth[name]),
            "model": found.loc[name, columns].astype(float).tolist(),
        }
        for name in world.config.channel_ids
    ]
    return {"kind": kind_name, "variant": variant, "seed": seed, "rows": rows}


def summary(found: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a kind and variant: worlds, mean absolute relative error with its standard error, bias, coverage, width."""
    rows = []
    for key in dict.fromkeys((one["kind"], one["variant"]) for one in found):
        worlds = [one["rows"] for one in found if (one["kind"], one["variant"]) == key]
        truth = np.array([[row["truth"] for row in world] for world in worlds])
        mean, lower, upper = np.moveaxis(
            np.array([[row["model"] for row in world] for world in worlds]), -1, 0
        )
        errors = np.abs(mean / truth - 1.0).mean(axis=1)
        rows.append(
            {
                "kind": key[0],
                "variant": key[1],
                "worlds": len(worlds),
                "error": float(errors.mean()),
                "error_standard_error": float(errors.std(ddof=1) / np.sqrt(len(errors)))
                if len(errors) > 1
                else None,
                "bias": float((mean / truth - 1.0).mean()),
                "covered": int(((lower <= truth) & (truth <= upper)).sum()),
                "intervals": truth.size,
                "width": float(((upper - lower) / truth).mean()),
            }
        )
    return pd.DataFrame(rows)


def page(content: dict[str, Any]) -> str:
    """The Markdown page."""
    where = content["provenance"]
    lines = [
        "# Spend that follows demand: controls of demand",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores. Worlds, seeds and lift tests: "
        "models/simulate/market_studies.py, fixed before any estimator ran. Normal approximations at the mode "
        f"({content['draws']} draws), not NUTS: rows compare with each other. The option was tried by hand on the "
        "first three confounded worlds before this study; the other worlds had not been looked at for it.",
        "",
        "National ROI of every channel: mean absolute relative error (standard error over worlds), mean relative "
        "error, 90 % intervals that hold the truth, their mean width over the truth. Demand controls: the logarithm "
        "of every channel's exposures as a control. Lift tests: one a channel. Proxy: a recorded proxy of demand "
        "(correlation 0.9) as a control.",
        "",
        "| kind | variant | worlds | error | bias | covered | width |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["summary"]:
        error = f"{row['error']:.3f}"
        error += f" ({row['error_standard_error']:.3f})" if not pd.isna(row["error_standard_error"]) else ""
        lines.append(
            f"| {row['kind']} | {row['variant']} | {row['worlds']} | {error} | {row['bias']:+.3f} "
            f"| {row['covered']} of {row['intervals']} ({row['covered'] / row['intervals']:.2f}) | {row['width']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the worlds, write docs/studies/demand.json and .md."""
    from models.simulate.market_studies import MARKET_WORLD_KINDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20, help="of each kind at most")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", default="docs/studies", help="folder, from the root of the checkout")
    arguments = parser.parse_args()
    jobs = {}
    for name, variants in VARIANTS.items():
        kind = MARKET_WORLD_KINDS[name]
        for seed in kind.seeds(min(arguments.worlds, kind.worlds_count)):
            for variant in variants:
                jobs[job_key((name, seed, variant))] = (name, seed, variant)
    path = FOLDER / f"demand-{fingerprint(fit_world)}.jsonl"
    found = list(run_jobs(path, jobs, fit_world, arguments.processes).values())
    content = {
        "command": make_command("study-demand"),
        "provenance": provenance(),
        "interval_level": LEVEL,
        "draws": DRAWS,
        "summary": summary(found).to_dict("records"),
        "worlds": found,
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demand.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "demand.md").write_text(page(content), encoding="utf-8")
    print(page(content))


if __name__ == "__main__":
    main()
