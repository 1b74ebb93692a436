"""Coverage of the causal layer's intervals on worlds with known effects (`make study-causal`).

Exposure is spread out or comes in waves that all consumers share, with and without shocks common to all, and what
drives both exposure and purchases is recorded or latent. Worlds that are done are kept beside docs/studies/causal_layer
until it is whole, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, provenance
from models.simulate.study_worlds import SEED

STUDY = ROOT / "docs" / "studies"
WORLDS = 40
DRAWS = 300
PROCESSES = 2
WAVES = 4
EFFECT = 20.0
KINDS: dict[str, dict[str, Any]] = {
    "latent, spread": {},
    "latent, spread, strong tastes": {"taste_sd": 10.0},
    "latent, waves": {"waves_count": WAVES},
    "latent, waves, shocks": {"waves_count": WAVES, "shock_sd": 15.0},
    "latent, waves, strong tastes": {"waves_count": WAVES, "taste_sd": 10.0},
    "latent, few waves, sharp targeting, strong tastes": {
        "waves_count": 3,
        "taste_sd": 12.0,
        "targeting": 1.5,
    },
    "recorded, spread": {"is_recorded": True},
    "recorded, spread, strong tastes": {"is_recorded": True, "taste_sd": 10.0},
    "recorded, waves": {"is_recorded": True, "waves_count": WAVES},
    "recorded, waves, strong tastes": {"is_recorded": True, "waves_count": WAVES, "taste_sd": 10.0},
}
#: Intervals of own-median AIPW: rows trimmed or not, error of fitting in it or not, periods as clusters or not.
VARIANTS = {
    "untrimmed, nuisances held fixed": (0.0, False, False),
    "trimmed, nuisances held fixed": (0.02, False, False),
    "trimmed, with the error of fitting": (0.02, True, False),
    "the same, and of shared periods (published)": (0.02, True, True),
}
METHODS = (
    "aipw_own_median",
    "aipw_lagged",
    "ipw_lagged",
    "weighted_pseudo_posterior",
    "ipw_characteristics",
    "naive_difference",
)


def world(task: tuple[str, int]) -> dict[str, Any]:
    """One world of a kind: per method (ate_exposed) and own-median variant the estimate, error and interval."""
    from models.effects.causal_effects import CausalConfig, causal_effects
    from models.simulate.wave_worlds import WaveWorldConfig, simulate_wave_world

    kind, number = task
    settings = WaveWorldConfig(effect=EFFECT, **KINDS[kind])
    rng = np.random.default_rng([SEED, list(KINDS).index(kind), number])
    panel = simulate_wave_world(settings, rng)
    found = causal_effects(panel, rng, CausalConfig(bootstrap_draws=DRAWS))
    table = found.channel[found.channel["estimand"] == "ate_exposed"].set_index("method")
    columns = ["mean", "standard_deviation", "interval_lower", "interval_upper"]
    overlap = found.overlap.set_index("method")["trimmed_share"]
    return {
        "kind": kind,
        "number": number,
        "methods": {method: table.loc[method, columns].astype(float).tolist() for method in METHODS},
        "variants": _variants(panel, rng),
        "trimmed": {method: float(overlap[method]) for method in ("aipw_own_median", "aipw_lagged")},
    }


def _variants(panel: Any, rng: np.random.Generator) -> dict[str, list[float]]:
    from models.effects.cross_fitting import consumer_folds
    from models.effects.doubly_robust import estimate_effect
    from models.effects.own_median import above_own_median, own_median_scores

    treatment, varies = above_own_median(panel.exposures[:, 0], panel.consumer_index)
    columns = (panel.period_index[:, None] == np.arange(1, len(panel.period_starts))).astype(float)
    fold = consumer_folds(panel.consumer_index, 5, rng)
    arrays = (treatment, panel.gmv, panel.consumer_index, panel.period_index, columns, fold)
    chosen = [array[varies] for array in arrays]
    scores = {t: own_median_scores(*chosen, trimming_threshold=t) for t in (0.0, 0.02)}
    found = {}
    for name, (trimming, has_fitting, has_periods) in VARIANTS.items():
        part = scores[trimming]
        part = part if has_fitting else replace(part, fitting=None)
        part = part if has_periods else replace(part, period_index=None)
        one = estimate_effect(part, "aipw", "ate_exposed", rng, draws_count=DRAWS)
        found[name] = [one.estimate, one.standard_error, one.interval_lower, one.interval_upper]
    return found


def main() -> None:
    """Run the worlds that are not done, write docs/studies/causal_layer.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=WORLDS, help="of each kind")
    count = parser.parse_args().worlds
    begun = time.perf_counter()
    STUDY.mkdir(parents=True, exist_ok=True)
    tasks = [(kind, n) for kind in KINDS for n in range(count)]
    path = FOLDER / f"causal-{fingerprint(world)}.jsonl"
    done = run_jobs(path, {job_key(task): (task,) for task in tasks}, world, PROCESSES)
    found = {task: done[job_key(task)] for task in tasks}
    content = {
        "command": f"make study-causal WORLDS={count}",
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "seed": SEED,
        "worlds": count,
        "effect": EFFECT,
        "kinds": {kind: summary([found[kind, n] for n in range(count)]) for kind in KINDS},
    }
    (STUDY / "causal_layer.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (STUDY / "causal_layer.md").write_text(page(content), encoding="utf-8")
    print(page(content))


def summary(worlds: list[dict[str, Any]]) -> dict[str, Any]:
    """Bias, spread, mean error, coverage and mean width of each method and variant over worlds of one kind."""
    out: dict[str, Any] = {}
    for group in ("methods", "variants"):
        out[group] = {name: _figures([one[group][name] for one in worlds]) for name in worlds[0][group]}
    names = worlds[0]["trimmed"]
    out["trimmed_share"] = {name: float(np.mean([one["trimmed"][name] for one in worlds])) for name in names}
    return out


def _figures(rows: list[list[float]]) -> dict[str, float | int]:
    values = np.array(rows, dtype=float)
    values = values[np.isfinite(values).all(axis=1)]
    mean, error, lower, upper = values.T
    return {
        "worlds": len(values),
        "bias": float(mean.mean() - EFFECT),
        "sd": float(mean.std(ddof=1)),
        "standard_error": float(np.median(error)),
        "width": float(np.median(upper - lower)),
        "coverage": float(np.mean((lower <= EFFECT) & (upper >= EFFECT))),
    }


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    return "\n".join([*_head(content), *_variant_table(content), *_method_table(content)]) + "\n"


def _head(content: dict[str, Any]) -> Iterator[str]:
    from models.simulate.wave_worlds import WaveWorldConfig

    where, base = content["provenance"], WaveWorldConfig()
    yield from ("# Coverage of the causal layer's intervals", "")
    yield (
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB, load "
        f"{where['load_average']} at the end, {content['seconds_of_this_run']:.0f} s, "
        f"seed {content['seed']}."
    )
    yield ""
    error = (0.95 * 0.05 / content["worlds"]) ** 0.5
    yield (
        f"{content['worlds']} worlds a kind of {base.consumers_count} consumers and {base.periods_count} periods; an "
        f"exposure is worth {content['effect']:g} (models/simulate/wave_worlds.py). *Latent* or *recorded*: whether "
        "what drives exposure and purchases is a characteristic of the panel. *Waves*: anybody is exposed in "
        f"{WAVES} periods only (*few waves*: 3), the same for all. *Shocks* move everybody's purchases in a period (sd "
        "15), *strong tastes* (sd 10; 12 in few waves) those of the exposed-prone more. Exposure follows that cause by "
        "1 log odds per standard deviation (*sharp targeting*: 1.5). Intervals are of 95 %; the Monte-Carlo error of a "
        f"coverage near that is {error:.3f}. sd: of estimates over worlds; error and width: medians."
    )


def _variant_table(content: dict[str, Any]) -> Iterator[str]:
    yield from ("", "## What own-median AIPW's interval has to hold", "")
    yield "| worlds | trimmed | " + " | ".join(VARIANTS) + " |"
    yield "|---" * (2 + len(VARIANTS)) + "|"
    for kind, found in content["kinds"].items():
        cells = [
            f"{v['coverage']:.2f} (sd {v['sd']:.2f}, error {v['standard_error']:.2f})"
            for v in found["variants"].values()
        ]
        share = found["trimmed_share"]["aipw_own_median"]
        yield f"| {kind} | {share:.0%} | " + " | ".join(cells) + " |"


def _method_table(content: dict[str, Any]) -> Iterator[str]:
    yield from ("", "## Every method, as published (`ate_exposed`)", "")
    yield "Coverage, then bias and median width of the interval."
    yield ""
    yield "| worlds | " + " | ".join(METHODS) + " |"
    yield "|---" * (1 + len(METHODS)) + "|"
    for kind, found in content["kinds"].items():
        cells = [
            f"{v['coverage']:.2f} ({v['bias']:+.1f}, {v['width']:.1f})"
            for v in (found["methods"][m] for m in METHODS)
        ]
        yield f"| {kind} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
