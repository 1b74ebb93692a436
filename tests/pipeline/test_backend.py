"""PyTensor needs no C++ compiler, whatever the user's own flags say: in clean processes with no compiler on PATH."""

import json

import pytest

CODE = """
import json, os
from models.hbmmm.backend import load_pymc
pm = load_pymc()
import pytensor, pytensor.tensor as pt
x = pt.dvector()
total = float(pytensor.function([x], pt.exp(x).sum(), mode="NUMBA")([0.0, 0.0]))
print("FOUND " + json.dumps([pytensor.config.cxx, pytensor.config.optdb__max_use_ratio,
                            total, os.environ.get("PYTENSOR_FLAGS")]))
"""


@pytest.mark.parametrize("flags", [None, "cxx=g++,optdb__max_use_ratio=9"], ids=["no flags", "flags"])
def test_pytensor_works_without_a_compiler(run_python, monkeypatch, tmp_path, flags):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYTENSOR_FLAGS", raising=False)
    if flags:
        monkeypatch.setenv("PYTENSOR_FLAGS", flags)
    done = run_python("-c", CODE)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    cxx, ratio, total, environment = json.loads(line.removeprefix("FOUND "))
    assert cxx == ""
    assert total == 2.0
    assert environment == flags  # set for the import only, the user's own value is back
    if flags:
        assert ratio == 9  # other flags of the user hold
