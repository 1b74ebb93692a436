"""MLflow: one run per fit, registered models with aliases, nothing pickled.

SQLite by default (``<home>/mlflow.db``), files below ``<home>/mlartifacts``. mlflow is imported on use: it
takes seconds, and loading definitions must not pay them.
"""

import fcntl
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.resources.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    import pandas as pd

CHALLENGER = "challenger"
CHAMPION = "champion"
FINGERPRINT_TAG = "mediamix.fingerprint"
AS_OF_DATE_TAG = "mediamix.as_of_date"
_LOGGED_PACKAGES = (
    "mediamix",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "pymc",
    "pytensor",
    "numba",
    "duckdb",
    "mlflow",
)
#: What the model needs to be loaded and to predict; given explicitly, since inference imports and downloads.
SERVING_PACKAGES = ("mlflow", "numpy", "pandas", "pyarrow", "scipy")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model and the run that made it."""

    name: str
    version: str
    run_id: str


@dataclass(frozen=True)
class Tracking:
    """The MLflow store of a home."""

    uri: str
    artifact_root: Path

    @classmethod
    def from_settings(cls, settings: Settings) -> "Tracking":
        """The store that the settings name; files always lie in the home."""
        return cls(uri=settings.mlflow_tracking_uri, artifact_root=settings.home / "mlartifacts")

    def connect(self) -> Any:
        """The mlflow module, pointed at this store."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        # else MLflow gives its "Default" experiment a folder mlruns/ wherever the process happens to stand
        os.environ.setdefault("_MLFLOW_SERVER_ARTIFACT_ROOT", self.artifact_root.as_uri())
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        _make_tables(self.uri, self.artifact_root)
        return mlflow

    def experiment_id(self, family: str) -> str:
        """Identifier of experiment ``mediamix/<family>``, created on first use."""
        mlflow = self.connect()
        name = f"mediamix/{family}"
        found = mlflow.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = self.artifact_root / family
        location.mkdir(parents=True, exist_ok=True)
        from mlflow.exceptions import MlflowException

        try:
            return str(mlflow.create_experiment(name, artifact_location=location.as_uri()))
        except MlflowException as error:
            found = mlflow.get_experiment_by_name(name)  # another process may have been quicker
            if found is None:
                raise error
            return str(found.experiment_id)

    @contextmanager
    def run(
        self, family: str, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None
    ) -> Iterator[Any]:
        """An active run of a family (a new one, or an earlier one taken up again); yields the mlflow
        module."""
        mlflow = self.connect()
        if run_id is not None:
            with mlflow.start_run(run_id=run_id, log_system_metrics=False):
                yield mlflow
            return
        experiment = self.experiment_id(family)
        with mlflow.start_run(
            experiment_id=experiment, run_name=name, tags=dict(tags or {}), log_system_metrics=False
        ):
            versions = {"python": platform.python_version()} | package_versions()
            mlflow.set_tags({f"version.{name}": number for name, number in versions.items()} | git_tags())
            yield mlflow

    def find_version(self, model_name: str, fingerprint: str) -> RegisteredVersion | None:
        """The newest registered version with this fingerprint whose files are still there, or None."""
        mlflow = self.connect()
        client = mlflow.MlflowClient()
        found = client.search_model_versions(
            f"name = '{model_name}' and tag.`{FINGERPRINT_TAG}` = '{fingerprint}'"
        )
        for item in sorted(found, key=lambda item: int(item.version), reverse=True):
            if mlflow.artifacts.list_artifacts(artifact_uri=f"models:/{model_name}/{item.version}"):
                return RegisteredVersion(model_name, str(item.version), str(item.run_id))
        return None

    def version_tag(self, model_name: str, model_version: str, tag: str) -> str | None:
        """A tag of the run that made a version; None where it has no such tag."""
        client = self.connect().MlflowClient()
        run_id = client.get_model_version(model_name, model_version).run_id
        return client.get_run(run_id).data.tags.get(tag)

    def has_artefacts(self, run_id: str, folder: str) -> bool:
        """True if something was logged into this folder of a run."""
        return bool(self.connect().MlflowClient().list_artifacts(run_id, folder))

    def register_code_model(
        self,
        model_name: str,
        code_path: Path,
        artifacts: Mapping[str, Path],
        fingerprint: str,
        signature: Any = None,
    ) -> RegisteredVersion:
        """Log the active run's model as code plus files and register it; nothing of it is pickled.

        ``code_path`` is a file that calls ``mlflow.models.set_model``; the package ``models`` travels with
        it.
        """
        mlflow = self.connect()
        info = mlflow.pyfunc.log_model(
            name=model_name,
            python_model=str(code_path),
            artifacts={name: str(path) for name, path in artifacts.items()},
            code_paths=[str(CHECKOUT / "models")],
            pip_requirements=serving_requirements(),
            signature=signature,
            registered_model_name=model_name,
        )
        client = mlflow.MlflowClient()
        number = str(info.registered_model_version)
        client.set_model_version_tag(model_name, number, FINGERPRINT_TAG, fingerprint)
        return RegisteredVersion(model_name, number, str(mlflow.active_run().info.run_id))

    def set_alias(self, model_name: str, alias: str, model_version: str) -> None:
        """Point ``models:/<name>@<alias>`` at a version."""
        self.connect().MlflowClient().set_registered_model_alias(model_name, alias, model_version)

    def alias_version(self, model_name: str, alias: str) -> str | None:
        """The version behind an alias, or None if there is no such model or alias."""
        mlflow = self.connect()
        from mlflow.exceptions import MlflowException

        try:
            model = mlflow.MlflowClient().get_registered_model(model_name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        found = dict(model.aliases).get(alias)
        return None if found is None else str(found)


@cache
def _make_tables(uri: str, artifact_root: Path) -> None:
    """Have MLflow make its tables, one process of the home at a time: of two that start on an empty database at once,
    one would fail (MLflow 3.17 takes no lock for its tracking tables)."""
    if uri.startswith(("http://", "https://")):
        return
    from mlflow import MlflowClient

    artifact_root.mkdir(parents=True, exist_ok=True)
    with (artifact_root / ".tables.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def log_tables(mlflow: Any, tables: "Mapping[str, pd.DataFrame]", folder: str, most_rows: int = 5000) -> None:
    """Store tables with the active run as CSV; large ones (one row per consumer) stay in the home."""
    for name, table in tables.items():
        if len(table) <= most_rows:
            mlflow.log_text(table.to_csv(index=False), f"{folder}/{name}.csv")


def log_figures(mlflow: Any, figures: Mapping[str, bytes], folder: str = "figures") -> None:
    """Store PNG pictures with the active run."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        for name, png in figures.items():
            path = Path(scratch) / f"{name}.png"
            path.write_bytes(png)
            mlflow.log_artifact(str(path), folder)


def package_versions(names: Sequence[str] = _LOGGED_PACKAGES) -> dict[str, str]:
    """Installed versions; a package that is absent is left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def serving_requirements() -> list[str]:
    """Pinned requirements of a model that is served from this environment."""
    return [f"{name}=={number}" for name, number in package_versions(SERVING_PACKAGES).items()]


def git_tags(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Commit of the checkout and whether tracked files differ from it; empty outside of git."""
    if not (checkout / ".git").exists():
        return {}
    commands = {"head": ["rev-parse", "HEAD"], "status": ["status", "--porcelain", "--untracked-files=no"]}
    answers = {}
    for name, arguments in commands.items():
        try:
            result = subprocess.run(
                ["git", "-C", str(checkout), *arguments],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        answers[name] = result.stdout.strip()
    return {"git.commit": answers["head"], "git.is_dirty": str(bool(answers["status"])).lower()}
