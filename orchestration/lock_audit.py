"""Known vulnerabilities of the locked packages: ``make audit``. A look-up that could not be made is not a pass.

Exit code 0: every package was looked up and has none; 1: some have; 2: not evaluated, in part or whole.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from models.outcomes import FAILED, NOT_EVALUATED, PASSED
from orchestration.resources.settings import CHECKOUT

EXIT_CODES = {PASSED: 0, FAILED: 1, NOT_EVALUATED: 2}
_SECONDS = 600
_SHOWN = 5


def audit(pip_audit: Path, lock: Path) -> tuple[str, list[str]]:
    """Outcome and lines to print of `pip-audit` on a lock file."""
    command = [str(pip_audit), "--requirement", str(lock), "--no-deps", "--disable-pip", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return NOT_EVALUATED, [f"pip-audit did not end within {_SECONDS} s; is the package index reachable?"]
    except (OSError, ValueError, KeyError) as error:
        said = done.stderr.strip().splitlines() if isinstance(error, ValueError | KeyError) else [str(error)]
        return NOT_EVALUATED, ["pip-audit could not look the packages up:", *said[-3:]]
    return judge(packages)


def judge(packages: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """Outcome and lines of what pip-audit found: vulnerable packages first, then those it skipped."""
    found = [
        f"{item['name']} {item['version']}: {one['id']}, fixed in {', '.join(one['fix_versions']) or 'no version yet'}"
        for item in packages
        for one in item.get("vulns", [])
    ]
    skipped = [f"{item['name']}: {item['skip_reason']}" for item in packages if "skip_reason" in item]
    looked_up = len(packages) - len(skipped)
    if len(skipped) > _SHOWN:
        skipped = [*skipped[:_SHOWN], f"and {len(skipped) - _SHOWN} more that were not looked up"]
    summary = f"{looked_up} of {len(packages)} packages looked up, {len(found)} known vulnerabilities"
    if found:
        return FAILED, [summary, *found, *skipped]
    return (NOT_EVALUATED if skipped or not looked_up else PASSED), [summary, *skipped]


def main(arguments: list[str] | None = None) -> int:
    """Print the outcome of the program given as the only argument."""
    (pip_audit,) = sys.argv[1:] if arguments is None else arguments
    outcome, lines = audit(Path(pip_audit), CHECKOUT / "requirements.lock")
    for line in lines:
        print(f"[audit] {line}")
    print(f"[audit] {outcome.replace('_', ' ').upper()}")
    return EXIT_CODES[outcome]


if __name__ == "__main__":
    sys.exit(main())
