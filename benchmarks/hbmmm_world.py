"""The benchmark's world: raw Parquet files of consumer-months, and one pass of SQL to sufficient statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.simulate.study_worlds import SEED

MONTHS = 24  # of every consumer
CORES = 2


def bench_world(consumers_count: int, months: int = MONTHS) -> Any:
    """The settings of the world of this size: every consumer has all months."""
    from models.simulate.consumer_months import ConsumerMonthsConfig

    return ConsumerMonthsConfig(
        consumers_count=consumers_count, periods_count=months, shortest=months, seed=SEED
    )


def bench_config(inference: str, *, is_product: bool = False) -> Any:
    """The paper's linear model, as this benchmark fits it, or with the draws and errors that the product makes."""
    from models.hbmmm.config import HBMMMConfig

    few = {} if is_product else {"effect_draws": 100, "draws": 1000, "robust_errors": False}
    return HBMMMConfig(
        basis="linear",
        include_period_effects="none",
        inference=inference,
        worker_processes=CORES,
        seed=SEED + 1,  # the world has SEED
        **few,
    )


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


def read_statistics(folder: Path, between: tuple[str, str] | None = None) -> tuple[Any, Any, pd.DataFrame]:
    """One pass of SQL over the raw rows: Gram matrices and exposure sums by consumer; and the characteristics.

    between: first and last consumer_id wanted; files of others are skipped by their statistics.
    """
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
    wanted = "where consumer_id between ? and ? " if between else ""
    limits = list(between or ())
    with duckdb.connect(config={"threads": CORES, "memory_limit": "2GB"}) as connection:
        found = connection.sql(
            f"select consumer_id, any_value(market_id) as market_id, {', '.join(products + exposed)} "
            f"from read_parquet(?) {wanted}group by consumer_id order by consumer_id",
            params=[str(folder / "rows" / "*.parquet"), *limits],
        ).to_arrow_table()
        people = connection.execute(
            f"select * from read_parquet(?) {wanted}order by consumer_id",
            [str(folder / "consumers.parquet"), *limits],
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
