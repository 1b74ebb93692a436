"""How fast, how large: raw Parquet of consumer-months to effect tables, the paper's linear model.

Each size runs in a process of its own, after a small run that compiles the kernels. The clock is warm: SQL statistics,
inference, consumer effects, files written; drawing the world is not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import ROOT, peak_memory_gib, provenance
from benchmarks.naive_rows import compare

STUDY = ROOT / "docs" / "studies"
SIZES = (5_000, 50_000, 500_000)
WARM_UP = 2_000
CORES = 2


def main() -> None:
    """Parse arguments; without --one, run every size in its own process and write the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="consumers")
    parser.add_argument("--inference", default="auto", choices=["auto", "nuts", "importance"])
    parser.add_argument("--one", type=int, help="run this size here and print its figures as JSON")
    parser.add_argument(
        "--naive", type=int, default=0, help="consumers of the comparison with naive PyMC; 0: none"
    )
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory(prefix="mediamix-bench-") as folder:
            measure(WARM_UP, Path(folder) / "warm", options.inference, say=False)
            figures = measure(options.one, Path(folder) / "timed", options.inference, say=True)
        print(json.dumps(figures))
        return
    rows = []
    for size in options.sizes:
        command = [sys.executable, "-m", "benchmarks.hbmmm_scale", "--one", str(size)]
        command += ["--inference", options.inference]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(run.stdout.strip().splitlines()[-1]))
        print(rows[-1], flush=True)
    naive = []
    if options.naive:
        with tempfile.TemporaryDirectory(prefix="mediamix-bench-") as folder:
            naive = compare(options.naive, Path(folder))
    write_study(rows, naive, options.inference)


def measure(consumers_count: int, folder: Path, inference: str, *, say: bool) -> dict[str, Any]:
    """Draw a world of this size, time every step from its Parquet files to effect tables, compare with the truth."""
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.effects import effects_of_statistics
    from models.hbmmm.fit import fit_hbmmm
    from models.simulate.consumer_months import ConsumerMonthsConfig

    def progress(text: str, share: float) -> None:
        if say:
            print(f"[{time.strftime('%H:%M:%S')}] {share:4.0%} {text}", file=sys.stderr, flush=True)

    world = ConsumerMonthsConfig(consumers_count=consumers_count)
    progress("drawing the world", 0.0)
    slopes, rows_count = write_world(world, folder)
    progress("SQL statistics", 0.0)
    clock, seconds = time.perf_counter(), {}
    statistics, sums, characteristics = read_statistics(folder)
    seconds["sql"] = time.perf_counter() - clock
    config = HBMMMConfig(
        basis="linear",
        include_period_effects="none",
        inference=inference,
        effect_draws=100,
        worker_processes=CORES,
        draws=1000,
        robust_errors=False,
        seed=world.seed,
    )
    fit = fit_hbmmm(statistics, characteristics, config, progress)
    seconds |= fit.seconds
    begun = time.perf_counter()
    effects = effects_of_statistics(fit, statistics, sums, characteristics)
    for name in ("channel", "market", "segment", "consumer"):
        getattr(effects, name).to_parquet(folder / f"{name}_effects.parquet", index=False)
    seconds["effects"] = time.perf_counter() - begun
    total = time.perf_counter() - clock
    return {
        "consumers": consumers_count,
        "rows": rows_count,
        "method": str(fit.sampler["method"].iloc[0]),
        "seconds": {name: round(value, 1) for name, value in seconds.items()} | {"total": round(total, 1)},
        "peak_memory_gib": round(peak_memory_gib(), 2),
        "parameters": len(fit.parameter_names),
        "evaluations": int(fit.sampler["evaluations_count"].sum()),
        "k_hat": _number(fit.k_hat),
        "importance_ess": _number(fit.sampler["importance_ess"].sum(skipna=False)),
        "r_hat_max": _number(fit.diagnostics["r_hat"].max()),
        "ess_bulk_min": _number(fit.diagnostics["ess_bulk"].min()),
        "ess_tail_min": _number(fit.diagnostics["ess_tail"].min()),
        "divergences": fit.divergences_count,
        "seed": world.seed,
        "recovery": recovery(effects, slopes),
    }


def write_world(world: Any, folder: Path) -> tuple[np.ndarray, int]:
    """Raw files `rows/*.parquet` and `consumers.parquet`; returns the true slopes per exposure (N, C), rows."""
    from models.simulate import consumer_months as cm

    (folder / "rows").mkdir(parents=True)
    slopes, people, rows_count = [], [], 0
    starts = pd.date_range("2021-01-01", periods=world.periods_count, freq="MS").to_numpy()
    for part, chunk in enumerate(cm.consumer_months(world)):
        ids = np.char.add("c", np.char.zfill(chunk.number.astype(str), 8))
        markets = np.char.add("m", np.char.zfill(chunk.market.astype(str), 3))
        frame = {"consumer_id": ids[chunk.consumer], "market_id": markets[chunk.consumer]}
        frame |= {"period_start_date": starts[chunk.period]}
        frame |= {c: chunk.exposures[:, i].astype(np.int32) for i, c in enumerate(cm.CHANNEL_IDS)}
        frame |= {z: chunk.covariates[:, i] for i, z in enumerate(cm.COVARIATES)}
        frame |= {"log1p_gmv": chunk.outcome}
        pd.DataFrame(frame).to_parquet(folder / "rows" / f"part-{part:05d}.parquet", index=False)
        people.append(
            pd.DataFrame(chunk.characteristics, columns=list(cm.CHARACTERISTICS)).assign(consumer_id=ids)
        )
        slopes.append(chunk.slopes / cm.EXPOSURE_SDS)
        rows_count += len(chunk.consumer)
    pd.concat(people).to_parquet(folder / "consumers.parquet", index=False)
    return np.concatenate(slopes), rows_count


def read_statistics(folder: Path) -> tuple[Any, Any, pd.DataFrame]:
    """One pass of SQL over the raw rows: Gram matrices and exposure sums by consumer; and the characteristics."""
    import duckdb

    from models.hbmmm.exposure_weights import ExposureSums
    from models.hbmmm.statistics import DesignColumn, SufficientStatistics
    from models.simulate import consumer_months as cm

    columns = (
        DesignColumn("intercept", "intercept"),
        *(DesignColumn(f"exposure[{c}]", "exposure", c) for c in cm.CHANNEL_IDS),
        *(DesignColumn(f"covariate[{z}]", "covariate", None, z) for z in cm.COVARIATES),
        DesignColumn("log1p_gmv", "outcome"),
    )
    names = ["1", *cm.CHANNEL_IDS, *cm.COVARIATES, "log1p_gmv"]
    first, second = np.triu_indices(len(names))
    products = [f"sum({names[a]} * {names[b]})::double" for a, b in zip(first, second, strict=True)]
    exposed = [f"count_if({c} > 0)::double" for c in cm.CHANNEL_IDS]
    with duckdb.connect(config={"threads": CORES, "memory_limit": "2GB"}) as connection:
        found = connection.sql(
            f"select consumer_id, any_value(market_id) as market_id, {', '.join(products + exposed)} "
            "from read_parquet(?) group by consumer_id order by consumer_id",
            params=[str(folder / "rows" / "*.parquet")],
        ).to_arrow_table()
        people = connection.execute(
            "select * from read_parquet(?) order by consumer_id", [str(folder / "consumers.parquet")]
        ).df()
    ids = found.column(0).to_numpy()
    markets = found.column(1).combine_chunks().dictionary_encode()
    packed = np.empty((len(ids), len(products)))
    for j in range(len(products)):
        packed[:, j] = found.column(2 + j).to_numpy()
    exposed_rows = np.column_stack(
        [found.column(2 + len(products) + j).to_numpy() for j in range(len(exposed))]
    )
    market_ids = np.array(markets.dictionary.to_pylist(), dtype=object)
    order = np.argsort(market_ids)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    statistics = SufficientStatistics(
        columns=columns,
        consumer_ids=ids.astype(object),
        market_ids=market_ids[order],
        market_index=rank[markets.indices.to_numpy()],
        spend_stratum=np.full(len(ids), "all", dtype=object),
        rows_count=np.rint(packed[:, 0]).astype(np.int64),
        packed=packed,
        basis_id="linear",
    )
    exposures = packed[:, 1 : 1 + len(cm.CHANNEL_IDS)]
    nothing = np.zeros_like(exposures)  # the linear basis has no log1p columns
    sums = ExposureSums("log1p", packed[:, 0], exposures, nothing, nothing, nothing, exposed_rows)
    return statistics, sums, people.set_index("consumer_id")


def recovery(effects: Any, slopes: np.ndarray) -> dict[str, Any]:
    """Slopes against the truth: mean over consumers and its interval by channel, coverage over consumers."""
    from models.simulate.consumer_months import CHANNEL_IDS

    out: dict[str, Any] = {}
    chosen = effects.consumer[effects.consumer["estimand"] == "slope"]
    channel = effects.channel.query("estimand == 'slope' and exposure_distribution == 'panel_rows'")
    for i, name in enumerate(CHANNEL_IDS):
        row = channel[channel["channel_id"] == name].iloc[0]
        mine = chosen[chosen["channel_id"] == name].sort_values("consumer_id")
        inside = (mine["interval_lower"] <= slopes[:, i]) & (slopes[:, i] <= mine["interval_upper"])
        out[name] = {
            "true_mean": _number(slopes[:, i].mean()),
            "mean": _number(row["mean"]),
            "interval": [_number(row["interval_lower"]), _number(row["interval_upper"])],
            "consumer_coverage": _number(inside.mean()),
            "consumer_correlation": _number(np.corrcoef(mine["mean"], slopes[:, i])[0, 1]),
            "learned_share": _number(mine["learned_share"].mean()),
        }
    return out


def write_study(rows: list[dict[str, Any]], naive: list[dict[str, Any]], inference: str) -> None:
    """JSON for machines, a table for people."""
    STUDY.mkdir(parents=True, exist_ok=True)
    name = "hbmmm_scale" if inference == "auto" else f"hbmmm_scale_{inference}"
    content = {
        "command": _command(rows, naive, inference),
        "provenance": provenance(),
        "runs": rows,
        "naive": naive,
    }
    (STUDY / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    where = content["provenance"]
    lines = [
        "# HBMMM at scale",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB. "
        "Raw Parquet of consumer-months to effect tables: the paper's linear model (4 random slopes with full "
        "covariance, 3 covariates, 50 markets, 3 characteristics, own means) on models/simulate/consumer_months. "
        "Seconds are warm: kernels compiled, the world drawn before.",
        "",
        "| consumers | rows | method | SQL | sampling | consumers' moments | effects, files | total s | peak GiB "
        "| k-hat | size of importance sample | max R-hat | min bulk ESS | min tail ESS |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        s = r["seconds"]
        lines.append(
            f"| {r['consumers']:,} | {r['rows']:,} | {r['method']} | {s['sql']} | {s['sampling']} | {s['consumers']} "
            f"| {s['effects']} | **{s['total']}** | {r['peak_memory_gib']} | {_shown(r['k_hat'])} "
            f"| {_shown(r['importance_ess'])} | {_shown(r['r_hat_max'])} | {_shown(r['ess_bulk_min'])} "
            f"| {_shown(r['ess_tail_min'])} |"
        )
    lines += [
        "",
        "Mean slope over consumers (log points per exposure) against the truth; share of consumers whose 95 % interval "
        "holds their true slope; correlation of estimate and truth; share that a consumer's own months decide.",
        "",
        "| consumers | channel | true mean | mean | 95 % interval | coverage | correlation | learned share |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        for channel, v in r["recovery"].items():
            low, high = v["interval"]
            lines.append(
                f"| {r['consumers']:,} | {channel} | {v['true_mean']:.5f} | {v['mean']:.5f} | {low:.5f} to {high:.5f} "
                f"| {v['consumer_coverage']:.3f} | {v['consumer_correlation']:.2f} | {v['learned_share']:.3f} |"
            )
    if naive:
        lines += [
            "",
            "The same model written row by row in PyMC, every effect a parameter (benchmarks/naive_rows.py), on the "
            "same data; seconds of sampling after compilation, one core. Sizes of chains that have not converged are "
            "upper bounds.",
            "",
            "| method | consumers | draws | seconds | min bulk ESS | ESS/s | max R-hat | converged | divergences |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for r in naive:
            lines.append(
                f"| {r['method']} | {r['consumers']:,} | {r['draws']} | {r['seconds']} | {r['ess_bulk_min']:.0f} "
                f"| {r['ess_per_second']} | {r['r_hat_max']} | {'yes' if r['is_converged'] else '**no**'} "
                f"| {r['divergences']} |"
            )
    (STUDY / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _command(rows: list[dict[str, Any]], naive: list[dict[str, Any]], inference: str) -> str:
    sizes = " ".join(str(r["consumers"]) for r in rows)
    return f'make bench-hbmmm SIZES="{sizes}" INFERENCE={inference} NAIVE={naive[0]["consumers"] if naive else 0}'


def _number(value: Any) -> float | None:
    value = float(value)
    return None if not np.isfinite(value) else float(f"{value:.6g}")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
