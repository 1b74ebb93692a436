"""An interrupted study resumes: finished jobs are kept, a line cut short is not, other settings or code start anew."""

import pytest

from benchmarks.checkpoint import ROOT, fingerprint, finished_jobs, run_jobs, source_files

CALLED = []


def square(value: int) -> int:
    CALLED.append(value)
    return value**2


def test_only_what_is_missing_runs_again_after_a_cut(tmp_path):
    path = tmp_path / "kept" / "jobs.jsonl"
    jobs = {f"job {i}": (i,) for i in range(3)}
    said = []
    assert run_jobs(path, jobs, square, 1, said.append) == {"job 0": 0, "job 1": 1, "job 2": 4}
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-5], encoding="utf-8")  # the last line was being written
    assert set(finished_jobs(path)) == {"job 0", "job 1"}
    CALLED.clear()
    assert run_jobs(path, jobs | {"job 5": (5,)}, square, 1, said.append)["job 5"] == 25
    assert CALLED == [2, 5]
    assert set(finished_jobs(path)) == {"job 0", "job 1", "job 2", "job 5"}
    assert said[-1].endswith("4 of 4: job 5")
    CALLED.clear()
    assert list(run_jobs(path, {"job 5": (5,)}, square, 1, said.append)) == ["job 5"] and not CALLED


def test_other_settings_have_another_fingerprint():
    assert fingerprint(square, {"draws": 150}) == fingerprint(square, {"draws": 150})
    assert fingerprint(square, {"draws": 150}) != fingerprint(square, {"draws": 151})


STUDY = {
    "benchmarks/__init__.py": "",
    "benchmarks/study.py": "from benchmarks.shared import told\n\ndef job():\n    from models.near import near\n",
    "benchmarks/shared.py": "import benchmarks.some_page\n\ndef told(): return 1\n",
    "benchmarks/some_page.py": "from models.drawn import picture\n",
    "models/__init__.py": "",
    "models/near/__init__.py": "from models.far import thing\n\ndef near(): return thing\n",
    "models/far/__init__.py": "",
    "models/far/thing.py": '"""What it is."""\n\nVALUE = 1\n',
    "models/drawn.py": "picture = 1\n",
    "models/unused/__init__.py": "VALUE = 1\n",
}


@pytest.fixture
def study(tmp_path):
    """A study in a tree of its own: root, its job."""
    for name, text in STUDY.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    job = compile("def job(): ...", str(tmp_path / "benchmarks/study.py"), "exec")
    names = {}
    exec(job, names)
    return tmp_path, names["job"]


@pytest.mark.parametrize(
    ("name", "added", "changes"),
    [
        ("benchmarks/study.py", "OTHER = 2\n", True),
        ("benchmarks/shared.py", "OTHER = 2\n", True),
        ("models/near/__init__.py", "OTHER = 2\n", True),
        ("models/far/thing.py", "VALUE = 2\n", True),  # through models.near, imported inside a function
        ("models/far/thing.py", "# a remark\n\n", False),
        ("models/unused/__init__.py", "VALUE = 2\n", False),
        ("benchmarks/some_page.py", "VALUE = 2\n", False),
        ("models/drawn.py", "VALUE = 2\n", False),
    ],
)
def test_only_code_that_the_job_can_run_changes_its_fingerprint(study, name, added, changes):
    root, job = study
    before = fingerprint(job, root=root)
    path = root / name
    path.write_text(path.read_text(encoding="utf-8") + added, encoding="utf-8")
    assert (fingerprint(job, root=root) != before) is changes


def test_another_docstring_is_the_same_code(study):
    root, job = study
    before = fingerprint(job, root=root)
    (root / "models/far/thing.py").write_text('"""Said better."""\nVALUE = 1\n', encoding="utf-8")
    assert fingerprint(job, root=root) == before


def test_the_worlds_rest_on_the_hbmmm_and_not_on_the_market_model():
    found = {path.relative_to(ROOT).as_posix() for path in source_files(ROOT / "benchmarks/judged.py")}
    assert {"models/hbmmm/laplace.py", "models/panel.py", "models/evaluation/recovery.py"} <= found
    assert not [name for name in found if name.startswith(("models/response/", "models/causalmmm/"))]
