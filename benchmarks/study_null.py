"""How often a channel without effect, the most targeted of all, is found to have one (`make study-null`)."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import pandas as pd

from benchmarks.judged import (
    add_arguments,
    hbmmm_options,
    judge_worlds,
    lost_text,
    sampler_summary,
    sampler_text,
)
from benchmarks.machine import ROOT, make_command, provenance

KIND, PRIMARY = "null_channel", "hbmmm"
METHODS = ("oracle", PRIMARY, "within_consumer", "pooled_ols", "pooled_ols_covariates")
#: What was known of these seeds before: an earlier model's run over the first of them (its page, by commit).
LOOKED_AT = {"worlds": 200, "alarms": 11, "method": PRIMARY, "page_commit": "f80942d"}


def main() -> None:
    """Judge the worlds, write null.json and null.md."""
    from models.evaluation.acceptance import FALSE_ALARM_BOUND, false_alarms
    from models.evaluation.recovery import recovery_table
    from models.simulate.study_worlds import NULL_CHANNEL, SEED, WORLD_KINDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=WORLD_KINDS[KIND].worlds_count)
    add_arguments(parser)
    arguments = parser.parse_args()
    options = hbmmm_options(arguments)
    methods = {name: options if name == PRIMARY else {} for name in METHODS}
    seeds = WORLD_KINDS[KIND].seeds(arguments.worlds)
    begun = time.perf_counter()
    tables, runs = judge_worlds("null", {KIND: seeds}, {KIND: methods}, arguments.processes)
    scores = tables["channel"]
    alarms = with_fresh_alarms(false_alarms(scores, NULL_CHANNEL), scores, seeds[LOOKED_AT["worlds"] :])
    run = runs[KIND]
    judged = alarms[(alarms["method"] == PRIMARY) & (alarms["estimand"] == "slope")]
    judged = judged[judged["exposure_distribution"] == "panel_rows"].iloc[0]
    complete = judged["worlds"] == WORLD_KINDS[KIND].worlds_count
    holds = bool(judged["upper_limit"] <= FALSE_ALARM_BOUND)
    recovery = recovery_table(scores[scores["channel_id"] != NULL_CHANNEL])
    recovery = recovery[
        (recovery["estimand"] == "slope") & (recovery["exposure_distribution"] == "panel_rows")
    ]
    content = {
        "command": make_command("study-null"),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "seed": SEED,
        "seeds": list(seeds),
        "looked_at_before": LOOKED_AT,
        "hbmmm_options": options,
        **run,
        "bound": FALSE_ALARM_BOUND,
        "passed": holds if complete else None,
        "sampler": sampler_summary(scores[scores["method"] == PRIMARY]),
        "alarms": alarms.to_dict("records"),
        "other_channels": recovery.to_dict("records"),
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "null.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content, alarms, recovery)
    (folder / "null.md").write_text(text, encoding="utf-8")
    print(text)


def with_fresh_alarms(
    alarms: pd.DataFrame, scores: pd.DataFrame, fresh_seeds: tuple[int, ...]
) -> pd.DataFrame:
    """`false_alarms` with columns fresh_alarms, _worlds and _upper_limit of those seeds (0, 0, 1: none)."""
    from models.evaluation.acceptance import false_alarms
    from models.evaluation.recovery import KEYS
    from models.simulate.study_worlds import NULL_CHANNEL

    none = {"fresh_alarms": 0, "fresh_worlds": 0, "fresh_upper_limit": 1.0}
    fresh = scores[scores["seed"].isin(fresh_seeds)]
    if fresh.empty:
        return alarms.assign(**none)
    counts = false_alarms(fresh, NULL_CHANNEL).rename(columns=lambda name: f"fresh_{name}")
    keys = ["world", "method", *KEYS]
    counts = counts.rename(columns={f"fresh_{name}": name for name in keys})
    return alarms.merge(counts[[*keys, *none]], on=keys, how="left").fillna(none)


def page(content: dict[str, Any], alarms: pd.DataFrame, recovery: pd.DataFrame) -> str:
    """The study for people."""
    from models.simulate.study_worlds import NULL_CHANNEL, WORLD_KINDS

    where, config = content["provenance"], WORLD_KINDS[KIND].config
    outcome = {True: "**passed**", False: "**failed**", None: "**not evaluated, because worlds are missing**"}
    lines = [
        "# A channel without effect: how often is it found to have one?",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB; "
        f"{content['cpu_seconds_mean']:.1f} CPU seconds a world, seeds derived from {content['seed']}.",
        "",
        f"{content['worlds']} worlds of {config.consumers_count} consumers, {config.markets_count} markets, "
        f"{config.pre_periods_count} + {config.periods_count - config.pre_periods_count} months; `{NULL_CHANNEL}` has "
        "no effect and follows the unrecorded wish to buy most closely of all channels. An alarm is a 95 % interval "
        "that excludes zero.",
        "",
        f"Bound: one-sided 95 % Clopper-Pearson upper limit of the rate of `{PRIMARY}` (slope) at most "
        f"{content['bound']:.0%}: {outcome[content['passed']]}.",
        "",
        f"The first {LOOKED_AT['worlds']} of these seeds were looked at once before, on an older model (page of "
        f"commit {LOOKED_AT['page_commit']}): {LOOKED_AT['alarms']} of {LOOKED_AT['worlds']} were alarms of "
        f"`{PRIMARY}` (slope). The number of worlds was raised after that and before the present model was run, so "
        "alarms among the seeds that nobody had looked at stand apart. The oracle knows everything but the sizes of "
        "the effects: the noise floor.",
        "",
        "| method | estimand | alarms | rate | upper limit | among fresh seeds | upper limit there "
        "| mean error, in Monte-Carlo errors | mean width |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in alarms[alarms["exposure_distribution"] == "panel_rows"].itertuples():
        lines.append(
            f"| {row.method} | {row.estimand} | {row.alarms} of {row.worlds} | {row.rate:.3f} | {row.upper_limit:.3f} "
            f"| {row.fresh_alarms:.0f} of {row.fresh_worlds:.0f} | {row.fresh_upper_limit:.3f} "
            f"| {row.bias:.3g} ({row.bias_z:.1f}) | {row.mean_width:.3g} |"
        )
    lines += [
        "",
        "The channels with an effect, in the same worlds (slope):",
        "",
        "| method | channel | truth | mean error (in Monte-Carlo errors) | coverage | mean width |",
        "|---|---|---|---|---|---|",
    ]
    for row in recovery.itertuples():
        lines.append(
            f"| {row.method} | {row.channel_id} | {row.truth:.3f} | {row.bias:.3f} ({row.bias_z:.1f}) "
            f"| {row.coverage:.3f} | {row.mean_width:.2f} |"
        )
    lines += [
        "",
        f"HBMMM: `{json.dumps(content['hbmmm_options'])}`; {sampler_text(content['sampler'])}; "
        f"{lost_text(content) or 'no method lost a world'}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
