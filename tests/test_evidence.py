"""Every published study says from which commit it was made: one of this history, with nothing uncommitted."""

import json
import subprocess
from pathlib import Path

import pytest

from docs_site.evidence import Origin, Study, StudyError, evidence_table, read_studies

REPO_ROOT = Path(__file__).resolve().parents[1]
STUDIES = read_studies()
#: Studies that are known not to keep the rule, until they are measured anew. One that keeps it must leave this list.
EXCEPTIONS = {
    "outcomes": "its commit was on a branch that was rebased",
}


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=REPO_ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def history() -> None:
    """Skips, and thereby says so, where there is no whole history to look a commit up in."""
    shallow = git("rev-parse", "--is-shallow-repository")
    if shallow.returncode != 0:
        pytest.skip("NOT EVALUATED: not a git checkout, so no commit of a study can be looked up")
    if shallow.stdout.strip() != "false":
        pytest.skip(
            "NOT EVALUATED: a shallow clone; run `git fetch --unshallow` to look commits of studies up"
        )


def faults(study: Study) -> list[str]:
    found = []
    for origin in study.origins:
        if not origin.tree_is_clean:
            found.append(f"{origin.commit[:10]} had uncommitted changes")
        if git("merge-base", "--is-ancestor", origin.commit, "HEAD").returncode != 0:
            found.append(f"{origin.commit[:10]} is not in the history of this checkout")
    return found


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_was_made_from_a_commit_of_this_history(study, history):
    found = faults(study)
    if study.name in EXCEPTIONS:
        assert found, f"{study.name} keeps the rule now: take it out of EXCEPTIONS"
    else:
        assert not found, f"{study.name}: {'; '.join(found)}. Measure it again on a commit of main."


def test_exceptions_are_studies():
    assert set(EXCEPTIONS) <= {study.name for study in STUDIES}


def test_a_commit_that_nobody_knows_is_a_fault(history):
    head = git("rev-parse", "HEAD").stdout.strip()
    known, unknown = (Origin("make x", "2026-11-22", one, True, 2, 23.5) for one in (head, "0" * 40))
    assert faults(Study("x", "x", (), (known,))) == []
    assert faults(Study("x", "x", (), (known, unknown))) == [
        "0000000000 is not in the history of this checkout"
    ]


@pytest.fixture
def write_study(tmp_path):
    provenance = {
        "date": "2026-11-22",
        "commit": "a" * 40,
        "tree_is_clean": True,
        "cores": 2,
        "memory_gib": 23.5,
    }

    def write(page: str = "# What | is asked?\n", **parts: object) -> Path:
        document = {"command": "make study-x", "provenance": provenance} | parts
        (tmp_path / "x.json").write_text(json.dumps(document))
        (tmp_path / "x.md").write_text(page)
        return tmp_path

    write.provenance = provenance
    return write


def test_the_evidence_table_has_question_verdicts_commit_and_command(write_study):
    folder = write_study(
        rows=[{"passed": True}, {"passed": False}, {"passed": None}, {"passed": 76}], table={"passes": True}
    )
    row = evidence_table(read_studies(folder)).splitlines()[-1]
    assert "[What \\| is asked?](studies/x.md)" in row
    assert "2 passed, 1 **failed**, 1 not evaluated" in row  # 76 is a count, not a verdict
    assert "2026-11-22, commit `aaaaaaaaaa`, 2 cores" in row and "`make study-x`" in row


def test_sections_with_commits_of_their_own_have_rows_of_their_own(write_study):
    other = write_study.provenance | {"commit": "b" * 40, "tree_is_clean": False}
    (study,) = read_studies(write_study(part={"command": "make other", "provenance": other}))
    assert [(one.command, one.commit[0]) for one in study.origins] == [
        ("make study-x", "a"),
        ("make other", "b"),
    ]
    assert "commit `bbbbbbbbbb` with uncommitted changes" in evidence_table((study,))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"provenance": None}, "has no provenance"),
        ({"command": None}, "without a command"),
        ({"page": "no heading\n"}, "does not begin with a heading"),
    ],
)
def test_a_study_that_does_not_say_where_it_comes_from_is_refused(write_study, parts, message):
    with pytest.raises(StudyError, match=message):
        read_studies(write_study(**parts))


def test_an_abbreviated_commit_is_refused(write_study):
    with pytest.raises(StudyError, match="not a whole commit id"):
        read_studies(write_study(provenance=write_study.provenance | {"commit": "abc1234"}))
