"""deploy/: what can be held without a container engine. `make lint-deploy` lints the files."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from orchestration.resources.settings import ENV_PREFIX, Settings

REPO_ROOT = Path(__file__).resolve().parents[2]
DEPLOY = REPO_ROOT / "deploy"
KNOWN = {ENV_PREFIX + name.upper() for name in Settings.model_fields}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.mark.parametrize("name", ["compose.yaml", "helm-values.yaml", "Dockerfile"])
def test_only_settings_that_exist_are_set(name):
    named = set(re.findall(r"MEDIAMIX_[A-Z_]+", (DEPLOY / name).read_text())) - {"MEDIAMIX_PORT"}
    assert named
    assert named <= KNOWN


def test_nothing_is_published_beyond_loopback(compose):
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert {name for name, published in ports.items() if published} == {"webserver", "mlflow"}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)


def test_no_password_has_a_default(compose):
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{POSTGRES_PASSWORD[^}]*\}", text)) == {"${POSTGRES_PASSWORD:?set it}"}
    assert (
        compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:?set it}"
    )


def test_stores_are_made_before_anybody_looks_for_them(compose):
    services = compose["services"]
    assert services["prepare"]["command"] == ["mediamix", "instance"]
    done = {"prepare": {"condition": "service_completed_successfully"}}
    assert services["code"]["depends_on"] == services["mlflow"]["depends_on"] == done
    for name in ("webserver", "daemon"):
        assert services[name]["depends_on"] == {"code": {"condition": "service_healthy"}}


def test_the_two_stores_are_two_databases_that_the_script_makes(compose):
    names = (DEPLOY / "databases.sh").read_text()
    environment = compose["services"]["daemon"]["environment"]
    uris = [environment[f"MEDIAMIX_{name}_URI"] for name in ("DAGSTER_STORAGE", "MLFLOW_TRACKING")]
    databases = [uri.rpartition("/")[2] for uri in uris]
    assert f"for name in {' '.join(databases)}; do" in names
    dagster, mlflow = (re.sub(r"\$\{.*\}", "word", uri) for uri in uris)
    Settings(dagster_storage_uri=dagster, mlflow_tracking_uri=mlflow)


def test_the_image_installs_the_lock_and_runs_as_nobody(compose):
    text = (DEPLOY / "Dockerfile").read_text()
    extras = re.search(r"--constraint requirements.lock --editable '\.\[(.*)\]'", text)[1].split(",")
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert "USER 10001" in text
    workspace = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    assert workspace["host"] in compose["services"]
    assert str(workspace["port"]) in compose["services"]["code"]["command"]
