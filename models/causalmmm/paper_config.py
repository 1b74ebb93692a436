"""Settings of the level `paper`."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.causalmmm.network_config import TrainingConfig, check_variant


@dataclass(frozen=True, slots=True)
class PaperConfig:
    """The published model.

    variant: causalmmm, full, markov or rw, see `network_config.check_variant`.
    encoder_hidden, decoder_hidden: widths. temperature: of the Gumbel softmax.
    edge_prior: P(z_ij = 1). divergence_weight: the paper's lambda, 1 is the ELBO.
    """

    variant: str = "causalmmm"
    encoder_hidden: int = 32
    decoder_hidden: int = 16
    temperature: float = 0.5
    edge_prior: float = 0.15
    divergence_weight: float = 1.0
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=100, learning_rate=3e-3, batch_shops=10, step_every_batch=True, patience=30
        )
    )

    def __post_init__(self) -> None:
        check_variant(self.variant)
        for name in ("encoder_hidden", "decoder_hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a layer needs a width of 1 or more.")
        if not self.temperature > 0:
            raise ValueError(
                f"temperature is {self.temperature}; it divides the logits, so give more than 0."
            )
        if not 0 < self.edge_prior < 1:
            raise ValueError(f"edge_prior is {self.edge_prior}; give a probability strictly between 0 and 1.")
        if self.divergence_weight < 0:
            raise ValueError(
                f"divergence_weight is {self.divergence_weight}; give 0 or more, 1 for the ELBO."
            )
