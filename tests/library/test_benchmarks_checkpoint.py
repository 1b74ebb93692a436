"""An interrupted study resumes: finished jobs are kept, a line cut short is not, other settings start anew."""

from benchmarks.checkpoint import fingerprint, finished_jobs, run_jobs

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
    assert fingerprint({"draws": 150}) == fingerprint({"draws": 150})
    assert fingerprint({"draws": 150}) != fingerprint({"draws": 151})
