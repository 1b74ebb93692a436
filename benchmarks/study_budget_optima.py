"""Allocations beside optima that are known: spend with equal marginal returns (`make study-budget-optima`).

Worlds without carry-over, whose optimum is a formula (or one root), so that regret is exact. Each has draws of the
channels' strengths whose mean is the known one: KPI is linear in strength, so that the expected curve is known as well.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from benchmarks.machine import ROOT, make_command, provenance

CURVES = ("root", "michaelis_menten", "log", "tanh")
SIZES = {
    "5 channels": (1, 1, 5),
    "20 markets x 5 channels": (20, 1, 5),
    "5 markets x 13 weeks x 5 channels": (5, 13, 5),
}
DRAWS, SEED = 20, 20261122


def closed_form(curve: str, b: np.ndarray, p: np.ndarray, total: float) -> np.ndarray:
    """Spend (V,) with equal marginal returns, summing to total; KPI of a cell is b f(x; p), all of them lit at the
    optimum (below 0 where the formula does not hold)."""
    if curve == "root":  # b p x^(p - 1) equal; p the same for all
        share = (b * p) ** (1.0 / (1.0 - p))
        return total * share / share.sum()
    if curve == "michaelis_menten":  # b p / (x + p)^2
        root = np.sqrt(b * p)
        return (total + p.sum()) * root / root.sum() - p
    if curve == "log":  # b / (x + p)
        return (total + p.sum()) * b / b.sum() - p
    most = (b / p).min()  # tanh: b / p (1 - tanh^2); a higher price would leave a cell dark

    def bought(price: float) -> np.ndarray:
        return p * np.arccosh(np.sqrt(np.maximum(b / (p * price), 1.0)))

    if bought(most).sum() > total:
        return np.full_like(b, -1.0)
    return bought(optimize.brentq(lambda price: bought(price).sum() - total, 1e-12 * most, most))


def drawn_world(curve: str, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """A response of DRAWS draws with a current plan drawn at random, and the optimal spend (J, H, C)."""
    from models.plans.spend_plan import SpendPlan
    from models.response.planned_spend import PlannedResponse

    markets, periods, channels = shape
    while True:
        total = 1.5 * np.prod(shape)
        spend = rng.dirichlet(np.full(int(np.prod(shape)), 5.0)).reshape(shape) * total
        p = np.full(channels, rng.uniform(0.3, 0.7)) if curve == "root" else rng.uniform(0.8, 1.2, channels)
        b = rng.uniform(3.0, 6.0, channels)[:, None] * rng.uniform(0.8, 1.2, (channels, markets))
        cells = [np.broadcast_to(one, shape).ravel() for one in (b.T[:, None, :], p)]
        best = closed_form(curve, *cells, total).reshape(shape)
        if best.min() > 0:
            break
    spread = np.exp(0.5 * rng.standard_normal((DRAWS, channels, markets)))
    blank, starts = np.zeros((channels, markets, 0)), np.datetime64("2026-01-05") + 7 * np.arange(periods)
    plan = SpendPlan(
        tuple(f"m{j}" for j in range(markets)), tuple(f"c{c}" for c in range(channels)), starts, spend, "USD"
    )
    response = PlannedResponse(
        plan,
        curve,
        np.ones((DRAWS, channels, 1)),
        np.tile(p, (DRAWS, 1))[..., None],
        b * spread / spread.mean(axis=0),
        np.ones((markets, channels)),
        blank,
        blank,
    )
    return response, best


def decide(curve: str, size: str, world: int) -> dict[str, Any]:
    """Regret, the gap that was claimed and what the current plan misses, each over the optimum's KPI."""
    from models.budget.allocation import allocate
    from models.budget.config import BudgetConfig

    rng = np.random.default_rng(
        np.random.SeedSequence([SEED, CURVES.index(curve), list(SIZES).index(size), world])
    )
    response, best = drawn_world(curve, SIZES[size], rng)
    by = tuple(
        name for name, count in zip(("market", "period", "channel"), SIZES[size], strict=True) if count > 1
    )
    started = time.process_time()
    found = allocate(response, BudgetConfig(by=by, bounds=(0.0, 60.0)))
    seconds = time.process_time() - started
    reached, optimum, current = (
        float(response.totals(spend).sum(axis=(1, 2)).mean())
        for spend in (found.proposed.spend, best, response.plan.spend)
    )
    return {
        "curve": curve,
        "size": size,
        "regret": 1.0 - reached / optimum,
        "gap": found.optimality.gap / optimum,
        "missed_before": 1.0 - current / optimum,
        "cpu_seconds": seconds,
    }


def page(content: dict[str, Any]) -> str:
    """The Markdown page."""
    where = content["provenance"]
    lines = [
        "# Budgets beside optima that are known",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores. {content['worlds']} worlds a "
        f"row without carry-over, {DRAWS} draws each, whose optimum (equal marginal returns) is a formula. Shares "
        "of the optimum's KPI: what the allocation misses (regret), what it said it may miss at most (gap), what the "
        "current plan misses; processor time of an allocation.",
        "",
        "| curve | decided | mean regret | largest | largest gap | current plan | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["summary"]:
        lines.append(
            f"| {row['curve']} | {row['size']} | {row['regret']:.1e} | {row['largest']:.1e} | {row['gap']:.1e} "
            f"| {row['missed_before']:.3f} | {row['cpu_seconds']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the worlds, write docs/studies/budget_optima.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20, help="a curve and size")
    parser.add_argument("--output", default="docs/studies", help="folder, from the root of the checkout")
    arguments = parser.parse_args()
    found = []
    for size in SIZES:
        for curve in CURVES:
            found += [decide(curve, size, world) for world in range(arguments.worlds)]
            print(
                f"{size}, {curve}: largest regret {max(r['regret'] for r in found[-arguments.worlds :]):.1e}",
                flush=True,
            )
    summary = (
        pd.DataFrame(found)
        .groupby(["size", "curve"], sort=False)
        .agg(
            regret=("regret", "mean"),
            largest=("regret", "max"),
            gap=("gap", "max"),
            missed_before=("missed_before", "mean"),
            cpu_seconds=("cpu_seconds", "mean"),
        )
        .reset_index()
    )
    content = {
        "command": make_command("study-budget-optima"),
        "provenance": provenance(),
        "worlds": arguments.worlds,
        "summary": summary.to_dict("records"),
        "decisions": found,
    }
    folder = ROOT / arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "budget_optima.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "budget_optima.md").write_text(page(content), encoding="utf-8")
    print(page(content))


if __name__ == "__main__":
    main()
