"""Homes that dbt can build: a folder of small files is landed and built by dbt as a subprocess, as in a real run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from assets.landing.land import LandingReport, land
from orchestration.resources.artefacts import write_schema_files
from orchestration.resources.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2] / "dbt_project"


@dataclass(frozen=True)
class DbtHome:
    """A home with a folder source. `alias` is a link to the home under a name that all homes of a session share:
    dbt re-parses everything when MEDIAMIX_HOME changes, and reads its cache when it does not."""

    folder: Path
    settings: Settings
    alias: Path

    def write(self, **tables: str) -> None:
        """Write `<table>.csv` files into the source folder; a name such as transactions__late is a further file."""
        for name, text in tables.items():
            (self.folder / f"{name}.csv").write_text(text, encoding="utf-8")

    def land(self) -> LandingReport:
        """Land the folder, and leave the empty artefact tables that every run leaves."""
        write_schema_files(self.settings.artefacts_dir)
        return land(self.settings)

    def build(
        self,
        *arguments: str,
        check: bool = True,
        threads: int = 2,
        with_unit_tests: bool = False,
        **variables: Any,
    ) -> subprocess.CompletedProcess[str]:
        """`dbt build` with the variables of the settings; `check` fails the test with dbt's output.

        dbt's unit tests do not depend on the data, so one test runs them and the other builds leave them out.
        """
        self.alias.unlink(missing_ok=True)
        self.alias.symlink_to(self.settings.home, target_is_directory=True)
        command = [
            str(Path(sys.executable).with_name("dbt")),
            "--no-use-colors",
            "build",
            *arguments,
            *(() if with_unit_tests else ("--exclude-resource-type=unit_test",)),
            f"--project-dir={PROJECT_DIR}",
            f"--profiles-dir={PROJECT_DIR}",
            f"--target-path={self.alias.parent / 'target'}",
            f"--log-path={self.alias.parent / 'logs'}",
            f"--threads={threads}",
            f"--vars={json.dumps(self.settings.dbt_vars() | {'home': str(self.alias)} | variables)}",
        ]
        environment = os.environ | {
            "MEDIAMIX_HOME": str(self.alias),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=self.settings.home, timeout=900
        )
        if check:
            assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done

    @contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The DuckDB file, read-only and only while no dbt runs."""
        with duckdb.connect(str(self.settings.warehouse_path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the warehouse."""
        with self.warehouse() as connection:
            return connection.execute(sql).fetchall()

    def mart_path(self, name: str) -> Path:
        """The one exported file of a mart; fails if there is none or more than one as-of date."""
        (path,) = (self.settings.marts_dir / name).glob(f"as_of_date=*/{name}.parquet")
        return path

    def mart(self, name: str) -> Any:
        """An exported mart as a frame; amounts are Decimals, dates are dates."""
        return pq.ParquetFile(self.mart_path(name)).read().to_pandas()


@pytest.fixture(scope="session")
def dbt_home_factory(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DbtHome]:
    """Make homes that live as long as the session: for worlds that several tests only read."""
    shared = tmp_path_factory.mktemp("dbt")

    def make(tables: Mapping[str, str], **settings: Any) -> DbtHome:
        home = tmp_path_factory.mktemp("home")
        folder = tmp_path_factory.mktemp("source")
        made = DbtHome(folder, Settings(home=home, source=str(folder), **settings), shared / "home")
        made.write(**tables)
        return made

    return make


@pytest.fixture
def dbt_home(dbt_home_factory: Callable[..., DbtHome]) -> Callable[..., DbtHome]:
    """Make a home, land `tables` (name -> CSV text) and build it; settings such as period="week" by keyword."""

    def make(tables: Mapping[str, str], *arguments: str, **settings: Any) -> DbtHome:
        made = dbt_home_factory(tables, **settings)
        made.land()
        made.build(*arguments)
        return made

    return make
