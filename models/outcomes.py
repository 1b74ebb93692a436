"""The names of a three-valued result: passed, failed, or not evaluated (which is no pass). Imports nothing."""

PASSED, FAILED, NOT_EVALUATED = "passed", "failed", "not_evaluated"


def outcome_of(passed: bool | None) -> str:
    """The name of True, False and None."""
    return NOT_EVALUATED if passed is None else PASSED if passed else FAILED
