"""`make audit`: vulnerable, clean and unreachable are three things."""

import json

import pytest

from orchestration import lock_audit

CLEAN = {"name": "a", "version": "1", "vulns": []}
BAD = {
    "name": "b",
    "version": "2",
    "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}, {"id": "X", "fix_versions": []}],
}
SKIPPED = {"name": "c", "skip_reason": "not on the index"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([CLEAN], 0, "1 of 1 packages looked up, 0 known"),
        ([CLEAN, BAD], 1, "b 2: CVE-1, fixed in 3"),
        ([BAD, SKIPPED], 1, "X, fixed in no version yet"),
        ([CLEAN, SKIPPED], 2, "c: not on the index"),
        ([SKIPPED] * 9, 2, "0 of 9 packages looked up"),
        ([SKIPPED] * 9, 2, "and 4 more that were not looked up"),
        ([], 2, "0 of 0"),
    ],
)
def test_what_was_found_decides(packages, code, words, tmp_path, capsys):
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'dependencies': packages})}'\nexit 1\n")
    program.chmod(0o755)
    assert lock_audit.main([str(program)]) == code
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "#!/bin/sh\necho 'ConnectionError: no route' >&2\nexit 1\n"])
def test_an_index_that_cannot_be_reached_is_no_pass(text, tmp_path, capsys):
    program = tmp_path / "pip-audit"
    if text:
        program.write_text(text)
        program.chmod(0o755)
    assert lock_audit.main([str(program)]) == 2
    printed = capsys.readouterr().out
    assert "NOT EVALUATED" in printed
    assert "no route" in printed or not text
