"""A simulated world in the contract's shape, with its truth kept aside for recovery tests and reports."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assets.landing.contract import CONTRACT
from assets.landing.manifest import connect, write_parquet
from assets.landing.reader import FileRefusedError, SourceFile, quote_literal

if TYPE_CHECKING:
    from models.simulate.consumers import ConsumerWorldConfig
    from orchestration.resources.settings import Settings

TRUTH_FOLDER = "simulated_truth"
FIRST_DAY, FIRST_MONDAY = dt.date(2021, 1, 1), dt.date(2021, 1, 4)


def write_world(settings: Settings, folder: Path) -> list[SourceFile]:
    """Simulate the world of ``settings`` into CSV files under ``folder``, and its truth into a folder beside them.

    Same settings, same bytes: CSV rather than Parquet, so that a newer DuckDB does not make it another world.
    """
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
            target = folder / TRUTH_FOLDER / f"{name}.parquet"
            write_parquet(connection, "SELECT * FROM frame", target)
            connection.unregister("frame")
    return files


def keep_truth(settings: Settings, folder: Path) -> None:
    """Move the truth that ``write_world`` left in ``folder`` to the artefacts; call it once the world is landed."""
    target = settings.artefacts_dir / TRUTH_FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((folder / TRUTH_FOLDER).glob("*.parquet")):
        os.replace(path, target / path.name)


def _world_config(settings: Settings) -> ConsumerWorldConfig:
    from models.simulate.consumers import ConsumerWorldConfig

    period = settings.period or "month"
    try:
        return ConsumerWorldConfig(
            consumers_count=settings.simulated_consumers_count,
            markets_count=settings.simulated_markets_count,
            periods_count=settings.simulated_periods_count,
            pre_periods_count=settings.pre_periods_count or 0,
            period=period,
            start_date=FIRST_MONDAY if period == "week" else FIRST_DAY,
            confounding=settings.simulated_confounding,
        )
    except ValueError as error:
        raise FileRefusedError(
            f"no such world can be simulated: {error} Change the settings named there."
        ) from error
