"""Repeated worlds with known effects: does an estimator find them, and are its intervals honest?

Each world is drawn anew, the estimator sees only the panel an analyst would have, and its rows are laid beside
the exact truth of the same panel rows. Worlds are independent, so they run in separate processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np
import pandas as pd

from models.baselines.ols import pooled_ols_effects
from models.effects.within import within_effects
from models.panel import ConsumerPanel
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers

KEYS = ["channel_id", "estimand", "exposure_distribution"]
ESTIMATE_COLUMNS = ["mean", "standard_deviation", "interval_lower", "interval_upper"]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Estimator = Callable[[ConsumerPanel, dict], pd.DataFrame]


def _hbmmm(panel: ConsumerPanel, options: dict) -> pd.DataFrame:
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.effects import compute_effects
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    fit = fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, HBMMMConfig(**options))
    return compute_effects(fit, panel).channel


ESTIMATORS: dict[str, Estimator] = {
    "hbmmm": _hbmmm,
    "within_consumer": lambda panel, options: within_effects(panel, **options),
    "pooled_ols": lambda panel, options: pooled_ols_effects(panel, **options),
    "pooled_ols_covariates": lambda panel, options: pooled_ols_effects(
        panel, with_covariates=True, **options
    ),
}


def score_world(config: ConsumerWorldConfig, seed: int, methods: dict[str, dict]) -> pd.DataFrame:
    """Estimates and truth of one world: method, KEYS, ESTIMATE_COLUMNS, r_hat, ess, truth, seed.

    `methods` maps a name of ESTIMATORS to its keyword arguments (for hbmmm: fields of HBMMMConfig).
    """
    world = simulate_consumers(config, np.random.default_rng(seed))
    panel = world.to_panel()
    truth = world.truth["channel"]
    truth = truth[truth["unit"].str.startswith("USD")].set_index(KEYS)["value"]
    parts = []
    for method, options in methods.items():
        effects = ESTIMATORS[method](panel, options)
        kept = effects[[*KEYS, *ESTIMATE_COLUMNS, "r_hat", "ess"]].assign(method=method)
        parts.append(kept.join(truth.rename("truth"), on=KEYS, how="inner"))
    return pd.concat(parts, ignore_index=True).assign(seed=seed, rows_count=panel.rows_count)


def score_worlds(
    worlds: Mapping[str, tuple[ConsumerWorldConfig, Sequence[int]]],
    methods: dict[str, dict],
    processes: int = 1,
) -> pd.DataFrame:
    """`score_world` for every kind of world (name -> settings and seeds), with the name in column `world`.

    All run in one pool of so many processes, of one thread each: a process compiles a model once.
    """
    jobs = [(name, config, seed) for name, (config, seeds) in worlds.items() for seed in seeds]
    if processes == 1:
        scores = [score_world(config, seed, methods) for _, config, seed in jobs]
    else:
        with _one_thread_each(), ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            scores = list(pool.map(score_world, *zip(*[(c, s, methods) for _, c, s in jobs], strict=True)))
    parts = [score.assign(world=name) for (name, _, _), score in zip(jobs, scores, strict=True)]
    return pd.concat(parts, ignore_index=True)


def recovery_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Per world, method and KEYS: worlds, mean truth, bias, its Monte-Carlo error, coverage and mean interval width.

    `bias_z` is bias over its Monte-Carlo error (sd of errors / sqrt(worlds)); `error_ratio` is the sd of the
    errors over the mean standard deviation the estimator claims (1 is honest).
    """
    scored = scores.assign(
        error=scores["mean"] - scores["truth"],
        covered=(scores["interval_lower"] <= scores["truth"]) & (scores["truth"] <= scores["interval_upper"]),
        width=scores["interval_upper"] - scores["interval_lower"],
    )
    groups = scored.groupby(["world", "method", *KEYS])
    table = groups.agg(
        worlds=("seed", "size"),
        truth=("truth", "mean"),
        bias=("error", "mean"),
        error_sd=("error", "std"),
        claimed_sd=("standard_deviation", "mean"),
        coverage=("covered", "mean"),
        mean_width=("width", "mean"),
    )
    table["monte_carlo_error"] = table["error_sd"] / np.sqrt(table["worlds"])
    table["bias_z"] = table["bias"] / table["monte_carlo_error"]
    table["error_ratio"] = table["error_sd"] / table["claimed_sd"]
    return table.drop(columns="error_sd").reset_index()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers read the number of threads when they import NumPy: set it for those started meanwhile."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
