"""The response model on worlds of known ROI (`make study-response`): error, coverage and width beside the oracle's.

Worlds, seeds and lift tests are those of models/simulate/market_studies.py, committed before any estimator ran. Each
world is fitted with the defaults of ResponseConfig; what else a variant knows is in VARIANTS. Resumes where it was cut.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, provenance
from benchmarks.study_response_page import false_alarms, page, sampling, summary

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
    path = FOLDER / f"response-{fingerprint(fit_world, settings)}.jsonl"
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
