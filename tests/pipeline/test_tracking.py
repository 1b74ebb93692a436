"""MLflow: runs, versions by fingerprint, aliases; a model as code plus files, loaded without any pickle."""

import json
from pathlib import Path

import pytest

from orchestration.resources.settings import Settings
from orchestration.resources.tracking import git_tags, package_versions, serving_requirements

# MLflow warns about its own style; it runs in clean processes here, as it does in a step.
SCRIPT = """
import json, sys
from pathlib import Path
from orchestration.resources.settings import load_settings
from orchestration.resources.tracking import Tracking

settings = load_settings()
code, payload = Path(sys.argv[1]), Path(sys.argv[2])
tracking = Tracking.from_settings(settings)
assert tracking.alias_version("mediamix-double", "champion") is None
assert tracking.find_version("mediamix-double", "f1") is None
versions = []
for fingerprint in ("f1", "f2"):
    with tracking.run("double", fingerprint, {"kind": "test"}) as mlflow:
        mlflow.log_params({"a": 1})
        versions.append(tracking.register_code_model("mediamix-double", code, {"payload": payload}, fingerprint))
with tracking.run("double", "again", run_id=versions[0].run_id) as mlflow:
    mlflow.log_text("hello", "notes/a.txt")
tracking.set_alias("mediamix-double", "champion", versions[0].version)
assert tracking.find_version("mediamix-double", "f1") == versions[0]
assert tracking.find_version("mediamix-double", "f2") == versions[1]
assert tracking.find_version("mediamix-double", "f3") is None
run = mlflow.get_run(versions[0].run_id)
assert tracking.version_tag("mediamix-double", "1", "kind") == "test"
assert tracking.version_tag("mediamix-double", "1", "of nobody") is None
assert tracking.has_artefacts(versions[0].run_id, "notes")

import shutil
from types import SimpleNamespace
import pandas as pd
from assets.fits import log_estimates

refresh, run_id = SimpleNamespace(settings=settings), versions[1].run_id
for text in ("first", "second"):  # the second time the run has them already
    log_estimates(refresh, run_id, {"channel_effects": pd.DataFrame({"text": [text]})}, {"a": b"png"})
effects = mlflow.artifacts.load_text(f"runs:/{run_id}/effects/channel_effects.csv")
shutil.rmtree(mlflow.MlflowClient().get_model_version_download_uri("mediamix-double", "2").removeprefix("file://"))
assert tracking.find_version("mediamix-double", "f2") is None
print(json.dumps({
    "champion": tracking.alias_version("mediamix-double", "champion"),
    "versions": [item.version for item in versions],
    "effects": effects, "tags": run.data.tags, "params": run.data.params, "artifact_uri": run.info.artifact_uri,
}))
"""
MODEL = """
import json
import mlflow
from pathlib import Path

class Double(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.factor = json.loads(Path(context.artifacts["payload"]).read_text())["factor"]
    def predict(self, context, model_input, params=None):
        return model_input * self.factor

mlflow.models.set_model(Double())
"""
LOAD = """
import mlflow, pandas as pd, sys
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/mediamix-double@champion")
print(model.predict(pd.DataFrame({"x": [1.5, 2.0]}))["x"].tolist())
"""


def pickled_files(folder: Path) -> list[str]:
    """Files whose name or first bytes say pickle (protocol 2 and later begin with 0x80 and the protocol)."""
    suffixes = {".pkl", ".pickle", ".joblib", ".cloudpickle"}
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            head = path.read_bytes()[:2]
            if path.suffix in suffixes or (len(head) == 2 and head[0] == 0x80 and head[1] in range(2, 6)):
                found.append(str(path.relative_to(folder)))
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A home whose MLflow store holds two versions of a small model, and what the script said."""
    import os
    import subprocess
    import sys

    home = tmp_path_factory.mktemp("tracking")
    (home / "model.py").write_text(MODEL)
    (home / "payload.json").write_text(json.dumps({"factor": 2}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAMIX_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home / "model.py"), str(home / "payload.json")],
        env=environment | {"MEDIAMIX_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return home, json.loads(done.stdout.strip().splitlines()[-1])


def test_versions_are_found_by_fingerprint_and_the_alias_moves(store):
    _, said = store
    assert said["versions"] == ["1", "2"]
    assert said["champion"] == "1"


def test_a_run_knows_where_its_numbers_come_from(store):
    home, said = store
    assert said["params"] == {"a": "1"}
    assert said["tags"]["kind"] == "test"
    assert said["tags"]["version.numpy"] == package_versions()["numpy"]
    assert {"version.python", "version.scikit-learn", "version.pyarrow"} <= set(said["tags"])
    assert said["artifact_uri"].startswith((home / "mlartifacts" / "double").as_uri())


def test_estimates_are_logged_once_and_whenever_the_run_lacks_them(store):
    assert store[1]["effects"].split() == ["text", "first"]


def test_everything_lies_in_the_home(store):
    home, _ = store
    assert (home / "mlflow.db").exists()
    assert sorted(item.name for item in home.iterdir()) == [
        "mlartifacts",
        "mlflow.db",
        "model.py",
        "payload.json",
    ]


def test_the_model_loads_in_a_clean_process_with_pickle_forbidden(store, run_python, monkeypatch):
    home, _ = store
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    done = run_python("-c", LOAD, f"sqlite:///{home / 'mlflow.db'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[3.0, 4.0]"


def test_nothing_stored_is_pickled(store):
    home, _ = store
    assert pickled_files(home / "mlartifacts") == []


def test_the_pickle_scan_can_see_one(tmp_path):
    import pickle

    (tmp_path / "harmless_name.bin").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "model.pkl").write_text("")
    (tmp_path / "fine.json").write_text("{}")
    assert sorted(pickled_files(tmp_path)) == ["harmless_name.bin", "model.pkl"]


def test_requirements_are_pinned_and_say_nothing_of_this_machine():
    assert all("==" in line and "/" not in line for line in serving_requirements())


def test_git_tags_outside_of_git_are_empty(tmp_path):
    assert git_tags(tmp_path) == {}


def test_the_default_store_is_sqlite_in_the_home(tmp_path):
    settings = Settings(home=tmp_path, source="simulated")
    assert settings.mlflow_tracking_uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
