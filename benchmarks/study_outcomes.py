"""Money, two parts or log1p on worlds with known truth (`make study-outcomes`): errors and coverage of each outcome."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, finished_jobs, job_key, run_jobs
from benchmarks.judged import add_arguments, hbmmm_options
from benchmarks.machine import ROOT, make_command, provenance

WORLDS = 20
KINDS = {
    "zero_heavy": (
        "additive in dollars, zero-heavy: the two-part model's shape is wrong, the money model's right, and no model "
        "of log points is",
        ("oracle", "hbmmm", "hbmmm_two_part", "within_consumer", "hbmmm_log1p"),
        "The oracle is of dollars: in log points effects of channels do not add up here, so that no regression on "
        "known effects could estimate their sizes. The truth in log points is computed (benchmarks/log_truth.py).",
    ),
    "hurdle": (
        "log odds and amount given a purchase add up: the two-part model is right but for where its concave column "
        "bends (the world's at 1, the fit's at the mean exposures), the money model wrong",
        ("hbmmm", "hbmmm_two_part", "within_consumer"),
        "No oracle: it scales known effects that add up in dollars; here expected dollars are a product of two parts.",
    ),
    "log1p": (
        "log1p of dollars is linear in exposures: the log1p model's shape is right, the money model's wrong; dollars "
        "are judged against dollars, log points against log points",
        ("hbmmm_log1p", "hbmmm", "within_consumer"),
        "No oracle: it scales known effects that add up in dollars; here effects multiply.",
    ),
}
LABELS = {
    "oracle": "oracle (noise floor), dollars",
    "hbmmm": "HBMMM, money, dollars",
    "hbmmm_two_part": "HBMMM, two parts, dollars",
    "within_consumer": "within consumer, dollars",
    "hbmmm_log1p": "HBMMM, log1p, log points",
}
KEYS = ["channel_id", "estimand", "exposure_distribution"]
NUMBERS = ["mean", "standard_deviation", "interval_lower", "interval_upper"]


def main() -> None:
    """Judge the worlds, write outcomes.json and outcomes.md."""
    from models.evaluation.acceptance import relative_table
    from models.simulate.hurdle_worlds import hurdle_seeds
    from models.simulate.study_worlds import SEED, WORLD_KINDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument(
        "--finished", action="store_true", help="the page of the worlds judged so far, no new ones"
    )
    add_arguments(parser)
    arguments = parser.parse_args()
    options = hbmmm_options(arguments)
    begun = time.perf_counter()
    jobs = {}
    for kind in arguments.kinds:
        count = arguments.worlds
        seeds = hurdle_seeds(count) if kind == "hurdle" else WORLD_KINDS[kind].seeds(count)
        jobs |= {job_key((kind, seed)): (kind, seed, options) for seed in seeds}
    path = FOLDER / f"outcomes-{fingerprint(judge, sorted(options.items()))}.jsonl"
    planned = {kind: sum(j[0] == kind for j in jobs.values()) for kind in arguments.kinds}
    if arguments.finished:
        known = finished_jobs(path)
        jobs = {key: job for key, job in jobs.items() if key in known}
    found = run_jobs(path, jobs, judge, arguments.processes)
    errors = {key: one["error"] for key, one in found.items() if "error" in one}
    scores = pd.concat([pd.DataFrame(one["rows"]) for one in found.values() if "rows" in one])
    table = relative_table(scores.reset_index(drop=True))
    content = {
        "command": make_command("study-outcomes"),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "seed": SEED,
        "seeds": {kind: [j[1] for j in jobs.values() if j[0] == kind] for kind in arguments.kinds},
        "planned": planned,
        "hbmmm_options": options,
        "errors": errors,
        "zeros_share": scores.groupby("world")["zeros_share"].mean().to_dict(),
        "seconds": scores.groupby(["world", "method"])["seconds"].mean().unstack().to_dict("index"),
        "effects": table.to_dict("records"),
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outcomes.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content, table)
    (folder / "outcomes.md").write_text(text, encoding="utf-8")
    print(text)


def judge(kind: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Rows of one world, every method with its truth, or the error one ended with."""
    from models.errors import ConvergenceError, PanelError
    from models.evaluation.estimators import ESTIMATORS
    from models.evaluation.oracle_effects import oracle_effects

    world, panel, dollars, log_points = draw_world(kind, seed)
    parts = []
    for method in KINDS[kind][1]:
        begun = time.process_time()
        try:
            if method == "oracle":
                table = oracle_effects(world, panel)
            elif method == "hbmmm_log1p":
                table = ESTIMATORS["hbmmm"](panel, options | {"outcome": "log1p"}).channel
            else:
                table = ESTIMATORS[method](panel, options if method.startswith("hbmmm") else {}).channel
        except (ConvergenceError, PanelError) as error:
            return {"error": f"{method}: {type(error).__name__}: {error}"}
        truth = log_points if method == "hbmmm_log1p" else dollars
        kept = table[[*KEYS, *NUMBERS]].merge(truth, on=KEYS)
        parts.append(kept.assign(method=method, seconds=time.process_time() - begun))
    rows = pd.concat(parts, ignore_index=True).assign(
        world=kind, seed=seed, gmv=float(panel.gmv.sum()), zeros_share=float((panel.gmv == 0).mean())
    )
    return {"rows": rows.to_dict("list")}


def draw_world(kind: str, seed: int) -> tuple[Any, Any, pd.DataFrame, pd.DataFrame | None]:
    """The world where it has one, its panel, and truth by KEYS: in dollars, and in log points where that is known."""
    import numpy as np

    from benchmarks.log_truth import log_truth
    from models.simulate.consumers import simulate_consumers
    from models.simulate.hurdle_worlds import HurdleWorldConfig, simulate_hurdle_world
    from models.simulate.study_worlds import WORLD_KINDS

    if kind == "hurdle":
        panel, truth = simulate_hurdle_world(HurdleWorldConfig(1_000), np.random.default_rng(seed))
        return None, panel, truth.rename(columns={"value": "truth"}), None
    world = simulate_consumers(WORLD_KINDS[kind].config, np.random.default_rng(seed))
    truth = world.truth["channel"]
    truth = truth[truth["unit"].str.startswith("USD")].rename(columns={"value": "truth"})
    return world, world.to_panel(), truth[[*KEYS, "truth"]], log_truth(world)


def page(content: dict[str, Any], table: pd.DataFrame) -> str:
    """The study for people."""
    where = content["provenance"]
    lines = [
        "# Which outcome: money, two parts, log1p",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB. "
        f"Seeds derive from {content['seed']} (models/simulate/study_worlds.py, hurdle_worlds.py).",
        "",
        "Errors are of the mean over worlds, in percent of the mean truth, +- their Monte-Carlo error; in brackets the "
        "coverage of 95 % intervals. `retargeting` has no effect: its error is in the estimand's unit. *att*: exposed "
        "against not exposed, over exposed rows (the contribution over their number).",
        "",
    ]
    for kind, (description, methods, oracle) in KINDS.items():
        part = table[table["world"] == kind]
        if part.empty:
            continue
        zeros = content["zeros_share"][kind]
        finished = f"{int(part['worlds'].max())} of {content['planned'][kind]} worlds"
        cpu = ", ".join(f"{LABELS[m]} {content['seconds'][kind][m]:.0f}" for m in methods)
        lines += [
            f"## {kind}",
            "",
            f"{finished}, {zeros:.0%} of rows without a purchase; {description}. {oracle} CPU seconds a world: "
            f"{cpu}.",
            "",
        ]
        for estimand, distribution in (("slope", "panel_rows"), ("att_exposed", "exposed_rows")):
            chosen = part[(part["estimand"] == estimand) & (part["exposure_distribution"] == distribution)]
            channels = list(dict.fromkeys(chosen["channel_id"]))
            name = "effect of one more exposure" if estimand == "slope" else "att"
            lines += [f"| {name} | " + " | ".join(channels) + " |", "|---" * (len(channels) + 1) + "|"]
            for method in methods:
                rows = chosen[chosen["method"] == method].set_index("channel_id")
                cells = [_cell(rows.loc[c]) if c in rows.index else "-" for c in channels]
                lines.append(f"| {LABELS[method]} | " + " | ".join(cells) + " |")
            lines.append("")
    if content["errors"]:
        lines += ["Ended in an error: " + "; ".join(f"{k}: {v}" for k, v in content["errors"].items()), ""]
    lines += [f"HBMMM options: `{json.dumps(content['hbmmm_options'])}`."]
    return "\n".join(lines) + "\n"


def _cell(row: pd.Series) -> str:
    covered = f" ({row['coverage']:.2f})" if row["coverage"] == row["coverage"] else ""
    if row["truth"] == 0:
        return f"{row['bias']:.3g} +- {row['monte_carlo_error']:.2g}{covered}"
    error = 100 * row["relative_monte_carlo_error"]
    return f"{100 * row['relative_error']:.1f} +- {error:.1f} %{covered}"


if __name__ == "__main__":
    main()
