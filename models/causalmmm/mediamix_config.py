"""Settings of the level `mediamix`."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.causalmmm.network_config import TrainingConfig, check_variant
from models.shops.scaling import NODE_SCALES, OUTCOME_SCALES

ENCODERS = ("evidence", "free")


@dataclass(frozen=True, slots=True)
class MediamixConfig:
    """The product's network.

    lags: earlier periods that an edge or a node's own past may carry over, the paper's K.
    encoder: `evidence` reads test statistics of a shop and scores unseen shops; `free` has one logit per shop and edge
    and no test statistic (a pure ELBO), and knows only the shops it was trained on.
    variant: causalmmm, full, markov (one lag, no memory) or rw, see `network_config.check_variant`.
    node_scale, outcome_scale: see `scaling`; `ranks` of the outcome is for structure.
    hidden: width of the encoder; temporal_hidden: of the recurrent state. temperature: of the Gumbel softmax.
    edge_prior: P(z_ij = 1). divergence_weight: of the edges' divergence, the paper's lambda; 1 is the ELBO.
    encoder_from: share of the epochs after which an evidence encoder is trained; before, kernels settle.
    temporal_from: share of the epochs after which the temporal module joins.
    season: length of a cycle whose places each have a level (7 for the weekday of days); 0 for none.
    shared_prior: weights are drawn about a mean that all shops share, which helps where shops respond alike.
    """

    lags: int = 7
    encoder: str = "evidence"
    variant: str = "causalmmm"
    node_scale: str = "standard"
    outcome_scale: str = "ranks"
    hidden: int = 16
    temporal_hidden: int = 8
    temperature: float = 0.5
    edge_prior: float = 0.15
    divergence_weight: float = 1.0
    encoder_from: float = 0.3
    temporal_from: float = 0.6
    season: int = 0
    shared_prior: bool = False
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        check_variant(self.variant)
        for name in ("lags", "hidden", "temporal_hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more.")
        if self.encoder not in ENCODERS:
            raise ValueError(
                f"encoder is {self.encoder!r}; choose one of {', '.join(ENCODERS)} (see the docstring)."
            )
        for name, scales in (("node_scale", NODE_SCALES), ("outcome_scale", OUTCOME_SCALES)):
            if getattr(self, name) not in scales:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(scales)}.")
        for name in ("encoder_from", "temporal_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, a share of the epochs. Give one in [0, 1]."
                )
        if self.season < 0 or self.season == 1:
            raise ValueError(f"season is {self.season}; a cycle has 2 or more periods, or give 0 for none.")
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

    @property
    def kernel_lags(self) -> int:
        """Lags the kernels have: 1 for CM-markov."""
        return 1 if self.variant == "markov" else self.lags
