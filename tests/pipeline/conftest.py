"""Fixtures of the orchestration tests: a current manifest, homes, and commands in clean processes."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # dagster-dbt imports sqlglot with its retired Rust tokenizer, which says so once; nothing of ours does that
    warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
    import dagster_dbt  # noqa: F401

REPO_ROOT = Path(__file__).resolve().parents[2]


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
