"""Known effects in real purchases (`make study-plasmode`): injected ones recovered, swapped histories found empty.

Reads the panel of the home (`make run` before), Complete Journey by default. Every replicate is kept as it ends, so an
interrupted study goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, provenance
from benchmarks.plasmode_page import page, picture, placebo, recovery, without_noise
from models.simulate.study_worlds import SEED

CHARACTERISTIC = "age_years"
# channel: dollars of the first exposure, bend, decay where effects carry over. store_mailer: none, a true zero.
EFFECTS = {
    "mail_type_a": (15.0, 3.0, 0.5),
    "mail_type_b": (12.0, 3.0, 0.5),
    "mail_type_c": (20.0, 3.0, 0.5),
    "store_display": (0.6, 10.0, 0.3),
}
FACTORS = (1.5, 1.0, 0.5, 1.0)  # youngest, middle, oldest third of known ages, age not known
SETTINGS = ("same_period", "carry_over")
HBMMM_OPTIONS = {
    "inference": "laplace",
    "imputations_count": 2,
    "draws": 125,
    "effect_draws": 200,
    "seed": SEED,
}
SEGMENT_PREFIXES = (
    "low",
    "middle",
    "high",
    "missing",
)  # of the model's segment table, in the order of FACTORS
WITHOUT, EXPECTED = (
    -1,
    -2,
)  # replicates: without injection, and with its expectation in place of random purchases
IMPUTED = "imputed_ages"  # effects of the same period; unknown ages respond as the age the model completed them with


@cache
def real_panel() -> Any:
    """The panel of the home, as assets read it."""
    from assets.status import load_refresh

    return load_refresh().read_panel()


@cache
def plasmode_config(setting: str) -> Any:
    """What is injected: groups are thirds of the known ages, as in the model's segment table."""
    from models.simulate.plasmode import InjectedEffect, PlasmodeConfig

    ages = real_panel().characteristics[CHARACTERISTIC].dropna().to_numpy(dtype=float)
    low, high = (float(a) for a in np.quantile(ages, [1 / 3, 2 / 3]))
    names = (f"<= {low:g}", f"{low:g} to {high:g}", f"> {high:g}", "missing")
    carried = setting == "carry_over"
    effects = (
        InjectedEffect(c, amount, bend, decay if carried else 0.0)
        for c, (amount, bend, decay) in EFFECTS.items()
    )
    return PlasmodeConfig(
        tuple(effects), CHARACTERISTIC, (low, high), tuple(zip(names, FACTORS, strict=True))
    )


def plasmode_of(setting: str, replicate: int, folder: str) -> Any:
    """One injection; replicate r draws the same purchases whenever it runs."""
    from models.simulate.plasmode import inject_effects

    panel = real_panel()
    if setting == IMPUTED:
        ages = base_fit(SETTINGS[0], folder).completed[0][CHARACTERISTIC].to_numpy(dtype=float)
        panel = replace(panel, characteristics=panel.characteristics.assign(**{CHARACTERISTIC: ages}))
    rng = np.random.default_rng([SEED, (*SETTINGS, IMPUTED).index(setting), replicate - EXPECTED])
    return inject_effects(panel, plasmode_config(setting), rng)


def fit_base(setting: str, folder: str) -> dict[str, float]:
    """Fit the panel without injection, on the columns of a setting, for the replicates to refit; seconds."""
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    begun = time.process_time()
    panel = real_panel().with_exposures(plasmode_of(setting, WITHOUT, folder).adstock)
    fit = fit_hbmmm(
        SufficientStatistics.from_panel(panel), panel.characteristics, HBMMMConfig(**HBMMM_OPTIONS)
    )
    fit.save(Path(folder) / setting)
    return {"seconds": time.process_time() - begun}


@cache
def base_fit(setting: str, folder: str) -> Any:
    """The saved fit of fit_base."""
    from models.hbmmm.fit import HBMMMFit

    return HBMMMFit.load(Path(folder) / setting)


def measure_injection(setting: str, replicate: int, folder: str) -> dict[str, Any]:
    """Estimates of every method, for all and by age group, with an injection, its expectation, or without."""
    from models.simulate.plasmode import consumer_groups

    begun = time.process_time()
    panel, plasmode, config = real_panel(), plasmode_of(setting, replicate, folder), plasmode_config(setting)
    injected = {WITHOUT: 0.0, EXPECTED: plasmode.expected.sum(axis=1)}.get(
        replicate, plasmode.realised.sum(axis=1)
    )
    bought = replace(panel, gmv=panel.gmv + injected)
    ages, given = (
        consumer_groups(panel, CHARACTERISTIC, config.cut_points),
        bought.with_exposures(plasmode.adstock),
    )
    quick = replicate != WITHOUT  # published errors are those without injection
    base = SETTINGS[0] if setting == IMPUTED else setting
    rows = hbmmm_rows("hbmmm", base, given, ages, folder, quick=quick)
    rows += row_method_rows(("within_consumer", "pooled_ols"), given, ages)
    if setting == "carry_over":
        rows += hbmmm_rows("hbmmm_blind", SETTINGS[0], bought, ages, folder, quick=quick)
        rows += row_method_rows(("within_consumer",), bought, ages, "_blind")
    truth = pd.concat([plasmode.truth(), plasmode.truth(ages)])
    truth = truth[truth["exposure_distribution"] == "panel_rows"]
    columns = ["segment_value", "channel_id", "estimand", "horizon", "value", "realised"]
    return {
        "rows": rows,
        "truth": truth[columns].astype(object).where(truth[columns].notna(), None).to_numpy().tolist(),
        "seconds": time.process_time() - begun,
    }


def hbmmm_rows(
    method: str, setting: str, panel: Any, groups: np.ndarray, folder: str, *, quick: bool
) -> list[list]:
    """Slope and contribution of a refit, for all and by age group. quick: without consumer-clustered errors."""
    from models.hbmmm.effects import compute_effects
    from models.hbmmm.refit import refit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    fit = base_fit(setting, folder)
    config = replace(fit.config, robust_errors=not quick)
    tables = compute_effects(refit_hbmmm(fit, SufficientStatistics.from_panel(panel), config=config), panel)
    rows = estimate_rows(method, "all", tables.channel)
    names = [group for group, _ in plasmode_config(setting).multipliers]
    by_age = tables.segment[tables.segment["segment_name"] == CHARACTERISTIC]
    for value, part in by_age.groupby("segment_value"):
        name = names[[value.startswith(p) for p in SEGMENT_PREFIXES].index(True)]
        if int(part["consumers_count"].iloc[0]) != int((groups == name).sum()):
            raise AssertionError(f"segment {value!r} of the model is not the injected group {name!r}")
        rows += estimate_rows(method, name, part)
    return rows


def row_method_rows(methods: tuple[str, ...], panel: Any, groups: np.ndarray, suffix: str = "") -> list[list]:
    """Estimates of regressions on rows, for all and on the rows of each age group."""
    rows = []
    for segment in ("all", *sorted(set(groups.tolist()))):
        keep = np.ones(len(groups), dtype=bool) if segment == "all" else groups == segment
        part = replace(panel, **panel.rows_subset(keep[panel.consumer_index]))
        for method in methods:
            rows += estimate_rows(method + suffix, segment, row_method(method, part))
    return rows


def row_method(method: str, panel: Any) -> pd.DataFrame:
    """Channel rows of a regression."""
    from models.baselines.ols import pooled_ols_effects
    from models.effects.within import within_effects

    if method == "within_consumer":
        return within_effects(panel)
    return pooled_ols_effects(panel, with_covariates=method == "pooled_ols_covariates")


def estimate_rows(method: str, segment: str, effects: pd.DataFrame) -> list[list]:
    """[method, segment, channel, estimand, mean, sd] of slope and contribution over the panel's rows."""
    chosen = effects[
        effects["estimand"].isin(["slope", "contribution"])
        & (effects["exposure_distribution"] == "panel_rows")
    ]
    numbers = chosen[["channel_id", "estimand", "mean", "standard_deviation"]].to_numpy().tolist()
    return [[method, segment, *row] for row in numbers]


def measure_chosen(replicate: int, folder: str) -> dict[str, Any]:
    """One injection that carries over, decays and bends chosen from the data (models/hbmmm/carryover.py), not given.

    The choice is made once, with the injection, and the same candidates are fitted with and without it, so that the
    difference is of purchases alone and what real effects carry over cancels.
    """
    from models.hbmmm.carryover import CarryoverConfig, choose_carryover, fit_carryover
    from models.hbmmm.carryover_effects import carryover_effects

    begun = time.process_time()
    panel, plasmode = real_panel(), plasmode_of("carry_over", replicate, folder)
    bought = replace(panel, gmv=panel.gmv + plasmode.realised.sum(axis=1))
    base = base_fit(SETTINGS[0], folder)
    choice = choose_carryover(
        bought, base, CarryoverConfig(seed=SEED), lambda text, share: print(f"  {text}", flush=True)
    )
    rows = {}
    for name, one in (("with", bought), ("without", panel)):
        effects = carryover_effects(fit_carryover(one, base, choice), one).channel
        rows[name] = estimate_rows("hbmmm", "all", effects[effects["horizon"] == wanted_horizon(effects)])
    truth = plasmode.truth()
    truth = truth[truth["exposure_distribution"] == "panel_rows"]
    truth = truth[truth["horizon"] == wanted_horizon(truth)].set_index(["channel_id", "estimand"])["value"]
    without = {(row[2], row[3]): row for row in rows["without"]}
    return {
        "probabilities": choice.decay_probabilities.to_dict("records"),
        "is_refuted": choice.is_refuted,
        "scored": len(choice.scores),
        "drawn": len(choice.drawn),
        "cells": [
            {
                "channel_id": channel,
                "estimand": estimand,
                "difference": mean - without[channel, estimand][4],
                "published_error": without[channel, estimand][5],
                "truth": float(truth[channel, estimand]),
            }
            for _, _, channel, estimand, mean, _ in rows["with"]
        ],
        "seconds": time.process_time() - begun,
    }


def wanted_horizon(effects: pd.DataFrame) -> pd.Series:
    """Row by row the horizon that is judged: slopes in the period of exposure, contributions of all exposures."""
    return effects["estimand"].map({"contribution": "total"}).fillna("immediate")


def measure_swap(replicate: int, folder: str) -> dict[str, Any]:
    """Estimates of every method where look-alikes have exchanged their exposure histories."""
    from models.checks.placebo import look_alike_groups, swap_histories
    from models.hbmmm.effects import compute_effects
    from models.hbmmm.refit import refit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    begun = time.process_time()
    panel = real_panel()
    swapped = swap_histories(panel, look_alike_groups(panel), np.random.default_rng([SEED, 9, replicate]))
    fit = base_fit(SETTINGS[0], folder)
    refit = refit_hbmmm(fit, SufficientStatistics.from_panel(swapped))
    rows = estimate_rows("hbmmm", "all", compute_effects(refit, swapped).channel)
    for method in ("within_consumer", "pooled_ols", "pooled_ols_covariates"):
        rows += estimate_rows(method, "all", row_method(method, swapped))
    return {"rows": rows, "likeness": likeness(panel, swapped), "seconds": time.process_time() - begun}


def likeness(panel: Any, swapped: Any) -> dict[str, float]:
    """Correlation of own and received exposures by channel, less household and period means."""
    from models.effects.within import demean_two_way

    count = len(panel.channel_ids)
    both = demean_two_way(
        np.column_stack([panel.exposures, swapped.exposures]), panel.consumer_index, panel.period_index
    )
    products = both.T @ both
    at = np.arange(count)
    values = products[at, at + count] / np.sqrt(products[at, at] * products[at + count, at + count])
    return dict(zip(panel.channel_ids.tolist(), values.tolist(), strict=True))


def main() -> None:
    """Run what is not done yet, write docs/studies/plasmode.json, .md and .png."""
    from assets.status import load_refresh
    from models.checks.placebo import look_alike_groups, swappable_share

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--injections", type=int, default=30, help="replicates of each injection, 2 or more")
    parser.add_argument("--swaps", type=int, default=60, help="exchanges of exposure histories, 2 or more")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", default="docs/studies", help="folder, from the repository's root")
    options = parser.parse_args()
    begun = time.perf_counter()
    panel, refresh = real_panel(), load_refresh()
    mark = fingerprint(measure_injection, refresh.content_hash())
    folder = FOLDER / f"plasmode-{mark}"
    path = folder.with_suffix(".jsonl")
    fits = {job_key(("fit", s)): (s, str(folder)) for s in SETTINGS}
    fitted = run_jobs(path, fits, fit_base, options.processes)
    injections = {
        job_key(("injection", s, r)): (s, r, str(folder))
        for s in SETTINGS
        for r in range(EXPECTED, options.injections)
    }
    injections |= {job_key(("injection", IMPUTED, r)): (IMPUTED, r, str(folder)) for r in (EXPECTED, WITHOUT)}
    swaps = {job_key(("swap", r)): (r, str(folder)) for r in range(options.swaps)}
    injected = run_jobs(path, injections, measure_injection, options.processes)
    swapped = run_jobs(path, swaps, measure_swap, options.processes)
    chosen = run_jobs(path, {"chosen 0": (0, str(folder))}, measure_chosen, 1)["chosen 0"]
    gmv = float(panel.gmv.sum())
    found = {
        s: {arguments[1]: injected[k] for k, arguments in injections.items() if arguments[0] == s}
        for s in (*SETTINGS, IMPUTED)
    }
    content = {
        "command": f"make study-plasmode INJECTIONS={options.injections} SWAPS={options.swaps}",
        "provenance": provenance(),
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds_each": {
            "base fit": mean_seconds(fitted.values()),
            **{f"injection, {s}": mean_seconds(found[s].values()) for s in SETTINGS},
            "swap": mean_seconds(swapped.values()),
            "decays chosen": mean_seconds([chosen]),
        },
        "seed": SEED,
        "source": refresh.source_name,
        "as_of_date": refresh.as_of_date.isoformat(),
        "households": panel.consumers_count,
        "rows": panel.rows_count,
        "period": panel.period,
        "gmv": gmv,
        "zero_share": float((panel.gmv == 0).mean()),
        "effects": {c: dict(zip(("amount", "bend", "decay"), v, strict=True)) for c, v in EFFECTS.items()},
        "multipliers": dict(plasmode_config(SETTINGS[0]).multipliers),
        "injections": options.injections,
        "swaps": options.swaps,
        "swappable_share": swappable_share(look_alike_groups(panel)),
        "recovery": {s: recovery(found[s], gmv) for s in SETTINGS},
        "without_noise": {s: without_noise(found[s]) for s in found},
        "chosen": chosen,
        "placebo": placebo(swapped.values(), gmv),
    }
    place = ROOT / options.output
    place.mkdir(parents=True, exist_ok=True)
    (place / "plasmode.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (place / "plasmode.md").write_text(page(content), encoding="utf-8")
    (place / "plasmode.png").write_bytes(picture(content))
    print(page(content))


def mean_seconds(results: Any) -> float:
    """Mean CPU seconds of jobs."""
    return round(float(np.mean([one["seconds"] for one in results])), 2)


if __name__ == "__main__":
    main()
