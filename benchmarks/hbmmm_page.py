"""The study docs/studies/hbmmm_scale: sections, one a measurement, each with its own command, commit and machine.

`python -m benchmarks.hbmmm_page --add FILE` takes over the sections of another clone's JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import ROOT, make_command, provenance

STUDY = ROOT / "docs" / "studies" / "hbmmm_scale.json"
Section = dict[str, Any]


def main() -> None:
    """Write the page from the sections kept, and those of another file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--add", type=Path, help="a hbmmm_scale.json whose sections replace those of their names"
    )
    options = parser.parse_args()
    _write(_sections() | (json.loads(options.add.read_text(encoding="utf-8")) if options.add else {}))


def write_section(name: str, content: Section, part: str) -> None:
    """Replace one section, and write the page anew. part: of `make bench-hbmmm PART=`."""
    command = make_command(f"bench-hbmmm PART={part}")
    _write(_sections() | {name: {"command": command, "provenance": provenance(), **content}})


def number(value: Any) -> float | None:
    """Six digits; None where not finite."""
    value = float(value)
    return None if not np.isfinite(value) else float(f"{value:.6g}")


def _sections() -> dict[str, Section]:
    return json.loads(STUDY.read_text(encoding="utf-8")) if STUDY.exists() else {}


def _write(sections: dict[str, Section]) -> None:
    STUDY.parent.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (STUDY, json.dumps(sections, indent=1) + "\n"),
        (STUDY.with_suffix(".md"), page(sections)),
    ):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)


def page(sections: dict[str, Section]) -> str:
    """The study for people: the parts that were measured, one after the other."""
    lines = ["# HBMMM at scale"]
    parts = {"warm": _warm, "nuts": _nuts, "cold": _cold, "beyond": _beyond, "naive": _naive}
    for name, part in parts.items():
        mine = [value for key, value in sections.items() if key.startswith(f"{name}_")]
        if mine:
            lines += ["", *part(sorted(mine, key=lambda row: row["consumers"])), *_origin(mine)]
    return "\n".join(lines) + "\n"


def _warm(rows: list[Section]) -> list[str]:
    from models.hbmmm.config import HBMMMConfig

    default = HBMMMConfig()
    product = {"effect_draws": default.effect_draws, "robust_errors": default.robust_errors}
    return [
        "## Warm clock",
        "",
        "Raw Parquet of consumer-months to effect tables on 2 cores: the paper's linear model (4 random slopes with "
        "full covariance, 3 covariates, 50 markets, 3 characteristics, own means) on models/simulate/consumer_months. "
        "Kernels are compiled and the world is drawn before the clock starts. Effect draws are the posterior draws "
        "that effects and their intervals rest on; clustered errors are a second computation of every population "
        f"interval, which the product makes and takes where they are wider (its settings: {_settings(product)}).",
        "",
        *_table(
            ["consumers", "rows", "settings", "method", "SQL", "sampling", "consumers' moments", "effects, files",
             "total s", "peak GiB", "k-hat", "size of importance sample", "max R-hat", "min bulk ESS", "min tail ESS"],
            (
                [r["consumers"], r["rows"], _settings(r), r["method"],
                 *(r["seconds"][s] for s in ("sql", "sampling", "consumers", "effects")),
                 f"**{r['seconds']['total']}**", r["peak_memory_gib"], r["k_hat"],
                 r["importance_ess"], r["r_hat_max"], r["ess_bulk_min"], r["ess_tail_min"]]
                for r in rows
            ),
        ),
        "",
        "Mean slope over consumers (log points per exposure) against the truth; share of consumers whose 95 % interval "
        "holds their true slope; correlation of estimate and truth; share that a consumer's own months decide.",
        "",
        *_table(
            ["consumers", "settings", "channel", "true mean", "mean", "95 % interval", "coverage", "correlation",
             "learned share"],
            (
                [r["consumers"], _settings(r), channel, v["true_mean"], v["mean"],
                 f"{_cell(v['interval'][0])} to {_cell(v['interval'][1])}", v["consumer_coverage"],
                 v["consumer_correlation"], v["learned_share"]]
                for r in rows
                for channel, v in r["recovery"].items()
            ),
        ),
    ]  # fmt: skip


def _settings(row: Section) -> str:
    """What of a warm row's settings is not the product's; rows kept before they said so had the benchmark's."""
    clustered = "with" if row.get("robust_errors", False) else "no"
    return f"{row.get('effect_draws', 100):,} effect draws, {clustered} clustered errors"


def _nuts(rows: list[Section]) -> list[str]:
    return [
        "## NUTS over every global parameter",
        "",
        "The same data and model; wanted: four chains, R-hat below 1.01, bulk and tail sizes above 1,000 for each "
        "parameter. Chains move in the variances, fixed coefficients are drawn given them; one core; seconds of "
        "the chains are their sum, whatever else the machine did (load average in the JSON file).",
        "",
        *_table(
            ["consumers", "rows", "parameters", "of them variances", "chains x draws", "ms a gradient",
             "gradients a draw", "mode and step s", "chains s", "total s", "of it on the processor", "peak GiB",
             "max R-hat", "min bulk ESS", "min tail ESS", "E-BFMI", "divergences", "met"],
            (
                [r["consumers"], r["rows"], r["parameters"], r["variances"], f"{r['chains']} x {r['draws']}",
                 1000.0 * r["seconds_gradient"], r["gradients_per_draw"], r["seconds_mode_and_step"],
                 round(sum(r["seconds_chains"])), f"**{r['seconds_total']}**", round(sum(r["cpu_seconds_chains"])),
                 r["peak_memory_gib"], r["r_hat_max"], r["ess_bulk_min"], r["ess_tail_min"], r["e_bfmi"],
                 r["divergences"], "yes" if r["passed"] else "**no**"]
                for r in rows
            ),
        ),
    ]  # fmt: skip


def _cold(rows: list[Section]) -> list[str]:
    names = list(dict.fromkeys(step for r in rows for step in r["steps"]))
    return [
        "## Cold clock",
        "",
        "What a user runs, `make run SOURCE=FOLDER`, in an empty home with empty caches of compiled code: files in the "
        "contract's tables (purchases, exposures, consumers, covariates) landed, checked and aggregated by dbt, "
        "fitted, effects published, logged to MLflow. Peak memory is the sum over all processes (proportional set "
        "size, sampled each half second). A run is `published` only if the gate let its fit through and its rows stand "
        "in reporting.channel_effects.",
        "",
        *_table(
            ["consumers", "consumer-months", "rows of raw tables", "outcome", "gate", "sampler", "k-hat", "max R-hat",
             "least size", "rows published", "of them HBMMM's"],
            (
                [r["consumers"], r["consumer_months"], r["raw_rows"], r["outcome"], r["gate_decision"], r["sampler"],
                 r["k_hat"], r["r_hat_max"], r["ess_least"], r["published_rows"], r["published_rows_hbmmm"]]
                for r in rows
            ),
        ),
        "",
        *(f"{r['consumers']:,} consumers: the gate says: {r['gate_reason']}. Clock: {r['clock']}." for r in rows),
        "",
        *_table(
            ["consumers", "total s", "peak GiB", "home GiB", *(f"{n} s" for n in names)],
            (
                [r["consumers"], f"**{r['seconds_total']}**", r["peak_memory_gib"], r["home_gib"],
                 *(r["steps"].get(n) for n in names)]
                for r in rows
            ),
        ),
    ]  # fmt: skip


def _beyond(rows: list[Section]) -> list[str]:
    return [
        "## Beyond memory",
        "",
        "Rows of 12 months a consumer are read in parts, by ranges of consumers; of a part only its statistics stay. "
        "The clock is warm as above; consumers' effects are streamed to Parquet as mean, sd and interval.",
        "",
        *_table(
            ["consumers", "rows", "raw GiB", "SQL s", "inference s", "effects s", "total s", "peak GiB", "k-hat",
             "size of importance sample", "outcome"],
            (
                [r["consumers"], r["rows"], r["raw_gib"], r["seconds"]["sql"], r["seconds"].get("sampling"),
                 r["seconds"].get("effects"), f"**{r['seconds']['total']}**", r["peak_memory_gib"], r.get("k_hat"),
                 r.get("importance_ess"), r["outcome"]]
                for r in rows
            ),
        ),
    ]  # fmt: skip


def _naive(sections: list[Section]) -> list[str]:
    return [
        "## Naive PyMC",
        "",
        "The paper's linear model with independent slopes written row by row in PyMC, every effect a parameter "
        "(benchmarks/naive_rows.py), beside marginal NUTS on the same data, with the same model and priors; seconds of "
        "sampling after compilation, one core. `times naive` is the ratio of effective sizes a second; sizes of chains "
        "that have not converged are upper bounds, so that the ratio is then a lower one. `distance` is the largest "
        "difference of two posterior means, in posterior standard deviations of marginal NUTS. The last row of a size "
        "is what the product fits: the same with correlated slopes, hence more parameters and no distance.",
        "",
        *_table(
            ["consumers", "method", "slopes", "draws", "seconds", "min bulk ESS", "ESS/s", "times naive", "distance",
             "max R-hat", "converged", "divergences"],
            (
                [r["consumers"], r["method"], r["slopes"], r["draws"], r["seconds"], r["ess_bulk_min"],
                 r["ess_per_second"], r["times_naive"], r["distance"], r["r_hat_max"],
                 "yes" if r["is_converged"] else "**no**", r["divergences"]]
                for section in sections
                for r in section["methods"]
            ),
        ),
    ]  # fmt: skip


def _origin(rows: list[Section]) -> list[str]:
    """Which command, commit and machine: one line each kind."""
    lines = {}
    for r in rows:
        where = r["provenance"]
        changes = "" if where["tree_is_clean"] else " with changes"
        lines[
            f"`{r['command']}`, {where['date']}, commit {where['commit'][:10]}{changes}, {where['cores']} cores, "
            f"{where['memory_gib']} GiB"
        ] = where["load_average"]
    return ["", *(f"{line}; load average at the end {load}." for line, load in lines.items())]


def _table(names: list[str], rows: Iterable[list[Any]]) -> list[str]:
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    return lines + [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
