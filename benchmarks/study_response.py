"""The response model on worlds of known ROI (`make study-response`): error, coverage and width beside the oracle's.

Worlds, seeds and lift tests are those of models/simulate/market_studies.py, committed before any estimator ran. Each
world is fitted with the defaults of ResponseConfig; what else a variant knows is in VARIANTS. Resumes where it was cut.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, provenance

LEVEL = 0.9
PROXY = "demand_proxy"
#: Kind of world -> its variants: what the fit is given besides spend, KPI and the price.
VARIANTS = {
    "identified": ("plain",),
    "confounded": ("plain", "proxy", "lift tests"),
    "national": ("plain",),
    "placebo": ("plain",),
}


def fit_world(kind_name: str, seed: int, variant: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Rows of one world's channels: truth, and mean and interval of the model, the oracle and least squares."""
    from benchmarks.response_rivals import fixed_effects_roi
    from models.response.config import ResponseConfig
    from models.response.fit import fit_response
    from models.response.lift_tests import lift_tests_from_frame
    from models.response.returns import return_table
    from models.simulate.market_lift_tests import lift_tests_frame
    from models.simulate.market_oracle import oracle_roi
    from models.simulate.market_studies import MARKET_WORLD_KINDS, one_test_per_channel

    world = MARKET_WORLD_KINDS[kind_name].world(seed)
    panel = panel_of(world, variant == "proxy")
    tests = ()
    if variant == "lift tests":
        tests = lift_tests_from_frame(lift_tests_frame(one_test_per_channel(world)), "gmv")
    config = ResponseConfig(seed=seed % 2**31, interval_level=LEVEL, **settings)
    if kind_name == "placebo":
        config = replace(config, priors=sign_free(panel.channel_ids))
    wall, cpu = time.perf_counter(), time.process_time()
    fit = fit_response(panel, config, lift_tests=tests)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    ours = return_table(fit).query("estimand == 'roi'").set_index(["market_id", "channel_id"])
    oracle = oracle_roi(world, "total", True, LEVEL).set_index(["market_id", "channel_id"])
    rivals = fixed_effects_roi(panel, LEVEL).set_index("channel_id")
    is_national = ours.index.get_level_values("market_id").isna()
    rows = []
    for channel in world.config.channel_ids:
        of_channel = ours.index.get_level_values("channel_id") == channel
        one = ours[is_national & of_channel].iloc[0]
        known = (
            oracle[oracle.index.get_level_values("market_id").isna()].xs(channel, level="channel_id").iloc[0]
        )
        by_market = ours[~is_national & of_channel].droplevel("channel_id")
        truth = oracle.xs(channel, level="channel_id")["truth"].reindex(by_market.index)
        rows.append(
            {
                "channel_id": channel,
                "truth": float(known["truth"]),
                "model": interval(one),
                "oracle": interval(known),
                "least squares": interval(rivals.loc[channel]),
                "covered_by_market": float(
                    truth.between(by_market["interval_lower"], by_market["interval_upper"]).mean()
                ),
            }
        )
    found = fit.diagnostics
    return {
        "kind": kind_name,
        "variant": variant,
        "seed": seed,
        "rows": rows,
        "r_hat": found.worst_r_hat,
        "ess": found.least_ess,
        "divergences": found.divergences_count,
        "e_bfmi": found.e_bfmi,
        "gradients": found.evaluations_count,
        "seconds": wall,
        "cpu_seconds": cpu,
    }


def interval(row: pd.Series) -> list[float]:
    """Mean, lower, upper."""
    return [float(row[name]) for name in ("mean", "interval_lower", "interval_upper")]


def panel_of(world: Any, with_proxy: bool) -> Any:
    """The world as the model sees it; the proxy of demand only where it is given."""
    from models.response.market_panel import MarketPanel
    from models.simulate.markets import CURRENCY_CODE, mart_frames

    frames = mart_frames(world)
    covariates = frames["market_covariate_periods"]
    if not with_proxy:
        covariates = covariates[covariates["covariate_name"] != PROXY]
    return MarketPanel.from_frames(
        frames["market_periods"],
        frames["market_channel_periods"],
        covariates,
        frames["mediator_periods"],
        currency_code=CURRENCY_CODE,
        period="week",
        population=dict(zip(world.market_ids, world.population, strict=True)),
    )


def sign_free(channel_ids: Any) -> dict[str, Any]:
    """ROI that may be of either sign, as likely as not."""
    from models.response.priors import ChannelPriors, EffectPrior, Normal

    return {str(channel): ChannelPriors(EffectPrior("roi", Normal(0.0, 3.0))) for channel in channel_ids}


def summary(found: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a kind, variant and method: worlds, error (and its standard error), coverage, by market, width."""
    rows = []
    for key in dict.fromkeys((one["kind"], one["variant"]) for one in found):
        chosen = [one for one in found if (one["kind"], one["variant"]) == key]
        for method in ("model", "oracle", "least squares"):
            errors, covered, widths = [], [], []
            for one in chosen:
                real = [row for row in one["rows"] if row["truth"] > 0]
                errors.append(np.mean([abs(row[method][0] / row["truth"] - 1) for row in real]))
                widths += [(row[method][2] - row[method][1]) / row["truth"] for row in real]
                covered += [row[method][1] <= row["truth"] <= row[method][2] for row in one["rows"]]
            several = len(errors) > 1
            rows.append(
                {
                    "kind": key[0],
                    "variant": key[1],
                    "method": method,
                    "worlds": len(chosen),
                    "intervals": len(covered),
                    "error": float(np.mean(errors)),
                    "error_standard_error": float(np.std(errors, ddof=1) / np.sqrt(len(errors)))
                    if several
                    else None,
                    "covered": int(np.sum(covered)),
                    "covered_by_market": float(
                        np.mean([row["covered_by_market"] for one in chosen for row in one["rows"]])
                    )
                    if method == "model"
                    else None,
                    "width": float(np.mean(widths)),
                }
            )
    return pd.DataFrame(rows)


def sampling(found: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a kind and variant: how the chains did."""
    frame = pd.DataFrame([{k: v for k, v in one.items() if k != "rows"} for one in found])
    frame["is_converged"] = (frame["r_hat"] < 1.01) & (frame["ess"] > 400) & (frame["divergences"] == 0)
    return (
        frame.groupby(["kind", "variant"], sort=False)
        .agg(
            worlds=("seed", "size"),
            converged=("is_converged", "sum"),
            r_hat=("r_hat", "max"),
            ess=("ess", "min"),
            divergences=("divergences", "sum"),
            gradients=("gradients", "mean"),
            cpu_seconds=("cpu_seconds", "mean"),
            seconds=("seconds", "mean"),
        )
        .reset_index()
    )


def false_alarms(found: list[dict[str, Any]], channel: str) -> tuple[int, int]:
    """In how many placebo worlds the 90 % interval of a channel without effect excludes 0, and of how many."""
    rows = [row for one in found for row in one["rows"] if row["channel_id"] == channel and row["truth"] == 0]
    return sum(not row["model"][1] <= 0 <= row["model"][2] for row in rows), len(rows)


def page(content: dict[str, Any]) -> str:
    """The Markdown page."""
    where = content["provenance"]
    lines = [
        "# Response model: known ROI recovered",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores. Worlds and seeds: "
        "models/simulate/market_studies.py, fixed before any estimator ran; settings: the defaults of ResponseConfig"
        f"{', ' + str(content['settings']) if content['settings'] else ''}.",
        "",
        "National ROI (total effect) of every channel: mean absolute relative error (with its standard error over "
        "worlds), 90 % intervals that hold the truth, their mean width over the truth. `proxy`: the recorded proxy of "
        "demand is a control; `lift tests`: one test a channel. The oracle knows adstock, curves, noise and demand; "
        "least squares has effects of markets and weeks (national: a line and waves) and spend of the same week.",
        "",
        "| kind | variant | method | worlds | error | covered | by market | width |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["summary"]:
        error = f"{row['error']:.3f}"
        error += f" ({row['error_standard_error']:.3f})" if row["error_standard_error"] is not None else ""
        market = "–" if row["covered_by_market"] is None else f"{row['covered_by_market']:.2f}"
        lines.append(
            f"| {row['kind']} | {row['variant']} | {row['method']} | {row['worlds']} | {error} "
            f"| {row['covered']} of {row['intervals']} ({row['covered'] / row['intervals']:.2f}) | {market} "
            f"| {row['width']:.2f} |"
        )
    lines += [
        "",
        "Chains: how many worlds had R-hat below 1.01, bulk ESS above 400 for every sampled parameter and no "
        "divergence; worst of each; mean gradients and seconds of a fit.",
        "",
        "| kind | variant | worlds | converged | R-hat | ESS | divergences | gradients | CPU s | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in content["sampling"]:
        lines.append(
            f"| {row['kind']} | {row['variant']} | {row['worlds']} | {row['converged']} | {row['r_hat']:.3f} "
            f"| {row['ess']:.0f} | {row['divergences']} | {row['gradients']:.0f} | {row['cpu_seconds']:.0f} "
            f"| {row['seconds']:.0f} |"
        )
    alarms, count = content["false_alarms"]
    if count:
        lines += [
            "",
            f"Placebo channel, sign free: its 90 % interval excludes 0 in {alarms} of {count} worlds.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the worlds, write docs/studies/response.json and .md."""
    from models.simulate.market_studies import MARKET_WORLD_KINDS, PLACEBO_CHANNEL

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=None, help="of each kind at most (all by default)")
    parser.add_argument("--kinds", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--draws", type=int, default=None, help="a chain, in place of the default")
    parser.add_argument("--output", default="docs/studies", help="folder, from the root of the checkout")
    arguments = parser.parse_args()
    settings = {} if arguments.draws is None else {"draws": arguments.draws}
    jobs = {}
    for name in arguments.kinds:
        kind = MARKET_WORLD_KINDS[name]
        for seed in kind.seeds(min(arguments.worlds or kind.worlds_count, kind.worlds_count)):
            for variant in VARIANTS[name]:
                jobs[job_key((name, seed, variant))] = (name, seed, variant, settings)
    here = Path(__file__)
    code = [
        here.read_text(encoding="utf-8"),
        here.with_name("response_rivals.py").read_text(encoding="utf-8"),
    ]
    path = FOLDER / f"response-{fingerprint(settings, code)}.jsonl"
    found = list(run_jobs(path, jobs, fit_world, arguments.processes).values())
    given = [f"--worlds {arguments.worlds}"] if arguments.worlds else []
    given += [f"--kinds {' '.join(arguments.kinds)}"] if len(arguments.kinds) < len(VARIANTS) else []
    given += [f"--draws {arguments.draws}"] if arguments.draws else []
    content = {
        "command": "make study-response" + (f' STUDY="{" ".join(given)}"' if given else ""),
        "provenance": provenance(),
        "settings": settings,
        "interval_level": LEVEL,
        "summary": summary(found).to_dict("records"),
        "sampling": sampling(found).to_dict("records"),
        "false_alarms": false_alarms(found, PLACEBO_CHANNEL),
        "worlds": found,
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "response.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "response.md").write_text(page(content), encoding="utf-8")
    print(page(content))


if __name__ == "__main__":
    main()
