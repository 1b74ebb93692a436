"""A fit is reused only while no module it runs has changed."""

import ast
import importlib.util
from pathlib import Path

from assets.hbmmm import code_files


def imported_models(path: Path) -> set[Path]:
    """Files of the modules of models/ that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {Path(importlib.util.find_spec(name).origin) for name in names if name.split(".")[0] == "models"}


def test_every_module_that_the_family_imports_is_in_the_fingerprint():
    files = set(code_files())
    imports = set().union(*(imported_models(path) for path in files))
    assert any(path.name == "imputation.py" for path in imports)
    assert imports <= files
