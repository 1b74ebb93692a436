"""What a check returns: passed, failed, or not evaluated. A check that could not run is not a pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from models.outcomes import outcome_of


@dataclass(frozen=True, eq=False)
class CheckResult:
    """Outcome of one check.

    Attributes
    ----------
    name : snake_case name, an adjective or a fact ("converged")
    passed : True, False, or None where the check could not be evaluated
    text : one sentence a reader understands, with the numbers
    value, threshold : the number that decided and what it was held against (None where there is no single one)
    table : details, one row per channel, parameter or the like
    """

    name: str
    passed: bool | None
    text: str
    value: float | None = None
    threshold: float | None = None
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        if self.passed is not None and not isinstance(self.passed, bool):
            raise TypeError(
                f"Check {self.name!r}: `passed` is {self.passed!r} ({type(self.passed).__name__}); it must be True, "
                "False or None. Wrap NumPy booleans in bool()."
            )

    @property
    def outcome(self) -> str:
        """The name of `passed`, as in models.outcomes."""
        return outcome_of(self.passed)

    def __bool__(self) -> bool:
        raise TypeError(
            f"Check {self.name!r} has three outcomes, so it is neither true nor false. Ask for `.passed is True`."
        )


def combined(outcomes: list[bool | None]) -> bool | None:
    """One outcome of several: False if any failed, else None if any (or all) could not be evaluated, else True."""
    if any(outcome is False for outcome in outcomes):
        return False
    if not outcomes or any(outcome is None for outcome in outcomes):
        return None
    return True
