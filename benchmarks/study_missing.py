"""Groups of known age where two fifths of the ages are unknown: slopes by what is made of imputed ages.

One channel whose slope depends on the age, 1,500 consumers of 12 months, ages unknown completely at random, as friendly
to imputation as data can be. Intervals are of the normal approximation at the mode.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, make_command, provenance
from models.simulate.study_worlds import SEED

CONSUMERS, PERIODS, MARKETS = 1_500, 12, 5
MISSING_SHARE, MEAN_SLOPE, NOISE_SD = 0.4, 3.0, 10.0
#: How a slope depends on the age, and how consumers of unknown age respond.
WORLDS = {
    "linear": "slopes fall in a line with age; consumers of unknown age respond as their age says",
    "thirds": "1.5, 1 and 0.5 of the mean slope by thirds of age, which no line follows",
    "thirds_unknown_average": "the same, but consumers of unknown age all respond at the mean",
}
OPTIONS = {"inference": "laplace", "basis": "linear", "draws": 200, "imputations_count": 5}
#: What slopes see of an imputed age (HBMMMConfig.imputed_moderators), alone and with a column that says who is imputed.
ARMS = {
    "drawn": {"imputed_moderators": "drawn"},
    "drawn, indicator": {"imputed_moderators": "drawn", "missing_indicators": True},
    "average": {"imputed_moderators": "average"},
    "average, indicator": {"imputed_moderators": "average", "missing_indicators": True},
}
GROUPS = ("low", "middle", "high", "missing")  # as the model's segment table names them


def world(kind: str, seed: int) -> tuple[Any, np.ndarray]:
    """The panel that an analyst has, and the true slope of each consumer, (N,)."""
    from models.panel import ConsumerPanel

    rng = np.random.default_rng([SEED, list(WORLDS).index(kind), seed])
    n = CONSUMERS
    age, wish, hidden = rng.uniform(20, 70, n), rng.normal(size=n), rng.random(n) < MISSING_SHARE
    thirds = np.select([age < 20 + 50 / 3, age < 70 - 50 / 3], [1.5, 1.0], 0.5)
    factor = 1.0 - (age - 45) / 50 if kind == "linear" else thirds
    if kind == "thirds_unknown_average":
        factor = np.where(hidden, 1.0, factor)
    slopes = MEAN_SLOPE * factor + 0.5 * rng.normal(size=n)
    exposures = rng.poisson(np.exp(0.2 + 0.5 * wish)[:, None], (n, PERIODS))
    level = 50 + 10 * wish + 0.2 * (age - 45)
    season = 3 * np.sin(np.arange(PERIODS))
    amounts = level[:, None] + slopes[:, None] * exposures + season + NOISE_SD * rng.normal(size=(n, PERIODS))
    ids = np.array([f"c{i:05d}" for i in range(n)], dtype=object)
    rows = pd.DataFrame(
        {
            "consumer_id": np.repeat(ids, PERIODS),
            "market_id": np.repeat([f"m{i % MARKETS}" for i in range(n)], PERIODS),
            "period_start_date": np.tile(pd.date_range("2024-01-01", periods=PERIODS, freq="MS"), n),
            "gmv_net_amount": amounts.ravel(),
            "is_in_panel": True,
        }
    )
    cells = rows[["consumer_id", "period_start_date"]].assign(
        channel_id="tv", exposures_count=exposures.ravel()
    )
    ages = pd.DataFrame(
        {
            "consumer_id": ids,
            "characteristic_name": "age",
            "characteristic_kind": "numeric",
            "characteristic_origin": "declared",
            "value_numeric": np.where(hidden, np.nan, age),
            "value_text": None,
        }
    )
    strata = ages.assign(
        characteristic_name="pre_period_spend_stratum",
        characteristic_kind="categorical",
        characteristic_origin="pre_period",
        value_numeric=np.nan,
        value_text=np.where(wish > 0, "high", "low"),
    )
    none = pd.DataFrame(columns=["market_id", "covariate_name", "period_start_date", "covariate_value"])
    panel = ConsumerPanel.from_frames(
        rows,
        cells[cells["exposures_count"] > 0],
        pd.concat([ages, strata], ignore_index=True),
        none,
        currency_code="USD",
        period="month",
    )
    return panel, slopes


def measure(kind: str, seed: int) -> dict[str, Any]:
    """[arm, group, mean, lower, upper, truth] of every arm and age group of one world; CPU seconds."""
    from models.evaluation.estimators import estimates_of_fit
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    begun = time.process_time()
    panel, slopes = world(kind, seed)
    rows = []
    for arm, chosen in ARMS.items():
        config = HBMMMConfig(**OPTIONS, **chosen)
        fit = fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, config)
        found = estimates_of_fit(fit, panel)
        ages = found.segment.query("segment_name == 'age' and estimand == 'slope'")
        for row in ages[ages["exposure_distribution"] == "panel_rows"].itertuples():
            group = next(g for g in GROUPS if row.segment_value.startswith(g))
            weight = found.members["age", row.segment_value][panel.consumer_index]
            truth = float(slopes[panel.consumer_index][weight].mean())
            rows.append([arm, group, row.mean, row.interval_lower, row.interval_upper, truth])
    return {"rows": rows, "seconds": time.process_time() - begun}


def summary(found: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """By world, group and arm: worlds, truth, share of the truth, its Monte-Carlo error, coverage, width."""
    names = ["arm", "group", "mean", "lower", "upper", "truth"]
    parts = [
        pd.DataFrame(one["rows"], columns=names).assign(world=key.split()[0]) for key, one in found.items()
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows["covered"] = (rows["lower"] <= rows["truth"]) & (rows["truth"] <= rows["upper"])
    rows["width"], rows["share"] = rows["upper"] - rows["lower"], rows["mean"] / rows["truth"]
    table = rows.groupby(["world", "group", "arm"], sort=False).agg(
        worlds=("share", "size"),
        truth=("truth", "mean"),
        share=("share", "mean"),
        share_sd=("share", "std"),
        coverage=("covered", "mean"),
        width=("width", "mean"),
    )
    table["monte_carlo_error"] = table.pop("share_sd") / np.sqrt(table["worlds"])
    return table.reset_index()


def main() -> None:
    """Measure the worlds, write missing.json and missing.md."""
    parser = argparse.ArgumentParser(description="slopes of age groups where ages are missing")
    parser.add_argument("--worlds", type=int, default=20, help="of each kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    jobs = {job_key((kind, s)): (kind, s) for kind in WORLDS for s in range(arguments.worlds)}
    path = FOLDER / f"missing-{fingerprint(measure)}.jsonl"
    found = run_jobs(path, jobs, measure, arguments.processes)
    table = summary(found)
    content = {
        "command": make_command("study-missing"),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "cpu_seconds_mean": float(np.mean([one["seconds"] for one in found.values()])),
        "seed": SEED,
        "worlds": arguments.worlds,
        "missing_share": MISSING_SHARE,
        "options": OPTIONS,
        "table": table.to_dict("records"),
    }
    folder = ROOT / arguments.output
    (folder / "missing.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content, table)
    (folder / "missing.md").write_text(text, encoding="utf-8")
    print(text)


def page(content: dict[str, Any], table: pd.DataFrame) -> str:
    """The study for people."""
    where = content["provenance"]
    lines = [
        "# Groups of known age where two fifths of the ages are unknown",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB; "
        f"{content['cpu_seconds_mean']:.1f} CPU seconds a world.",
        "",
        f"{CONSUMERS:,} consumers, {PERIODS} months, one channel worth {MEAN_SLOPE:g} dollars an exposure on average, "
        f"ages of {MISSING_SHARE:.0%} unknown completely at random. Slope over panel rows by thirds of the known ages: "
        "estimate as a share of the truth, +- Monte-Carlo error; in brackets 95 % intervals' coverage and mean width.",
        "",
    ]
    for kind, part in table.groupby("world", sort=False):
        lines += [f"## {kind}", "", f"{WORLDS[kind].capitalize()}. {content['worlds']} worlds.", ""]
        lines += ["| ages | truth | " + " | ".join(ARMS) + " |", "|---" * (2 + len(ARMS)) + "|"]
        for group, rows in part.groupby("group", sort=False):
            own = rows.set_index("arm")
            cells = [
                f"{r.share:.3f} +- {r.monte_carlo_error:.3f} ({r.coverage:.2f}, {r.width:.2f})"
                for r in (own.loc[arm] for arm in ARMS)
            ]
            lines.append(f"| {group} | {own['truth'].iloc[0]:.2f} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
