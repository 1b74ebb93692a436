"""The names `models`, `assets`, `orchestration` are anybody's: prove that they are ours, and that the lock is whole."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

REPO_ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["models", "assets", "orchestration"]


def _lock() -> list[Requirement]:
    lines = (REPO_ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def _project() -> dict:
    return tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", PACKAGES)
def test_top_level_package_is_ours(name):
    module = importlib.import_module(name)
    assert module.__file__ is not None, f"{name} is a namespace package: {list(module.__path__)}"
    assert Path(module.__file__).parent == REPO_ROOT / name


def test_no_test_folder_shadows_a_package():
    assert not list((REPO_ROOT / "tests").rglob("__init__.py"))
    assert not [path for path in (REPO_ROOT / "tests").iterdir() if path.name in PACKAGES]


def test_wheel_ships_exactly_the_three_packages():
    config = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())
    assert config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == PACKAGES


@pytest.mark.parametrize("python_version", ["3.11", "3.12", "3.13"])
def test_every_declared_requirement_is_pinned_once_for_each_python(python_version):
    project = _project()
    declared = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        declared += extra
    environment = default_environment() | {
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
    }
    pins: dict[str, str] = {}
    for pin in _lock():
        if pin.marker is None or pin.marker.evaluate(environment):
            name = _canonical(pin.name)
            assert name not in pins, f"{name} is pinned twice for Python {python_version}"
            pins[name] = str(pin.specifier).removeprefix("==")
    for line in declared:
        requirement = Requirement(line)
        pinned = pins.get(_canonical(requirement.name))
        assert pinned is not None, f"{requirement.name} is declared but not locked: run `make lock`"
        assert requirement.specifier.contains(pinned, prereleases=True), (
            f"{requirement.name} is locked at {pinned}, outside {requirement.specifier}: run `make lock`"
        )


def test_lock_is_portable():
    text = (REPO_ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:|--index|/simple", text), "the lock names an index or a machine"
    for pin in _lock():
        assert "+" not in str(pin.specifier), (
            f"{pin} carries a local build tag, which other indexes do not have"
        )


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
