"""The one place that imports PyMC, with the settings it needs: no C++ compiler, a compile directory per process.

PyTensor reads its flags once, at its first import, and locks a compile directory that parallel processes must not
share (conventions.md T10). The environment variable is set for the length of that import only. Of flags given twice
PyTensor takes the last, so the empty compiler stands behind whatever the user's own flags say.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
import tempfile
import warnings
from types import ModuleType


@functools.cache
def load_pymc() -> ModuleType:
    """The pymc module; imported on the first call (seconds), from memory afterwards."""
    if "pytensor" not in sys.modules:
        folder = tempfile.mkdtemp(prefix="mediamix-pytensor-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        before = os.environ.get("PYTENSOR_FLAGS")
        given = f"{before}," if before else ""
        os.environ["PYTENSOR_FLAGS"] = f"base_compiledir={folder},{given}cxx="
        try:
            _import_quietly()
        finally:
            if before is None:
                del os.environ["PYTENSOR_FLAGS"]
            else:
                os.environ["PYTENSOR_FLAGS"] = before
    else:
        _import_quietly()
    return sys.modules["pymc"]


def _import_quietly() -> None:
    """ArviZ 0.23 announces its refactoring as a FutureWarning once a day; it is not about our use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
        import pymc  # noqa: F401
