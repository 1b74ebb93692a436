"""Repeated worlds with known effects: does an estimator find them, and are its intervals honest?

Each world is drawn anew, the estimator sees only the panel an analyst would have, and its rows are laid beside
the exact truth of the same panel rows. Worlds are independent, so they run in separate processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np
import pandas as pd

from models.errors import ConvergenceError, PanelError
from models.evaluation.estimators import ESTIMATORS, Estimates
from models.evaluation.oracle_effects import oracle_effects
from models.evaluation.world_levels import market_scores, segment_pairs
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers

KEYS = ["channel_id", "estimand", "exposure_distribution"]
ESTIMATE_COLUMNS = ["mean", "standard_deviation", "interval_lower", "interval_upper"]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def score_levels(
    config: ConsumerWorldConfig, seed: int, methods: dict[str, dict], failures: dict[str, str] | None = None
) -> dict[str, pd.DataFrame]:
    """Estimates and truth of one world, by level.

    methods: name of ESTIMATORS, or `oracle`, -> its keyword arguments (for hbmmm: fields of HBMMMConfig).
    failures: where given, a method that ends in a ConvergenceError or PanelError is put there (name -> error) and has
        no rows; the others keep theirs. Without it the error is raised.

    Returns
    -------
    channel : method, KEYS, ESTIMATE_COLUMNS, r_hat, ess, divergences_count, truth, seed, rows_count, gmv (net, of the
        panel's rows)
    market, segment : as `market_scores` and `segment_pairs` have them, and seed
    Empty where every method failed.
    """
    world = simulate_consumers(config, np.random.default_rng(seed))
    panel = world.to_panel()
    truth = world.truth["channel"]
    truth = truth[truth["unit"].str.startswith("USD")].set_index(KEYS)["value"]
    found = {}
    for name, options in methods.items():
        try:
            found[name] = (
                Estimates(oracle_effects(world, panel, **options))
                if name == "oracle"
                else ESTIMATORS[name](panel, options)
            )
        except (ConvergenceError, PanelError) as error:
            if failures is None:
                raise
            failures[name] = f"{type(error).__name__}: {error}"
    if not found:
        return {}
    parts = []
    for method, estimates in found.items():
        kept = estimates.channel[[*KEYS, *ESTIMATE_COLUMNS, "r_hat", "ess"]]
        kept = kept.assign(method=method, divergences_count=estimates.divergences_count)
        parts.append(kept.join(truth.rename("truth"), on=KEYS, how="inner"))
    channel = pd.concat(parts, ignore_index=True)
    return {
        "channel": channel.assign(seed=seed, rows_count=panel.rows_count, gmv=float(panel.gmv.sum())),
        "market": market_scores(found, world.truth["market"]).assign(seed=seed),
        "segment": segment_pairs(found, panel, world.truth["consumer"]).assign(seed=seed),
    }


def score_world(config: ConsumerWorldConfig, seed: int, methods: dict[str, dict]) -> pd.DataFrame:
    """The channel level of `score_levels`."""
    return score_levels(config, seed, methods)["channel"]


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
        with one_thread_each(), ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
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
def one_thread_each() -> Iterator[None]:
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
