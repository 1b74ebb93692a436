"""A simulated world in the contract's shape, with its truth kept aside for recovery tests and reports."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assets.landing.contract import CONTRACT
from assets.landing.reader import SourceFile, quote_literal

if TYPE_CHECKING:
    from orchestration.resources.settings import Settings

TRUTH_FOLDER = "simulated_truth"


def write_world(settings: Settings, folder: Path) -> list[SourceFile]:
    """Simulate the world of ``settings`` into CSV files under ``folder``; its truth goes to the artefacts.

    Same settings, same bytes: CSV rather than Parquet, so that a newer DuckDB does not make it another world.
    """
    from assets.landing.manifest import connect, write_parquet
    from models.simulate.consumers import simulate_consumers  # pulls scipy; only this source needs it

    world = simulate_consumers(_world_config(settings), np.random.default_rng(settings.seed))
    files = []
    with connect() as connection:
        connection.execute("SET threads = 1")
        for table_name in CONTRACT:
            frame = world.tables.get(table_name)
            if frame is None:
                continue
            path = folder / f"{table_name}.csv"
            connection.register("frame", frame)
            connection.execute(
                f"COPY (SELECT * FROM frame) TO {quote_literal(str(path))} (FORMAT csv, HEADER)"
            )
            connection.unregister("frame")
            files.append(SourceFile(table_name, path, path.name))
        for name, frame in world.truth.items():
            connection.register("frame", frame)
            target = settings.artefacts_dir / TRUTH_FOLDER / f"{os.path.basename(name)}.parquet"
            write_parquet(connection, "SELECT * FROM frame", target)
            connection.unregister("frame")
    return files


def _world_config(settings: Settings) -> Any:
    from models.simulate.consumers import ConsumerWorldConfig

    return ConsumerWorldConfig(
        consumers_count=settings.simulated_consumers_count,
        markets_count=settings.simulated_markets_count,
        periods_count=settings.simulated_periods_count,
        confounding=settings.simulated_confounding,
    )
