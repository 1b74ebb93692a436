"""The names of a check's result: passed, failed, not evaluated (which is no pass), not applicable (by a rule that is
named). Imports nothing."""

PASSED, FAILED, NOT_EVALUATED = "passed", "failed", "not_evaluated"
NOT_APPLICABLE = "not_applicable"


def outcome_of(passed: bool | None) -> str:
    """The name of True, False and None."""
    return NOT_EVALUATED if passed is None else PASSED if passed else FAILED
