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
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, provenance
from models.simulate.study_worlds import SEED

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
#: Further estimands whose coverage is kept, all with the truth EFFECT: name -> method of each.
OTHERS = {
    "att_exposed": ("aipw_lagged", "ipw_lagged", "ipw_characteristics", "naive_difference"),
    "cate": ("aipw_lagged",),
}
DOSES = "slope: dose_weighted"
COLUMNS = ["mean", "standard_deviation", "interval_lower", "interval_upper"]


def world(task: tuple[str, int]) -> dict[str, Any]:
    """One world of a kind: per method, further estimand and own-median variant the estimate, error and interval."""
    from models.effects.causal_effects import CausalConfig, causal_effects
    from models.simulate.wave_worlds import WaveWorldConfig, simulate_wave_world

    kind, number = task
    settings = WaveWorldConfig(effect=EFFECT, **KINDS[kind])
    rng = np.random.default_rng([SEED, list(KINDS).index(kind), number])
    panel = simulate_wave_world(settings, rng)
    segments = {"half": half_of(panel)}
    found = causal_effects(panel, rng, CausalConfig(bootstrap_draws=DRAWS), segments=segments)
    by_estimand = found.channel.set_index(["estimand", "method"])
    table = by_estimand.loc["ate_exposed"]
    half = found.segment[found.segment["segment_value"] == "one"].set_index(["estimand", "method"])
    effects = pd.concat([by_estimand[COLUMNS], half[COLUMNS]]).astype(float)
    overlap = found.overlap.set_index("method")["trimmed_share"]
    return {
        "kind": kind,
        "number": number,
        "methods": {method: table.loc[method, COLUMNS].astype(float).tolist() for method in METHODS},
        "others": {
            f"{estimand}: {method}": effects.loc[(estimand, method)].tolist()
            for estimand, methods in OTHERS.items()
            for method in methods
        }
        | {DOSES: dose_slope(kind, number)},
        "variants": _variants(panel, rng),
        "trimmed": {method: float(overlap[method]) for method in ("aipw_own_median", "aipw_lagged")},
    }


def half_of(panel: Any) -> np.ndarray:
    """(N,) "one" or "other": those whose recorded cause is above zero; where none is recorded, every other consumer."""
    if "who" in panel.characteristics:
        chosen = panel.characteristics["who"].to_numpy(dtype=float) > 0
    else:
        chosen = np.arange(panel.consumers_count) % 2 == 0
    return np.where(chosen, "one", "other").astype(object)


def dose_panel(kind: str, number: int) -> Any:
    """The world of a kind with counts in place of 0 and 1, each worth EFFECT.

    Counts are Poisson, log rates linear in the same cause, and 0 outside the world's waves.
    """
    from models.simulate.wave_worlds import WaveWorldConfig, simulate_wave_world

    settings = WaveWorldConfig(effect=EFFECT, **KINDS[kind])
    seed = [SEED, list(KINDS).index(kind), number, 1]
    panel = simulate_wave_world(settings, np.random.default_rng(seed))
    cause = np.random.default_rng(seed).normal(size=settings.consumers_count)  # what that world drew first
    period = panel.period_index
    is_reached = np.bincount(period, panel.exposures[:, 0]) > 0
    rates = np.exp(-0.5 + 0.4 * settings.targeting * cause[panel.consumer_index] + 0.4 * np.sin(period))
    counts = np.random.default_rng([*seed, 1]).poisson(rates) * is_reached[period]
    gmv = panel.gmv + EFFECT * (counts - panel.exposures[:, 0])
    return replace(panel.with_exposures(counts[:, None].astype(float)), gmv=gmv)


def dose_slope(kind: str, number: int) -> list[float]:
    """Estimate, error and interval of dose weighting as the causal layer does it, NaN where it refuses."""
    from models.effects.exposure_counts import fit_count_exposure, weighted_dose_slope
    from models.effects.propensity import history_features
    from models.errors import ConvergenceError, OverlapError

    panel = dose_panel(kind, number)
    features, names = history_features(panel)
    try:
        fit = fit_count_exposure(features, panel.exposures[:, 0], names, panel.consumer_index)
    except (OverlapError, ConvergenceError):
        return [float("nan")] * 4
    rng = np.random.default_rng([SEED, list(KINDS).index(kind), number, 2])
    found = weighted_dose_slope(
        fit, panel.gmv, panel.consumer_index, rng, period_index=panel.period_index, draws_count=DRAWS
    )
    return [found.estimate, found.standard_error, found.interval_lower, found.interval_upper]


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
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--output", default="docs/studies", help="folder, from the repository's root")
    options = parser.parse_args()
    count, folder = options.worlds, ROOT / options.output
    begun = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(kind, n) for kind in KINDS for n in range(count)]
    path = FOLDER / f"causal-{fingerprint(world)}.jsonl"
    done = run_jobs(path, {job_key(task): (task,) for task in tasks}, world, options.processes)
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
    (folder / "causal_layer.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "causal_layer.md").write_text(page(content), encoding="utf-8")
    print(page(content))


def summary(worlds: list[dict[str, Any]]) -> dict[str, Any]:
    """Bias, spread, mean error, coverage and mean width of each method and variant over worlds of one kind."""
    out: dict[str, Any] = {}
    for group in ("methods", "others", "variants"):
        out[group] = {name: _figures([one[group][name] for one in worlds]) for name in worlds[0][group]}
    names = worlds[0]["trimmed"]
    out["trimmed_share"] = {name: float(np.mean([one["trimmed"][name] for one in worlds])) for name in names}
    return out


def _figures(rows: list[list[float]]) -> dict[str, float | int | None]:
    """Of the worlds that have an estimate; None where fewer than two have."""
    values = np.array(rows, dtype=float)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < 2:
        names = ("bias", "sd", "standard_error", "width", "coverage")
        return {"worlds": len(values), **dict.fromkeys(names)}
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
    return (
        "\n".join(
            [*_head(content), *_variant_table(content), *_method_table(content), *_others_table(content)]
        )
        + "\n"
    )


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
    yield from _coverage_table(content, "methods", METHODS)


def _others_table(content: dict[str, Any]) -> Iterator[str]:
    yield from (
        "",
        "## Further estimands: the exposed (`att_exposed`), one segment (`cate`), doses (`slope`)",
        "",
    )
    yield (
        "The truth of all is the same. The segment is the half of the consumers whose recorded cause is above zero, "
        "and every other consumer where the cause is latent. Doses are of worlds of the same kinds with Poisson counts "
        "in place of exposed or not (in waves the count model is wrong: nobody is reached between them). Where a "
        "method had no estimate in some worlds, the number of the others stands in the cell."
    )
    yield ""
    names = tuple(f"{estimand}: {method}" for estimand, methods in OTHERS.items() for method in methods)
    names += (DOSES,)
    yield from _coverage_table(content, "others", names)


def _coverage_table(content: dict[str, Any], group: str, names: tuple[str, ...]) -> Iterator[str]:
    yield "Coverage, then bias and median width of the interval."
    yield ""
    yield "| worlds | " + " | ".join(names) + " |"
    yield "|---" * (1 + len(names)) + "|"
    for kind, found in content["kinds"].items():
        cells = [_coverage_cell(found[group][name], content["worlds"]) for name in names]
        yield f"| {kind} | " + " | ".join(cells) + " |"


def _coverage_cell(v: dict[str, Any], worlds: int) -> str:
    if v["coverage"] is None:
        return f"- ({v['worlds']} worlds)"
    fewer = "" if v["worlds"] == worlds else f", {v['worlds']} worlds"
    return f"{v['coverage']:.2f} ({v['bias']:+.1f}, {v['width']:.1f}{fewer})"


if __name__ == "__main__":
    main()
