"""What the repository promises about itself: commands, documentation of every module, no pickle."""

import ast
import re
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    path for package in ("models", "assets", "orchestration") for path in (REPO_ROOT / package).rglob("*.py")
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPO_ROOT)))
def test_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no module docstring"


def test_every_make_target_has_a_line_of_help():
    text = (REPO_ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.M)
    assert {"run", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:.*## \S", text, re.M), f"make {target} has no help text"


def test_no_pickle_in_the_product():
    for path in SOURCES:
        imported = {
            (node.module or "").split(".")[0]
            if isinstance(node, ast.ImportFrom)
            else alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not imported & {"pickle", "cloudpickle", "joblib", "dill"}, f"{path} imports a pickle library"


def test_the_contract_page_says_what_the_contract_says():
    from assets.landing.contract_page import render

    assert (REPO_ROOT / "docs" / "input_contract.md").read_text() == render(), (
        "run `python -m assets.landing.contract_page > docs/input_contract.md`"
    )
