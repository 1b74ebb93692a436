"""What the trained levels have in common: which parts are present, and how long and on what they are trained."""

from __future__ import annotations

from dataclasses import dataclass

VARIANTS = ("causalmmm", "full", "markov", "rw")


def check_variant(variant: str) -> None:
    """Raise ValueError where `variant` is none of VARIANTS."""
    if variant not in VARIANTS:
        raise ValueError(
            f"variant is {variant!r}, which is none of {', '.join(VARIANTS)}: the model, CM-full (every edge present), "
            "CM-markov (memory of one period), CM-rw (no saturation). Choose one of them."
        )


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Length and pace of training.

    epochs: at most. learning_rate: of Adam. batch_shops: shops in memory at a time.
    step_every_batch: one optimiser step per batch; else one per epoch, whose gradient does not depend on batch_shops.
    holdout_share: last periods of every shop that no gradient sees and on which training stops; 0 runs all epochs.
    patience: epochs without a better held-out likelihood before training stops. check_every: epochs between checks.
    checkpoint_every: epochs between checkpoints, where a folder is given. seed: of weights, gates and batches.
    """

    epochs: int = 200
    learning_rate: float = 0.02
    batch_shops: int = 100
    step_every_batch: bool = False
    holdout_share: float = 0.1
    patience: int = 50
    check_every: int = 5
    checkpoint_every: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_shops", "patience", "check_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it counts epochs or shops, so give 1 or more."
                )
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; a step must be above 0, such as 0.02.")
        if not 0 <= self.holdout_share <= 0.5:
            raise ValueError(
                f"holdout_share is {self.holdout_share}; more than half of the periods would be held out, or fewer "
                "than none. Give 0 (train all epochs) to 0.5."
            )
