"""Consumer-level estimators on confounded worlds with known truth (`make study-worlds`): errors and verdicts."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
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
from benchmarks.world_placebos import identification_lines, identification_table, placebos_of_worlds

PRIMARY = "hbmmm"
KINDS = ("confounded", "confounded_large", "feedback", "time_varying_confounding")
JUDGED = ("confounded", "confounded_large")  # the others are published as they come out
LABELS = {
    "oracle": "oracle (noise floor)",
    "hbmmm": "HBMMM",
    "within_consumer": "within consumer",
    "random_effects": "random effects without Mundlak",
    "aipw_lagged": "AIPW, lagged history",
    "ipw_characteristics": "IPW on W alone",
    "pooled_ols": "OLS",
    "pooled_ols_covariates": "OLS with covariates",
}
LARGE_METHODS = (
    "oracle",
    "hbmmm",
    "within_consumer",
    "random_effects",
    "pooled_ols",
)  # the others hold all rows
RIVALS = ("hbmmm_pooled", "within_consumer_pooled", "within_consumer")  # the last: each market on its own


def methods_of(kind: str, options: dict[str, Any]) -> dict[str, dict]:
    """Estimators of a kind of world with their options."""
    names = LARGE_METHODS if kind == "confounded_large" else tuple(LABELS)
    return {name: options if name == PRIMARY else {} for name in names}


def main() -> None:
    """Judge the worlds, write worlds.json, worlds.md and the picture."""
    from models.evaluation.acceptance import (
        market_errors,
        relative_table,
        segment_orders,
        with_contribution_sums,
    )
    from models.simulate.study_worlds import NULL_CHANNEL, SEED, WORLD_KINDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--worlds", type=int, help="at most so many of each kind; all by default")
    add_arguments(parser)
    arguments = parser.parse_args()
    options = hbmmm_options(arguments)
    planned = {kind: WORLD_KINDS[kind].worlds_count for kind in arguments.kinds}
    seeds = {
        kind: WORLD_KINDS[kind].seeds(min(arguments.worlds or count, count))
        for kind, count in planned.items()
    }
    begun = time.perf_counter()
    methods = {kind: methods_of(kind, options) for kind in seeds}
    tables, runs = judge_worlds("worlds", seeds, methods, arguments.processes)
    scores = with_contribution_sums(tables["channel"], NULL_CHANNEL)
    table = relative_table(scores)
    markets, orders = market_errors(tables["market"]), segment_orders(tables["segment"])
    identified = identification_table(
        placebos_of_worlds(seeds, arguments.processes), tables["channel"], PRIMARY
    )
    found = {
        kind: verdicts(kind, table, tables["market"], orders, runs[kind]["lost"].get(PRIMARY, 0))
        for kind in JUDGED
        if kind in runs
    }
    fitted = tables["channel"][tables["channel"]["method"] == PRIMARY]
    content = {
        "command": make_command("study-worlds"),
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "seed": SEED,
        "seeds": {kind: list(values) for kind, values in seeds.items()},
        "planned": planned,
        "runs": runs,
        "hbmmm_options": options,
        "sampler": {kind: sampler_summary(part) for kind, part in fitted.groupby("world")},
        "verdicts": {kind: [v.as_dict() for v in values] for kind, values in found.items()},
        "effects": table.to_dict("records"),
        "markets": markets.to_dict("records"),
        "segments": orders.to_dict("records"),
        "identification": identified.to_dict("records"),
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "worlds.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = page(content, table, markets, orders, identified)
    (folder / "worlds.md").write_text(text, encoding="utf-8")
    if "confounded" in runs:
        (folder / "worlds_errors.png").write_bytes(picture(table[table["world"] == "confounded"]))
    print(text)


def verdicts(
    kind: str, table: pd.DataFrame, markets: pd.DataFrame, orders: pd.DataFrame, worlds_lost: int
) -> list[Any]:
    """The bounds of a kind of world.

    worlds_lost: those in which the judged method ended in an error; every verdict says so, as it leaves them out.
    """
    from models.evaluation.acceptance import channel_verdicts, market_verdicts, order_verdict
    from models.simulate.study_worlds import NULL_CHANNEL

    which = {"world": kind, "method": PRIMARY}
    found = channel_verdicts(table, null_channel=NULL_CHANNEL, **which)
    found.append(order_verdict(orders, **which))
    found += market_verdicts(markets, null_channel=NULL_CHANNEL, rivals=RIVALS, **which)
    return [replace(verdict, worlds_lost=worlds_lost) for verdict in found]


# ------------------------------------------------------------------------------------ the page
def page(
    content: dict[str, Any],
    table: pd.DataFrame,
    markets: pd.DataFrame,
    orders: pd.DataFrame,
    identified: pd.DataFrame,
) -> str:
    """The study for people."""
    from models.simulate.study_worlds import WORLD_KINDS

    where = content["provenance"]
    lines = [
        "# Known truth: consumer-level effects under targeting",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB. "
        f"Settings and seeds (derived from {content['seed']}): `models/simulate/study_worlds.py`.",
        "",
        "Errors are of the mean over worlds, in percent of the mean truth, +- their Monte-Carlo error; in brackets the "
        "coverage of 95 % intervals. The oracle knows everything but the sizes of the effects: its error is the noise "
        "floor. `retargeting` has no effect: its contribution is in percent of GMV.",
        "",
    ]
    for kind, run in content["runs"].items():
        lines += _kind_heading(WORLD_KINDS[kind], run, content)
        if kind in content["verdicts"]:
            lines += _verdict_lines(content["verdicts"][kind])
        if kind == "confounded":
            lines += ["![Errors of every method](worlds_errors.png)", ""]
        part = table[table["world"] == kind]
        lines += ["Effect of one more exposure (slope over panel rows):", ""]
        lines += _error_table(part, "slope", "panel_rows")
        lines += ["Contributions:", ""]
        lines += _error_table(part, "contribution", "panel_rows")
        lines += ["Exposed against not exposed, over exposed rows (att_exposed):", ""]
        lines += _error_table(part, "att_exposed", "exposed_rows")
        lines += identification_lines(identified[identified["world"] == kind])
        lines += _market_lines(markets[markets["world"] == kind])
        lines += _segment_lines(orders[orders["world"] == kind])
    lines += [f"HBMMM options: `{json.dumps(content['hbmmm_options'])}`."]
    return "\n".join(lines) + "\n"


def _kind_heading(kind: Any, run: dict[str, Any], content: dict[str, Any]) -> list[str]:
    config = kind.config
    months = config.periods_count - config.pre_periods_count
    lines = [
        f"## {kind.name}",
        "",
        f"{run['finished']} of {kind.worlds_count} planned worlds of {config.consumers_count:,} consumers, "
        f"{config.markets_count} markets, {config.pre_periods_count} + {months} months: {kind.description}. "
        f"{run['cpu_seconds_mean']:.0f} CPU seconds a world.",
        "",
    ]
    if kind.name in content["sampler"]:
        lines += [f"HBMMM: {sampler_text(content['sampler'][kind.name])}.", ""]
    if run["errors"]:
        lines += [f"Ended in an error: {lost_text(run)}.", ""]
    return lines


def _verdict_lines(found: list[dict[str, Any]]) -> list[str]:
    outcome = {True: "passed", False: "**failed**", None: "not evaluated"}
    lines = ["| bound on the HBMMM | of | found | asked | worlds lost | |", "|---|---|---|---|---|---|"]
    for one in found:
        is_rmse, error = one["criterion"].startswith("market"), one["monte_carlo_error"]
        value = f"{one['value']:.3g}" if is_rmse else f"{100 * one['value']:.1f}"
        value += f" +- {100 * error:.1f} %" if error == error else "" if is_rmse else " %"
        value = "-" if one["value"] != one["value"] else value
        lines.append(
            f"| {one['criterion']} | {one['subject']} | {value} | {one['bound']} | {one['worlds_lost']} "
            f"| {outcome[one['passed']]} |"
        )
    return [*lines, ""]


def _error_table(part: pd.DataFrame, estimand: str, distribution: str) -> list[str]:
    """Methods by channels; a channel without effect in percent of GMV (contributions) or in its own unit."""
    chosen = part[(part["estimand"] == estimand) & (part["exposure_distribution"] == distribution)]
    channels = list(dict.fromkeys(chosen["channel_id"]))
    lines = ["| | " + " | ".join(channels) + " |", "|---" * (len(channels) + 1) + "|"]
    for method, label in LABELS.items():
        rows = chosen[chosen["method"] == method].set_index("channel_id")
        if len(rows):
            cells = [_cell(rows.loc[c], estimand) if c in rows.index else "-" for c in channels]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _cell(row: pd.Series, estimand: str) -> str:
    covered = f" ({row['coverage']:.2f})" if row["coverage"] == row["coverage"] else ""
    if row["truth"] != 0:
        return (
            f"{100 * row['relative_error']:.1f} +- {100 * row['relative_monte_carlo_error']:.1f} %{covered}"
        )
    if estimand == "contribution":
        error = 100 * row["gmv_share_monte_carlo_error"]
        return f"{100 * row['gmv_share']:.2f} +- {error:.2f} % of GMV{covered}"
    return f"{row['bias']:.3g} +- {row['monte_carlo_error']:.2g} USD{covered}"


def _market_lines(markets: pd.DataFrame) -> list[str]:
    if markets.empty:
        return []
    wide = markets.pivot(index="method", columns="channel_id", values="rmse")
    lines = [
        "Market slopes, root mean square error in dollars per exposure (`_pooled`: the channel's estimate for every "
        "market; within_consumer: each market's own regression):",
        "",
        "| | " + " | ".join(wide.columns) + " |",
        "|---" * (len(wide.columns) + 1) + "|",
    ]
    lines += [f"| {m} | " + " | ".join(f"{v:.4f}" for v in row) + " |" for m, row in wide.iterrows()]
    return [*lines, ""]


def _segment_lines(orders: pd.DataFrame) -> list[str]:
    if orders.empty:
        return []
    lines = [
        "Order of two segments' slopes (HBMMM), decidable where the true gap exceeds 3 standard errors of the gap:",
        "",
        "| channel | pairs | not decidable | right | wrong | largest true gap, in standard errors |",
        "|---|---|---|---|---|---|",
    ]
    for row in orders.itertuples():
        lines.append(
            f"| {row.channel_id} | {row.pairs} | {row.pairs - row.decidable} | {row.right} | {row.wrong} "
            f"| {row.largest_gap:.1f} |"
        )
    return [*lines, ""]


# --------------------------------------------------------------------------------- the picture
def picture(table: pd.DataFrame) -> bytes:
    """Mean errors +- 2 Monte-Carlo errors of every method: slopes above, contributions below; the null in % of GMV."""
    from models.evaluation.acceptance import ALL_REAL, CONTRIBUTION_BOUND, SLOPE_BOUND, SUM_BOUND
    from models.figures.drawing import new_figure, to_png
    from models.simulate.study_worlds import NULL_CHANNEL

    rows = table[table["exposure_distribution"] == "panel_rows"]
    real = [c for c in dict.fromkeys(rows["channel_id"]) if c not in (NULL_CHANNEL, ALL_REAL)]
    bounds = {"slope": SLOPE_BOUND, "contribution": CONTRIBUTION_BOUND}
    panels = [[(e, c, bound) for c in real] for e, bound in bounds.items()]
    panels[0].append(("contribution", NULL_CHANNEL, None))
    panels[1].append(("contribution", ALL_REAL, SUM_BOUND))
    figure, axes = new_figure(3.0 * len(panels[0]), 6.0, 2, len(panels[0]))
    for axis, (estimand, channel, bound) in zip(
        axes.ravel(), [p for row in panels for p in row], strict=True
    ):
        part = rows[(rows["estimand"] == estimand) & (rows["channel_id"] == channel)].set_index("method")
        _forest(axis, part, bound)
        unit = "% of GMV, truth 0" if bound is None else "error, % of truth (logarithmic farther out)"
        axis.set_title(f"{channel}: {estimand}", fontsize=9)
        axis.set_xlabel(unit, fontsize=8)
    for row in axes:
        for axis in row[1:]:
            axis.set_yticklabels([])
    figure.suptitle(
        "Mean error over confounded worlds, +- 2 Monte-Carlo errors; grey: the bound", fontsize=10
    )
    return to_png(figure)


def _forest(axis: Any, part: pd.DataFrame, bound: float | None) -> None:
    """One line a method; errors beyond the linear range are on a logarithmic scale."""
    from models.evaluation.acceptance import NULL_SHARE_BOUND
    from models.figures.drawing import BLUE, GREY, RED

    names = list(LABELS)
    for y, name in enumerate(reversed(names)):
        if name not in part.index:
            continue
        row = part.loc[name]
        if bound is None:
            value, error = 100 * row["gmv_share"], 100 * row["gmv_share_monte_carlo_error"]
        else:
            value, error = 100 * row["relative_error"], 100 * row["relative_monte_carlo_error"]
        colour = BLUE if name == PRIMARY else GREY if name == "oracle" else RED
        axis.errorbar(value, y, xerr=2 * abs(error), fmt="o", color=colour, markersize=4, linewidth=1.2)
    limit = 100 * (NULL_SHARE_BOUND if bound is None else bound)
    axis.axvspan(-limit, limit, color=GREY, alpha=0.2, linewidth=0)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set_xscale("symlog", linthresh=2.5 * limit)
    axis.set_yticks(range(len(names)), [LABELS[n] for n in reversed(names)], fontsize=8)
    ticks = [t for t in (-1000, -100, -10, 0, 10, 100, 1000) if t == 0 or abs(t) > 2.5 * limit]
    low, high = axis.get_xlim()
    axis.set_xticks([t for t in ticks if low <= t <= high])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.tick_params(axis="x", labelsize=7)


if __name__ == "__main__":
    main()
