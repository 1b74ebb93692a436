"""Simulation-based calibration of the HBMMM on a small world (`make study-sbc`): 200 draws from the prior, 200 fits.

Beside it the same worlds with what the model does not know of (prior_worlds.MISSPECIFICATIONS), published as they come.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy import special, stats

from benchmarks.checkpoint import FOLDER, fingerprint, job_key, run_jobs
from benchmarks.machine import ROOT, provenance
from models.evaluation import calibration
from models.evaluation.prior_worlds import MISSPECIFICATIONS
from models.simulate.study_worlds import SEED

CONSUMERS, MARKETS, PERIODS, PRE_PERIODS = 150, 8, 14, 2
RANK_DRAWS = 100  # of each posterior, thinned, that the truth is ranked among
PROCESSES = 2
DRAWS = 1000  # kept of each of four chains
ALPHA = 0.05  # family-wise, over the global parameters
FIRST_RUN = (
    "A first whole run of this study failed (family-wise p .004): truth was made with unknown recency and frequency "
    "at their average, while the fit imputed them, so that the intercept's spread between consumers and two "
    "coefficients of those characteristics covered .77 to .82. Characteristics have been completed once, for truth and "
    "fit alike, since (docs/decisions.md, 'Calibration is judged without gaps'); what gaps do to effects is the "
    "question of `make study-missing`."
)


@cache
def worlds(draws: int = DRAWS) -> Any:
    """The fixed part: exposures, characteristics (completed once) and covariates of one simulated panel; its design.

    draws: kept of each chain of every fit.
    """
    from models.evaluation.prior_worlds import PriorWorlds
    from models.hbmmm.characteristics import learn_characteristics
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.design import build_design
    from models.hbmmm.fit import designed_and_completed
    from models.hbmmm.statistics import SufficientStatistics
    from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig
    from models.simulate.consumers import simulate_consumers

    world = ConsumerWorldConfig(
        consumers_count=CONSUMERS,
        markets_count=MARKETS,
        periods_count=PERIODS,
        pre_periods_count=PRE_PERIODS,
        channels=tuple(c for c in PAPER_CHANNELS if c.name in ("tv", "email")),
        missing_share=0.0,
    )
    panel = simulate_consumers(world, np.random.default_rng(SEED)).to_panel()
    config = HBMMMConfig(
        include_period_effects="none",
        draws=draws,
        effect_draws=400,
        robust_errors=False,
        inference="nuts",
        seed=SEED,
    )
    statistics = SufficientStatistics.from_panel(panel)
    _, completed = designed_and_completed(
        statistics, panel.characteristics, config, np.random.default_rng([SEED, 3])
    )
    # what the fit sees is what the truth was made with: gaps are another study's (study_missing)
    frame = completed[0][list(panel.characteristics.columns)]
    design = build_design(statistics, learn_characteristics(frame, config), config)
    return PriorWorlds(panel, design, frame, config), frame


def replicate(number: int, misspecification: str | None, draws_count: int) -> dict[str, Any]:
    """One draw from the prior, one fit of so many draws a chain: ranks, covers, diagnostics, CPU seconds of the fit."""
    from models.hbmmm.consumers import consumer_draws
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.problem import build_problem

    source, frame = worlds(draws_count)
    drawn = source.draw(np.random.default_rng([SEED, 1, number]), misspecification)
    config = replace(source.config, seed=SEED + number)
    begun = time.process_time()
    fit = fit_hbmmm(drawn.statistics, frame, config, design=source.design)
    seconds = time.process_time() - begun
    draws = fit.draws.reshape(-1, fit.draws.shape[-1])
    thinned = draws[np.linspace(0, len(draws) - 1, RANK_DRAWS).round().astype(int)]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    slopes = list(source.design.slope_columns)
    sd = np.sqrt(np.diagonal(fit.coefficient_covariance, axis1=1, axis2=2))[:, slopes]
    z = np.abs(drawn.coefficients - fit.coefficient_mean[:, slopes]) / sd
    problem = build_problem(drawn.statistics, source.design, fit.completed[0])
    everybody = consumer_draws(problem, fit.kept_draws(0), np.random.default_rng([SEED, 2, number]))
    means = np.array([one.coefficients[:, slopes].mean(axis=0) for one in everybody])
    mean_low, mean_high = np.quantile(means, [0.025, 0.975], axis=0)
    truth = drawn.coefficients.mean(axis=0)
    return {
        "misspecification": misspecification,
        "names": list(fit.parameter_names),
        "ranks": calibration.truth_ranks(thinned, drawn.parameters).tolist(),
        "covered": ((low <= drawn.parameters) & (drawn.parameters <= high)).tolist(),
        "consumer_covered": (z < special.ndtri(0.975)).mean(axis=0).tolist(),
        "mean_covered": ((mean_low <= truth) & (truth <= mean_high)).tolist(),
        "mean_z": ((means.mean(axis=0) - truth) / means.std(axis=0)).tolist(),
        "r_hat": float(fit.diagnostics["r_hat"].max()),
        "ess": float(fit.diagnostics["ess_bulk"].min()),
        "divergences": fit.divergences_count,
        "cpu_seconds": round(seconds, 1),
    }


def main() -> None:
    """Run the replicates that are not kept yet, write docs/studies/sbc.json, .md and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--misspecified", type=int, default=40, help="replicates of each misspecification")
    parser.add_argument("--draws", type=int, default=DRAWS, help="kept draws of each of the four chains")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--output", default="docs/studies", help="folder, from the repository's root")
    options = parser.parse_args()
    count = options.replicates
    wanted: list[tuple[int, str | None]] = [(number, None) for number in range(count)]
    wanted += [(number, kind) for kind in MISSPECIFICATIONS for number in range(options.misspecified)]
    begun = time.perf_counter()
    path = FOLDER / f"sbc_{fingerprint(replicate, options.draws)}.jsonl"
    jobs = {job_key([kind or "none", number]): (number, kind, options.draws) for number, kind in wanted}
    everything = list(run_jobs(path, jobs, replicate, options.processes).values())
    found = [one for one in everything if one["misspecification"] is None]
    names = found[0]["names"]
    ranks, covered = np.array([f["ranks"] for f in found]), np.array([f["covered"] for f in found])
    p_values = calibration.uniformity_p_values(ranks, RANK_DRAWS, np.random.default_rng(SEED))
    family = float(min(1.0, p_values.min() * len(p_values)))
    kinds = {
        "noise": [i for i, n in enumerate(names) if n.startswith("log_noise_sd")],
        "standard deviations": [
            i for i, n in enumerate(names) if "_sd[" in n and not n.startswith("log_noise")
        ],
        "correlations": [i for i, n in enumerate(names) if n.startswith("slope_correlation")],
        "slopes": [i for i, n in enumerate(names) if n.startswith("exposure") and ":" not in n],
        "Theta (slope moderators)": [i for i, n in enumerate(names) if n.startswith("exposure") and ":" in n],
        "intercept equation": [i for i, n in enumerate(names) if n.startswith("intercept")],
    }
    consumer = np.array([f["consumer_covered"] for f in found]).mean(axis=0)
    columns = ["intercept", *worlds()[0].design.modelled_channels]
    content = {
        "command": f"make study-sbc REPLICATES={count} MISSPECIFIED={options.misspecified} DRAWS={options.draws}",
        "provenance": provenance(),
        "seconds_of_this_run": round(time.perf_counter() - begun, 1),
        "seed": SEED,
        "replicates": count,
        "draws_a_chain": options.draws,
        "cpu_seconds_of_a_fit": float(np.median([f["cpu_seconds"] for f in everything])),
        "first_run": FIRST_RUN,
        "parameters": len(names),
        "confounded_channel": worlds()[0].design.modelled_channels[0],
        "smallest_p_value": float(p_values.min()),
        "family_wise_p_value": family,
        "coverage": {kind: float(covered[:, at].mean()) for kind, at in kinds.items() if at},
        "consumer_coverage": dict(zip(columns, consumer.tolist(), strict=True)),
        "by_specification": {
            kind or "none": coverage_table([f for f in everything if f["misspecification"] == kind], columns)
            for kind in (None, *MISSPECIFICATIONS)
            if any(f["misspecification"] == kind for f in everything)
        },
        "r_hat_max": max(f["r_hat"] for f in found),
        "r_hat_above_1.01": sum(f["r_hat"] >= 1.01 for f in found),
        "ess_min": min(f["ess"] for f in found),
        "with_divergences": sum(f["divergences"] > 0 for f in found),
        "parameters_by_p_value": [
            {"parameter": names[i], "p_value": float(p_values[i]), "coverage": float(covered[:, i].mean())}
            for i in np.argsort(p_values)
        ],
    }
    folder = ROOT / options.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sbc.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "sbc.md").write_text(page(content), encoding="utf-8")
    (folder / "sbc_ecdf.png").write_bytes(picture(ranks, names, p_values))
    print(page(content))


def coverage_table(found: list[dict[str, Any]], columns: list[str]) -> dict[str, Any]:
    """Replicates; by column: coverage and mean error in posterior sds of the mean over consumers, and coverage of each
    consumer's own."""
    covered = np.array([f["mean_covered"] for f in found]).mean(axis=0)
    error = np.array([f["mean_z"] for f in found]).mean(axis=0)
    own = np.array([f["consumer_covered"] for f in found]).mean(axis=0)
    rows = {
        column: {
            "mean_coverage": float(covered[i]),
            "mean_error_in_sds": float(error[i]),
            "own_coverage": float(own[i]),
        }
        for i, column in enumerate(columns)
    }
    return {"replicates": len(found), "columns": rows}


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where = content["provenance"]
    lines = [
        "# Simulation-based calibration of the HBMMM",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB, "
        f"seed {content['seed']}.",
        "",
        f"{content['replicates']} times: parameters drawn from the prior, effects and outcome from the parameters "
        f"({CONSUMERS} consumers, {MARKETS} markets, {PERIODS - PRE_PERIODS} months, 3 channels, exposures and "
        f"characteristics fixed and without gaps), and the model fitted with its scales fixed beforehand. "
        f"{content['parameters']} global parameters, each truth ranked among {RANK_DRAWS} posterior draws.",
        "",
        f"- Uniform ranks (simultaneous ECDF bands): smallest p value {content['smallest_p_value']:.4f}, "
        f"family-wise (Bonferroni over parameters) **{content['family_wise_p_value']:.3f}**, "
        f"{'below' if content['family_wise_p_value'] <= ALPHA else 'not below'} {ALPHA}: "
        f"{'**failed**' if content['family_wise_p_value'] <= ALPHA else 'passed'}. {FIRST_RUN}",
        "- Coverage of 95 % intervals, pooled: "
        + ", ".join(f"{kind} {value:.3f}" for kind, value in content["coverage"].items())
        + ".",
        "- Coverage of consumers' own coefficients: "
        + ", ".join(f"{name} {value:.3f}" for name, value in content["consumer_coverage"].items())
        + ".",
        f"- Sampler: four chains of {content['draws_a_chain']:,} draws, {content['cpu_seconds_of_a_fit']:.0f} CPU "
        f"seconds a fit in the median; largest R-hat {content['r_hat_max']:.3f} ({content['r_hat_above_1.01']} of "
        f"{content['replicates']} fits at 1.01 or more), smallest bulk ESS {content['ess_min']:.0f}, "
        f"{content['with_divergences']} fits with divergences.",
        "",
        "![ECDF of ranks less the uniform](sbc_ecdf.png)",
        "",
        "| parameters with the smallest p values | p | coverage |",
        "|---|---|---|",
    ]
    for row in content["parameters_by_p_value"][:10]:
        lines.append(f"| {row['parameter']} | {row['p_value']:.4f} | {row['coverage']:.3f} |")
    lines += [
        "",
        "What the model does not know of: a hidden shock by consumer and period that goes with the exposure of "
        f"{content['confounded_channel']} (hidden_confounder), noise of t with 3 degrees of freedom (heavy_tails), an "
        "outcome exponential in the linear predictor (wrong_link; truth: mean derivatives). 95 % intervals of the mean "
        "coefficient over consumers, its mean error in posterior standard deviations, and coverage of consumers' own "
        "coefficients.",
        "",
        "| specification | replicates | column | coverage of mean | mean error, sds | coverage of own |",
        "|---|---|---|---|---|---|",
    ]
    for kind, table in content["by_specification"].items():
        for column, row in table["columns"].items():
            lines.append(
                f"| {kind} | {table['replicates']} | {column} | {row['mean_coverage']:.3f} "
                f"| {row['mean_error_in_sds']:+.2f} | {row['own_coverage']:.3f} |"
            )
    return "\n".join(lines) + "\n"


def simultaneous_band(
    replicates: int, parameters: int, rng: np.random.Generator, simulations: int = 20_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (P,) of the scaled ranks, least and greatest share (P,) of ranks at or below each that the verdict allows.

    Family-wise: a parameter leaves the band at some point if and only if its p value, with this rng and number of
    simulations, times the number of parameters is `ALPHA` or less (Säilynoja, Bürkner and Vehtari 2022).
    """
    simulated = rng.integers(0, RANK_DRAWS + 1, (simulations, replicates))
    null = np.sort(calibration._smallest_tail(simulated.T, RANK_DRAWS))
    place = int(np.floor(ALPHA / parameters * (1 + simulations) - 1))
    if place < 0:
        raise ValueError(f"{simulations} simulations cannot judge {parameters} parameters; simulate more.")
    # tails of every count at every point, as the verdict has them
    points = np.unique(np.linspace(0, RANK_DRAWS, calibration.POINTS + 2).round().astype(int)[1:-1])
    share, counts = (points + 1.0) / (RANK_DRAWS + 1.0), np.arange(replicates + 1)[None]
    lower, upper = (
        stats.binom.cdf(counts, replicates, share[:, None]),
        stats.binom.sf(counts - 1, replicates, share[:, None]),
    )
    allowed = np.minimum(lower, upper) >= null[place]
    least, greatest = allowed.argmax(axis=1), replicates - allowed[:, ::-1].argmax(axis=1)
    return share, least / replicates, greatest / replicates


def picture(ranks: np.ndarray, names: list[str], p_values: np.ndarray) -> bytes:
    """ECDF less the diagonal of every parameter, the worst in colour, with the simultaneous band of the verdict."""
    from models.figures.drawing import BLUE, GREY, new_figure, to_png

    figure, axes = new_figure(7.0, 4.0)
    axis = axes[0, 0]
    grid = np.arange(RANK_DRAWS + 1)
    share = (grid + 1) / (RANK_DRAWS + 1)
    for i in np.argsort(-p_values):
        ecdf = (ranks[:, i][:, None] <= grid).mean(axis=0) - share
        worst = i == np.argmin(p_values)
        label = f"{names[i]} (smallest p)" if worst else None
        axis.plot(share, ecdf, color=BLUE if worst else GREY, linewidth=1.6 if worst else 0.4, label=label)
    points, *limits = simultaneous_band(len(ranks), len(names), np.random.default_rng(SEED))
    for limit in limits:
        axis.plot(points, limit - points, "k--", linewidth=0.8, marker=".", markersize=2)
    axis.set_xlabel("rank of the truth among posterior draws, scaled", fontsize=8)
    axis.set_ylabel("ECDF less uniform", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    figure.suptitle(
        f"{len(ranks)} replicates, {len(names)} parameters; dashed: what {1 - ALPHA:.0%} of calibrated models stay in",
        fontsize=10,
    )
    return to_png(figure)


if __name__ == "__main__":
    main()
