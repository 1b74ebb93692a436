"""Carry-over chosen on simulated worlds (`make study-carryover`): true decays, criteria side by side, both horizons.

Worlds have email, tv and a null channel that is targeted the most; truth is additive, saturating dollars with the true
decays (models/simulate). Decays are chosen by models/hbmmm/carryover.py on the panel that is then fitted; its defaults
were set on other worlds. Fits are normal approximations.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, run_jobs
from benchmarks.machine import ROOT, provenance

SEED = 20261123
CONSUMERS, MARKETS, PERIODS = 800, 6, 20
STRENGTH = 2.0  # slopes as a multiple of the paper's: at its own strength 800 consumers say next to nothing of decays
DECAYS = (
    {"email": 0.0, "tv": 0.0},
    {"email": 0.5, "tv": 0.5},
    {"email": 0.3, "tv": 0.7},
    {"email": 0.7, "tv": 0.7},
)
WORLDS, PROCESSES = 20, 2
KEYS = ["channel_id", "estimand", "exposure_distribution", "horizon"]
SHOWN = ("slope", "contribution")


def one_world(number: int) -> dict[str, Any]:
    """Choice, criteria and effects of one world, numbers only."""
    from models.hbmmm.carryover import CarryoverConfig, choose_carryover, fit_carryover
    from models.hbmmm.carryover_effects import carryover_effects
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.effects import compute_effects
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics
    from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig
    from models.simulate.consumers import simulate_consumers

    begun = time.process_time()
    decays = DECAYS[number % len(DECAYS)]
    channels = tuple(
        replace(
            c, carryover=decays[c.name], slope_mean=STRENGTH * c.slope_mean, slope_sd=STRENGTH * c.slope_sd
        )
        for c in PAPER_CHANNELS
        if c.name in decays
    )
    settings = ConsumerWorldConfig(
        consumers_count=CONSUMERS, markets_count=MARKETS, periods_count=PERIODS, channels=channels
    )
    world = simulate_consumers(settings, np.random.default_rng([SEED, number]))
    panel = world.to_panel()
    config = HBMMMConfig(
        inference="laplace", draws=250, effect_draws=1000, imputations_count=2, seed=SEED + number
    )
    base = fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, config)
    started = time.process_time()
    choice = choose_carryover(panel, base, CarryoverConfig(seed=SEED + number))
    chosen = time.process_time()
    fitted = fit_carryover(panel, base, choice)
    effects = carryover_effects(fitted, panel).channel
    truth = pd.concat([world.truth["channel"], world.total_truth["channel"]]).set_index(KEYS)["value"]
    tables = {"mixture": effects, "no carry-over": compute_effects(base, panel).channel}
    rows = []
    for method, table in tables.items():
        table = table[table["estimand"].isin(SHOWN) & (table["exposure_distribution"] == "panel_rows")]
        for row in table.join(truth.rename("truth"), on=KEYS).itertuples():
            rows.append(
                {name: getattr(row, name) for name in ("channel_id", "estimand", "horizon", "mean", "truth")}
                | {"method": method, "lower": row.interval_lower, "upper": row.interval_upper}
                | {"standard_deviation": row.standard_deviation}
            )
    found = criteria(panel, base, choice, decays)
    return {
        "number": number,
        "cpu_seconds": time.process_time() - begun,
        "decays": decays,
        "rows_count": panel.rows_count,
        "scored": len(choice.scores),
        "is_refuted": choice.is_refuted,
        "drawn": len(choice.drawn),
        "probabilities": choice.decay_probabilities.to_dict("records"),
        "criteria": found,
        "effects": rows,
        "cpu_seconds_choice": chosen - started,
    }


def criteria(panel: Any, base: Any, choice: Any, decays: dict[str, float]) -> list[dict[str, Any]]:
    """What each criterion says of tv's decay, the others at the truth (the null channel at 0)."""
    from models.hbmmm.candidate_scores import Scorer
    from models.hbmmm.statistics import SufficientStatistics

    plain = SufficientStatistics.from_panel(panel)
    folds = np.random.default_rng(SEED).permutation(len(plain.consumer_ids)) % choice.config.folds
    grid = list(choice.config.decays)
    out = []
    for strata, name in ((choice.config.noise_strata, "own variance"), (None, "pre-period spend")):
        scorer = Scorer(
            panel, plain, base.design.characteristics, base.completed[0], base.config, folds, strata
        )
        scores = []
        for decay in grid:
            own = [decay if c == "tv" else decays.get(c, 0.0) for c in panel.channel_ids]
            scores.append(scorer.score(own, scores[-1].mode if scores else None))
        evidence = np.array([s.log_evidence for s in scores])
        at = grid.index(decays["tv"])
        out.append(criterion(f"log marginal likelihood, noise by {name}", evidence, at))
        if strata is not None:
            error = np.array([scorer.held_out(s).sum() for s in scores])
            out.append(criterion("held-out money error", -error, at) | {"log_loss_at_truth": None})
    return out


def criterion(name: str, score: np.ndarray, truth: int) -> dict[str, Any]:
    """Pick, its distance from the truth in steps of the grid, how far the truth's log evidence is below the best."""
    pick = int(score.argmax())
    return {
        "criterion": name,
        "steps_off": abs(pick - truth),
        "log_loss_at_truth": float(score.max() - score[truth]),
    }


def main() -> None:
    """Run the worlds, write docs/studies/carryover.json and .md."""
    from models.hbmmm.carryover import CarryoverConfig

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--output", default="docs/studies", help="folder, from the root of the checkout")
    arguments = parser.parse_args()
    settings = (SEED, CONSUMERS, MARKETS, PERIODS, STRENGTH, DECAYS)
    path = FOLDER / f"carryover-{fingerprint(one_world, settings)}.jsonl"
    jobs = {f"world {number}": (number,) for number in range(arguments.worlds)}
    found = list(run_jobs(path, jobs, one_world, arguments.processes).values())
    content = {
        "command": command(arguments),
        "provenance": provenance(),
        "cpu_seconds_mean": float(np.mean([one["cpu_seconds"] for one in found])),
        "seed": SEED,
        "worlds_count": len(found),
        "decays": decay_table(found).to_dict("records"),
        "criteria": criteria_table(found).to_dict("records"),
        "effects": effects_table(found).to_dict("records"),
        "refuted": sum(one["is_refuted"] for one in found),
        "prior_mean_decay": float(np.mean(CarryoverConfig().decays)),
        "scored_mean": float(np.mean([one["scored"] for one in found])),
        "drawn_mean": float(np.mean([one["drawn"] for one in found])),
        "rows_mean": float(np.mean([one["rows_count"] for one in found])),
        "cpu_seconds_choice_mean": float(np.mean([one["cpu_seconds_choice"] for one in found])),
        "worlds": found,
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "carryover.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "carryover.md").write_text(page(content), encoding="utf-8")
    print(page(content))


def command(arguments: argparse.Namespace) -> str:
    """What repeats the study."""
    given = f' STUDY="--worlds {arguments.worlds}"' if arguments.worlds != WORLDS else ""
    return f"make study-carryover{given}"


def decay_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """By true decay of a channel: weight on it, on it and its neighbours, mean decay of the mixture."""
    rows = []
    for one in found:
        table = pd.DataFrame(one["probabilities"])
        for channel, part in table.groupby("channel_id"):
            truth = one["decays"].get(channel)
            grid, p = part["decay"].to_numpy(), part["probability"].to_numpy()
            place = None if truth is None else int(np.flatnonzero(grid == truth)[0])
            rows.append(
                {
                    "kind": "null channel" if truth is None else f"decay {truth:g}",
                    "on_truth": np.nan if place is None else p[place],
                    "near_truth": np.nan if place is None else p[max(place - 1, 0) : place + 2].sum(),
                    "on_zero": p[grid == 0].sum(),
                    "mean_decay": float(p @ grid),
                }
            )
    table = (
        pd.DataFrame(rows)
        .groupby("kind")
        .agg(
            channels=("on_zero", "size"),
            on_truth=("on_truth", "mean"),
            near_truth=("near_truth", "mean"),
            on_zero=("on_zero", "mean"),
            mean_decay=("mean_decay", "mean"),
        )
    )
    return table.astype(object).where(table.notna(), None).reset_index()


def criteria_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """By criterion: picks of the true decay, within one step, mean log loss at the truth."""
    rows = pd.DataFrame([row for one in found for row in one["criteria"]])
    rows["log_loss_at_truth"] = rows["log_loss_at_truth"].astype(float)
    table = rows.groupby("criterion", sort=False).agg(
        worlds=("steps_off", "size"),
        right=("steps_off", lambda s: int((s == 0).sum())),
        within_one_step=("steps_off", lambda s: int((s <= 1).sum())),
        steps_off=("steps_off", "mean"),
        log_loss_at_truth=("log_loss_at_truth", "mean"),
    )
    return table.astype(object).where(table.notna(), None).reset_index()


def effects_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """By method, estimand, horizon, kind of channel and of world: mean truth, bias, coverage, width."""
    rows = pd.DataFrame(
        [row | {"carries": max(one["decays"].values()) > 0} for one in found for row in one["effects"]]
    )
    rows["world"] = np.where(rows["carries"], "carry-over", "none")
    rows["channel"] = rows["channel_id"].where(rows["channel_id"] != "retargeting", "null channel")
    rows["error"] = rows["mean"] - rows["truth"]
    rows["covered"] = (rows["lower"] <= rows["truth"]) & (rows["truth"] <= rows["upper"])
    rows["width"] = rows["upper"] - rows["lower"]
    keys = ["estimand", "horizon", "world", "method", "channel"]
    return (
        rows.groupby(keys)
        .agg(
            worlds=("error", "size"),
            truth=("truth", "mean"),
            bias=("error", "mean"),
            error_of_bias=("error", lambda e: float(e.std() / np.sqrt(len(e))) if len(e) > 1 else 0.0),
            covered=("covered", "sum"),
            width=("width", "mean"),
        )
        .reset_index()
    )


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where = content["provenance"]
    lines = [
        "# Carry-over of exposure, chosen and carried",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB, "
        f"{content['cpu_seconds_mean']:.0f} CPU seconds a world, seed {content['seed']}.",
        "",
        f"{content['worlds_count']} worlds of {CONSUMERS} consumers, {MARKETS} markets, {PERIODS} months "
        f"({content['rows_mean']:.0f} rows), channels email and tv at {STRENGTH:g} times the paper's slopes and a null "
        "channel targeted the most; outcomes are compound Poisson-Gamma dollars, additive and saturating in adstock. "
        f"{content['scored_mean']:.0f} candidates scored and {content['drawn_mean']:.0f} fitted a world "
        f"({content['cpu_seconds_choice_mean']:.0f} CPU seconds for the choice); fits are normal approximations. "
        f"Held-out error took all weight of what was drawn in {content['refuted']} worlds.",
        "",
        "## Decays",
        "",
        "| channel with | channels | weight on the truth | and its neighbours | on decay 0 | mean decay |",
        "|---|---|---|---|---|---|",
    ]
    for row in content["decays"]:
        lines.append(
            f"| {row['kind']} | {row['channels']} | {_number(row['on_truth'])} | {_number(row['near_truth'])} | "
            f"{_number(row['on_zero'])} | {_number(row['mean_decay'])} |"
        )
    lines += [
        "",
        "The null channel has no decay to find: an honest posterior of it is the prior, mean decay "
        f"{content['prior_mean_decay']:.2f}.",
        "",
        "## Which criterion finds the true decay of tv (email at its truth, the null channel at 0)",
        "",
        "| criterion | worlds | right | within one step | mean steps off | mean log loss at the truth |",
        "|---|---|---|---|---|---|",
    ]
    for row in content["criteria"]:
        lines.append(
            f"| {row['criterion']} | {row['worlds']} | {row['right']} | {row['within_one_step']} | "
            f"{row['steps_off']:.2f} | {_number(row['log_loss_at_truth'])} |"
        )
    lines += [
        "",
        "The log loss is how far the log marginal likelihood of the truth lies below the best candidate's: about one "
        "half where weights are honest (half a chi-squared of one degree of freedom); more is overconfidence.",
        "",
        "## Effects (USD; slope per exposure over panel rows, contribution over the panel)",
        "",
        "| estimand | horizon | world | method | channel | truth | bias | covered | mean width |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in content["effects"]:
        lines.append(
            f"| {row['estimand']} | {row['horizon']} | {row['world']} | {row['method']} | {row['channel']} | "
            f"{row['truth']:,.2f} | {row['bias']:,.2f} +- {row['error_of_bias']:,.2f} | {row['covered']} of "
            f"{row['worlds']} | {row['width']:,.2f} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
