"""Budgets decided on fitted worlds, judged by the truth on weeks the fit never saw (`make study-budget`).

Worlds and seeds are those of models/simulate/market_studies.py. The first 131 of 156 weeks are fitted (defaults of
ResponseConfig, normal approximation at the mode), the next 13 are planned, the last 12 count what the plan leaves
behind. The current allocation is what the world spent in the planned weeks. Resumes where it was cut.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, make_command, provenance
from benchmarks.study_budget_page import page, summary

PLANNED, LATER = 13, 12  # weeks
DRAWS = 500
#: Kind of world -> its variants: what the fit is given besides spend, KPI and the price.
VARIANTS = {"identified": ("plain",), "confounded": ("plain", "proxy", "lift tests")}
WORLDS = {"identified": 30, "confounded": 10}
RULES = {
    "expected gain": {},
    "worst fifth": {"risk_share": 0.2},
    "by market": {"by": ("channel", "market")},
}


def decide_world(kind_name: str, seed: int, variant: str) -> dict[str, Any]:
    """Of one world and fit: every rule's predicted and true gain, and what the truth's own optimum gains."""
    from benchmarks.normal_fits import normal_fit
    from benchmarks.study_response import panel_of
    from models.budget.allocation import allocate
    from models.budget.config import BudgetConfig
    from models.plans.spend_plan import SpendPlan
    from models.response.config import ResponseConfig
    from models.response.lift_tests import lift_tests_from_frame
    from models.response.planned_spend import plan_response
    from models.simulate.market_lift_tests import lift_tests_frame
    from models.simulate.market_studies import MARKET_WORLD_KINDS, one_test_per_channel

    started = time.process_time()
    world = MARKET_WORLD_KINDS[kind_name].world(seed)
    seen = first_weeks(world, world.spend.shape[1] - PLANNED - LATER)
    tests = ()
    if variant == "lift tests":
        tests = lift_tests_from_frame(lift_tests_frame(one_test_per_channel(seen)), "gmv")
    panel = panel_of(seen, variant == "proxy")
    fit = normal_fit(panel, ResponseConfig(seed=seed % 2**31, kept_draws=DRAWS), tests)
    weeks = slice(seen.spend.shape[1], seen.spend.shape[1] + PLANNED)
    order = [world.config.channel_ids.index(c) for c in fit.scaling.channel_ids]
    plan = SpendPlan(
        fit.scaling.market_ids,
        fit.scaling.channel_ids,
        world.period_starts[weeks],
        world.spend[:, weeks][..., order],
        panel.currency_code,
    )
    response, truth = plan_response(fit, plan), true_response(world, plan, weeks.start)
    fitted = time.process_time() - started
    baseline = world.baseline[:, weeks].sum()
    rows = []
    for rule, settings in RULES.items():
        config = BudgetConfig(**settings)
        ours, best = allocate(response, config), allocate(truth, replace(config, risk_share=1.0))
        rows.append(
            {
                "rule": rule,
                "predicted": ours.gain,
                "interval": list(ours.interval),
                "share_better": ours.share_better,
                "gap": ours.optimality.gap / float(ours.table["current_kpi"].iloc[-1]),
                "agreeing": ours.optimality.agreeing_count / ours.optimality.searches_count,
                "true_gain": true_gain(truth, ours.proposed.spend),
                "best_gain": best.gain,
                "best_gap": best.optimality.gap / float(best.table["current_kpi"].iloc[-1]),
            }
        )
    rows.append(
        {
            "rule": "by mean ROI",
            "true_gain": true_gain(truth, roi_first(fit, plan)),
            "best_gain": rows[0]["best_gain"],
        }
    )
    brought = truth.totals(plan.spend) - truth.totals(np.zeros_like(plan.spend))
    return {
        "kind": kind_name,
        "variant": variant,
        "seed": seed,
        "spend": plan.total,
        "contribution": float(brought.sum()),
        "baseline": float(baseline),
        "rows": rows,
        "fit_cpu_seconds": fitted,
        "cpu_seconds": time.process_time() - started,
    }


def first_weeks(world: Any, count: int) -> Any:
    """The world as it was recorded up to then; coefficients stay those of the whole."""
    along = ("baseline", "noise", "demand", "own_spend", "spend", "price", "proxy")
    cut = {name: getattr(world, name) for name in along}
    return replace(
        world,
        config=replace(world.config, periods_count=count),
        period_starts=world.period_starts[:count],
        shock=world.shock[:count],
        **{name: None if values is None else values[:, :count] for name, values in cut.items()},
    )


def true_response(world: Any, plan: Any, first: int) -> Any:
    """The world's own curves for a plan that starts at position `first`, as one draw; spend goes on as planned."""
    from models.response.planned_spend import PlannedResponse
    from models.transforms.carryover_kernels import geometric_kernel

    order = [world.config.channel_ids.index(c) for c in plan.channel_ids]
    channels = [world.config.channels[c] for c in order]
    lags = world.config.max_lag
    people = world.population[:, None]
    before = world.spend[:, first - lags : first][..., order] / people[..., None]
    usual = plan.spend.mean(axis=1) / people
    return PlannedResponse(
        plan=plan,
        saturation="hill",
        weights=geometric_kernel(np.array([c.decay for c in channels]), lags)[None],
        parameters=np.array([[(c.half_saturation * c.spend_mean, c.slope) for c in channels]]),
        coefficients=(people * world.coefficients[:, order]).T[None],
        unit_cost=np.repeat(people, len(order), axis=1),
        before=before.transpose(2, 0, 1),
        after=np.repeat(usual.T[..., None], lags, axis=2),
    )


def true_gain(truth: Any, spend: np.ndarray) -> float:
    """KPI more than under the current plan."""
    return float((truth.totals(spend) - truth.totals(truth.plan.spend)).sum())


def roi_first(fit: Any, plan: Any) -> np.ndarray:
    """What many do: move money to where recorded ROI was highest, as far as bounds allow; spend (J, H, C)."""
    from models.budget.config import BudgetConfig
    from models.budget.decisions import decisions_of, linear_program
    from models.response.returns import return_table

    roi = return_table(fit).query("market_id.isna() and estimand == 'roi'").set_index("channel_id")["mean"]
    decisions = decisions_of(plan, BudgetConfig())
    return decisions.spend(
        linear_program(decisions, roi[list(plan.channel_ids)].to_numpy() * decisions.amounts).x
    )


def main() -> None:
    """Run the worlds, write docs/studies/budget.json and .md."""
    from models.simulate.market_studies import MARKET_WORLD_KINDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--worlds", type=int, default=None, help="of each kind at most (30 identified, 10 confounded)"
    )
    parser.add_argument("--kinds", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", default="docs/studies", help="folder, from the root of the checkout")
    arguments = parser.parse_args()
    jobs = {}
    for name in arguments.kinds:
        for seed in MARKET_WORLD_KINDS[name].seeds(min(arguments.worlds or WORLDS[name], WORLDS[name])):
            for variant in VARIANTS[name]:
                jobs[job_key((name, seed, variant))] = (name, seed, variant)
    path = FOLDER / f"budget-{fingerprint(decide_world)}.jsonl"
    found = list(run_jobs(path, jobs, decide_world, arguments.processes).values())
    content = {
        "command": make_command("study-budget"),
        "provenance": provenance(),
        "weeks": {"fitted": 156 - PLANNED - LATER, "planned": PLANNED, "later": LATER},
        "draws": DRAWS,
        "summary": summary(found).to_dict("records"),
        "worlds": found,
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "budget.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "budget.md").write_text(page(content), encoding="utf-8")
    print(page(content))


if __name__ == "__main__":
    main()
