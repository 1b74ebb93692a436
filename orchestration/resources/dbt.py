"""dbt from Dagster: where the project is, its manifest, and the command-line resource.

The manifest is made ahead (``python -m orchestration.resources.dbt prepare``, which ``make setup`` calls) by
``dbt parse``, which opens no database. Definitions refuse to load from a manifest that is absent or older
than the project: a stale graph would skip models without a word.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from dagster_dbt import DbtCliResource
from packaging.version import Version, parse

PROJECT_DIR = Path(__file__).resolve().parents[2] / "dbt_project"
MANIFEST_PATH = PROJECT_DIR / "target" / "manifest.json"
_STAMP_PATH = PROJECT_DIR / "target" / "manifest.sources.sha256"
_SOURCE_FOLDERS = ("models", "macros", "seeds", "tests", "analyses", "snapshots")
_SOURCE_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".md"}
PREPARE_COMMAND = "python -m orchestration.resources.dbt prepare"


class ManifestError(RuntimeError):
    """The dbt manifest is absent, outdated, or could not be made."""


class MediamixDbt(DbtCliResource):
    """dbt as a subprocess, and nothing of dbt in this process.

    The base class also builds a dbt adapter in the calling process, for fetching row counts. That adapter
    keeps the DuckDB file open afterwards (conventions T2), so it is not built here.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return parse(installed_version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Any) -> None:
        return None


def dbt_resource() -> MediamixDbt:
    """The resource of the definitions: this project, its profile, the dbt of this environment."""
    return MediamixDbt(
        project_dir=PROJECT_DIR,
        profiles_dir=PROJECT_DIR,
        dbt_executable=dbt_executable(),
        global_config_flags=["--no-use-colors"],
    )


def dbt_executable() -> str:
    """dbt beside the running Python, so that another dbt on PATH never answers."""
    beside = Path(sys.executable).with_name("dbt")
    if not beside.exists():
        raise ManifestError(
            f"No dbt beside {sys.executable}; the project needs the dbt-core that its lock pins. Run "
            f"`make setup`."
        )
    return str(beside)


def sources_hash() -> str:
    """Hash of every file that the manifest is made from, and of dbt's version."""
    digest = hashlib.sha256(installed_version("dbt-core").encode())
    files = [PROJECT_DIR / "dbt_project.yml", PROJECT_DIR / "profiles.yml"]
    for folder in _SOURCE_FOLDERS:
        files += [path for path in (PROJECT_DIR / folder).rglob("*") if path.suffix in _SOURCE_SUFFIXES]
    for path in sorted(files):
        digest.update(str(path.relative_to(PROJECT_DIR)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def require_manifest() -> Path:
    """Path of a manifest that fits the project, or an error with the command to run."""
    if not (PROJECT_DIR / "dbt_project.yml").exists():
        raise ManifestError(
            f"No dbt project at {PROJECT_DIR}; the wheel does not carry it. Install editable from a checkout."
        )
    if not MANIFEST_PATH.exists() or not _STAMP_PATH.exists():
        raise ManifestError(
            f"{MANIFEST_PATH} does not exist, so the graph is unknown. Run `{PREPARE_COMMAND}` (or `make "
            f"setup`)."
        )
    if _STAMP_PATH.read_text().strip() != sources_hash():
        raise ManifestError(
            f"{MANIFEST_PATH} is older than the files of {PROJECT_DIR.name}/, so models would be missing "
            f"or stale. "
            f"Run `{PREPARE_COMMAND}` (or `make setup`)."
        )
    return MANIFEST_PATH


def prepare(*, force: bool = False) -> bool:
    """Parse the project into the manifest; False if it was current already. Opens no database."""
    current = sources_hash()
    if not force and MANIFEST_PATH.exists() and _STAMP_PATH.exists():
        if _STAMP_PATH.read_text().strip() == current:
            return False
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            "MEDIAMIX_HOME": scratch,
            **os.environ,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_LOG_PATH": scratch,
        }
        command = [dbt_executable(), "--quiet", "--no-use-colors", "parse", "--no-partial-parse"]
        command += ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
        command += ["--target-path", str(Path(scratch) / "target")]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ManifestError(
                f"dbt parse failed, so there is no graph. Correct what it "
                f"names:\n{result.stdout}{result.stderr}"
            )
        MANIFEST_PATH.parent.mkdir(parents=True, exist_ok=True)
        temporary = MANIFEST_PATH.with_name(f".manifest.{os.getpid()}.tmp")
        temporary.write_bytes((Path(scratch) / "target" / "manifest.json").read_bytes())
        temporary.replace(MANIFEST_PATH)
    _STAMP_PATH.write_text(current + "\n")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Command line: ``prepare`` writes the manifest if it is absent or outdated."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m orchestration.resources.dbt", description=main.__doc__)
    parser.add_argument("command", choices=["prepare"], help="parse the dbt project into its manifest")
    parser.add_argument("--force", action="store_true", help="parse even if the manifest is current")
    options = parser.parse_args(arguments)
    try:
        made = prepare(force=options.force)
    except ManifestError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"[setup] dbt manifest {'written' if made else 'is current'}: {MANIFEST_PATH.relative_to(Path.cwd())}"
        if MANIFEST_PATH.is_relative_to(Path.cwd())
        else f"[setup] dbt manifest: {MANIFEST_PATH}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
