"""Fixtures of the orchestration tests: a current manifest, homes, and commands in clean processes."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

with warnings.catch_warnings():
    # dagster-dbt imports sqlglot with its retired Rust tokenizer, which says so once; nothing of ours does that
    warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
    import dagster_dbt  # noqa: F401

REPO_ROOT = Path(__file__).resolve().parents[2]
#: 60 draws on 60 consumers converge to nothing: the gate is opened wide, so that the way to a champion is walked.
SMALL_FIT = {
    "chains_count": 2,
    "tune_count": 30,
    "draws_count": 60,
    "imputations_count": 2,
    "fit_processes_count": 1,
    "gate_r_hat_most": 100,
    "gate_ess_least": 0.1,
    "gate_baseline_deviation_most": 10,
    "gate_overlap_least": 0,
    "gate_naive_ratio_most": 100,
    "gate_champion_ratio_most": 100,
    "gate_coverage_error_most": 1,
}


@dataclass(frozen=True)
class Run:
    """One `run` command: its home, its settings, and what it printed."""

    home: Path
    settings: dict[str, Any]
    text: str

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Query in which {artefacts} is the folder of artefacts."""
        with duckdb.connect() as connection:
            return connection.execute(sql.format(artefacts=self.home / "artefacts")).fetchall()

    def table(self, name: str, columns: str, rest: str = "") -> list[tuple[Any, ...]]:
        """Rows of a published table."""
        return self.rows(f"select {columns} from '{{artefacts}}/reporting/{name}.parquet' {rest}")


@pytest.fixture(scope="session")
def manifest() -> Path:
    """The dbt manifest, made anew if the project changed since."""
    from orchestration.resources.dbt import MANIFEST_PATH, prepare

    prepare()
    return MANIFEST_PATH


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Function (code or arguments, **settings) -> finished Python process, with no setting of this process."""

    def run(*arguments: str, timeout: float = 900, **settings: object) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAMIX_")}
        environment = inherited | {
            "MEDIAMIX_HOME": str(tmp_path / "home"),
            "OMP_NUM_THREADS": "1",
            **{f"MEDIAMIX_{name.upper()}": str(value) for name, value in settings.items()},
        }
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=REPO_ROOT,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def contract_tables(request: pytest.FixtureRequest) -> ModuleType:
    """The builders of the small folders in tests/conftest.py."""
    return request.config.pluginmanager.get_plugin(str(REPO_ROOT / "tests" / "conftest.py"))


@pytest.fixture(scope="session")
def run_product(manifest: Path) -> Callable[..., Run]:
    """Function (home, source, **settings) -> finished Run of the command of `make run`, with a small fit.

    command: another one than `run`, with its arguments.
    """

    def run(home: Path, source: Path | str, command: Sequence[str] = ("run",), **settings: Any) -> Run:
        chosen = SMALL_FIT | settings
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAMIX_")}
        variables = {f"MEDIAMIX_{name.upper()}": str(value) for name, value in chosen.items()}
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "orchestration.cli",
                *command,
                "--home",
                str(home),
                "--source",
                str(source),
            ],
            env=inherited | variables | {"OMP_NUM_THREADS": "1"},
            cwd=REPO_ROOT,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return Run(home, chosen, done.stdout)

    return run
