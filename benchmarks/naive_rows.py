"""The paper's linear model written row by row in PyMC, every effect a parameter, against ours on the same data.

One table of effective draws a second for the same global parameters (slopes, Theta, standard deviations, noise). The
naive chains are short, because each draw is dear; where they have not converged the table says so, and their size is
then an upper bound of what they are worth.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

CHAINS, TUNE, DRAWS = 2, 300, 300
CONVERGED = 1.01


def compare(consumers_count: int, folder: Path) -> list[dict[str, Any]]:
    """Rows of the table: naive non-centred, marginal NUTS on the same model, and with correlated slopes.

    Seconds exclude compilation of all. The naive model has independent slopes: a full covariance of every consumer's
    slopes would cost it more still, so the ratio that is published has independent slopes on both sides.
    """
    from benchmarks.hbmmm_world import read_statistics, write_world
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import fit_hbmmm
    from models.simulate.consumer_months import ConsumerMonthsConfig

    world = ConsumerMonthsConfig(consumers_count=consumers_count, markets_count=10)
    write_world(world, folder)
    statistics, _, characteristics = read_statistics(folder)
    config = HBMMMConfig(
        basis="linear",
        include_period_effects="none",
        inference="nuts",
        draws=500,
        effect_draws=100,
        seed=world.seed + 1,
    )
    alike, correlated = (replace(config, slope_correlations=kind) for kind in ("none", "lkj"))
    fits = []
    for chosen in (alike, correlated):
        fit_hbmmm(statistics, characteristics, replace(chosen, draws=20, tune=10))  # compiles
        fits.append(fit_hbmmm(statistics, characteristics, chosen))
    naive, draws = _naive(folder, fits[0], world.seed)
    rows = [naive, *(_ours(fit, consumers_count) for fit in fits)]
    for row, slopes in zip(rows, ("independent", "independent", "correlated"), strict=True):
        row["slopes"] = slopes
        row["times_naive"] = float(f"{row['ess_per_second'] / naive['ess_per_second']:.3g}")
        row["distance"] = None
    rows[1]["distance"] = float(f"{_distance(fits[0], draws):.2g}")
    return rows


def _ours(fit: Any, consumers_count: int) -> dict[str, Any]:
    return _row(
        "marginal NUTS",
        consumers_count,
        fit.seconds["sampling"],
        float(fit.diagnostics["ess_bulk"].min()),
        float(fit.diagnostics["r_hat"].max()),
        fit.config.chains * fit.config.draws,
        fit.divergences_count,
    )


def _distance(fit: Any, draws: np.ndarray) -> float:
    """Largest difference of two posterior means over the global parameters, in standard deviations of `fit`.

    draws (chains, draws, d): of the naive model, in the order of the fit's parameters.
    """
    ours = fit.draws.reshape(-1, fit.draws.shape[-1])
    if ours.shape[1] != draws.shape[2]:
        raise ValueError(
            f"the naive model has {draws.shape[2]} global parameters, marginal NUTS {ours.shape[1]}: they are not the "
            "same model; look at naive_rows._naive and Layout."
        )
    return float(np.max(np.abs(draws.mean(axis=(0, 1)) - ours.mean(axis=0)) / ours.std(axis=0)))


def _row(
    method: str, consumers: int, seconds: float, ess: float, r_hat: float, draws: int, divergences: int
) -> dict[str, Any]:
    return {
        "method": method,
        "consumers": consumers,
        "seconds": round(seconds, 1),
        "draws": draws,
        "ess_bulk_min": round(ess, 1),
        "ess_per_second": float(f"{ess / seconds:.3g}"),
        "r_hat_max": round(r_hat, 3),
        "is_converged": r_hat < CONVERGED,
        "divergences": divergences,
    }


def _naive(folder: Path, ours: Any, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Row and draws (chains, draws, d): non-centred, independent slopes, priors and order of parameters as ours."""
    import pymc as pm
    import pytensor.tensor as pt

    from models.hbmmm.diagnostics import ess_bulk, r_hat

    rows, who, market, features = _rows(folder, ours)
    design, prior = ours.design, ours.config
    slopes = list(design.slope_columns)
    n, j, k = len(ours.consumer_ids), len(ours.market_ids), len(slopes)
    owners = np.array([c for c, _ in design.moderators])
    with pm.Model() as model:
        log_noise = pm.Normal("log_noise", 0, prior.prior_log_noise_sd)
        sizes = np.array(design.slope_sizes)
        scale = np.append(
            prior.prior_consumer_intercept_scale, prior.prior_consumer_slope_share * sizes[: k - 1]
        )
        consumer_sd = pm.HalfNormal("consumer_sd", scale)
        scale = np.append(prior.prior_market_intercept_scale, prior.prior_market_slope_share * sizes)
        market_sd = pm.HalfNormal("market_sd", scale)
        fixed_sd = ours.prior_sd[-len(design.fixed_names) :]
        fixed = pm.Normal("fixed", 0, fixed_sd)
        own = pm.Normal("own", 0, 1, shape=(n, k)) * consumer_sd
        home = pm.Normal("home", 0, 1, shape=(j, len(design.market_columns))) * market_sd
        width = len(design.row_columns)
        moderated = pt.zeros((n, width))
        for column in np.unique(owners):
            mine = np.flatnonzero(owners == column)
            moderated = pt.set_subtensor(moderated[:, column], pt.dot(features[:, mine], fixed[width + mine]))
        total = fixed[:width][None] + moderated
        total = pt.inc_subtensor(total[:, slopes], own)
        total = pt.inc_subtensor(total[:, list(design.market_columns)], home[market])
        mean = (rows[:, :-1] * total[who]).sum(axis=1)
        pm.Normal("outcome", mean, pt.exp(log_noise), observed=rows[:, -1])
    logger = logging.getLogger("pymc")
    logger.setLevel(logging.ERROR)
    options = {
        "chains": CHAINS,
        "cores": 1,
        "nuts_sampler": "pymc",
        "random_seed": seed,
        "progressbar": True,
        "compute_convergence_checks": False,
        "return_inferencedata": False,
        "compile_kwargs": {"mode": "NUMBA"},
        "model": model,
    }
    pm.sample(1, tune=1, **options)  # compiles
    begun = time.perf_counter()
    trace = pm.sample(DRAWS, tune=TUNE, **options)
    seconds = time.perf_counter() - begun
    parts = [
        np.stack(trace.get_values(v, combine=False))
        for v in ("log_noise", "consumer_sd", "market_sd", "fixed")
    ]
    draws = np.concatenate([part.reshape(CHAINS, DRAWS, -1) for part in parts], axis=2)
    row = _row(
        "naive PyMC, every row and effect",
        n,
        seconds,
        float(np.nanmin(ess_bulk(draws))),
        float(np.nanmax(r_hat(draws[None]))),
        CHAINS * DRAWS,
        int(trace.get_sampler_stats("diverging").sum()),
    )
    return row, draws


def _rows(folder: Path, ours: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scaled, centred rows [D, y] (R, pD + 1), their consumer (R,), consumers' markets (N,) and moderators (N, q)."""
    import pandas as pd

    from models.hbmmm.design import feature_matrix
    from models.simulate import consumer_months as cm

    frame = pd.concat([pd.read_parquet(path) for path in sorted((folder / "rows").glob("*.parquet"))])
    who = np.searchsorted(ours.consumer_ids.astype(str), frame["consumer_id"].to_numpy(dtype=str))
    raw = frame[[*cm.CHANNEL_IDS, *cm.COVARIATES, "log1p_gmv"]].to_numpy(dtype=float)
    scaled = np.column_stack([np.ones(len(raw)), raw]) @ ours.design.affine_map(raw.shape[1] + 1)
    count = np.bincount(who)
    for c in range(1, scaled.shape[1] - 1):
        scaled[:, c] -= (np.bincount(who, scaled[:, c]) / count)[who]
    features = feature_matrix(ours.design, ours.row_means, ours.completed[0])
    return scaled, who, ours.market_index, features[:, [f for _, f in ours.design.moderators]]
