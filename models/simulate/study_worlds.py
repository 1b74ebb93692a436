"""The fixed worlds that estimators are judged on: settings and seeds, chosen before any estimator was run on them.

Exposures and effects are Table 5's and 6's (tv, email, social), `retargeting` has no effect and is targeted most, the
latent wish to buy drives exposures as strongly as the simulator allows, a quarter of the consumers leave, most of
them unannounced, some join, purchases come back, 45 % of the months are without a purchase. Truth is additive and
saturating in dollars, no fitted model's own likelihood.

Sizes were chosen by standard errors, not by errors: at 5,000 consumers the within-consumer regression's is 13 % (email)
to 44 % (social) of a slope, the HBMMM's up to some 140 % of a contribution (social), so that 80 worlds average to 2 to
5 % and to 16 %. The largest true gap between two thirds of one characteristic is half a standard error at 1,500
consumers, so that three standard errors need some 60,000. An estimator whose intervals are exact raises 5 % false
alarms: of 200 worlds it would pass the bound on their rate (upper limit 8 %) in fewer than half of all studies, of 400
in three quarters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig

SEED = 20261122
NULL_CHANNEL = "retargeting"


@dataclass(frozen=True)
class WorldKind:
    """Worlds that differ by their seed alone.

    number : the kind's place in the tree of seeds; never reused for another kind
    worlds_count : how many worlds the study draws
    """

    name: str
    number: int
    worlds_count: int
    config: ConsumerWorldConfig
    description: str

    def seeds(self, count: int | None = None) -> tuple[int, ...]:
        """The first `count` seeds (all by default); fewer are a prefix of more.

        Raises
        ------
        ValueError : count is not between 1 and worlds_count.
        """
        count = self.worlds_count if count is None else count
        if not 1 <= count <= self.worlds_count:
            raise ValueError(
                f"{count} worlds of kind {self.name!r} were asked for; it has {self.worlds_count}, whose seeds are "
                "fixed. Ask for 1 or more of them."
            )
        return tuple(int(s) for s in np.random.SeedSequence([SEED, self.number]).generate_state(count))


_CONFOUNDED = ConsumerWorldConfig(
    consumers_count=5_000,
    markets_count=8,
    periods_count=24,
    pre_periods_count=3,
    channels=tuple(c for c in PAPER_CHANNELS if c.name in ("tv", "email", "social")),
    null_channel_name=NULL_CHANNEL,
    confounding=1.0,
    saturation_scale=3.0,
    joiners_share=0.15,
    leavers_share=0.25,
    leavers_unknown_share=0.7,
    returns_share=0.04,
    missing_share=0.08,
)
_SMALL = replace(
    _CONFOUNDED,
    consumers_count=400,
    markets_count=5,
    periods_count=18,
    channels=tuple(c for c in PAPER_CHANNELS if c.name in ("tv", "email")),
)

WORLD_KINDS = {
    kind.name: kind
    for kind in (
        WorldKind("confounded", 1, 80, _CONFOUNDED, "exposure follows a lasting wish to buy nobody records"),
        WorldKind(
            "confounded_large",
            2,
            20,
            replace(_CONFOUNDED, consumers_count=60_000),
            "the same with 60,000 consumers, where segments and markets begin to be told apart",
        ),
        WorldKind(
            "feedback",
            3,
            10,
            replace(_CONFOUNDED, feedback=1.0),
            "besides, a purchase in the last period raises exposure (1 log point at full targeting)",
        ),
        WorldKind(
            "time_varying_confounding",
            4,
            10,
            replace(_CONFOUNDED, time_varying_confounding=0.3),
            "besides, a passing wish to buy (sd 0.3 log points, autocorrelation 0.6) drives both",
        ),
        WorldKind(
            "null_channel", 5, 400, _SMALL, "400 consumers, for the rate of false alarms on a null channel"
        ),
        WorldKind(
            "zero_heavy",
            21,
            40,
            replace(_SMALL, consumers_count=1_000, periods_count=21),
            "tv and email, 1,000 consumers: purchases come at a Poisson rate to which exposure adds dollars",
        ),
        WorldKind(
            "log1p",
            22,
            40,
            replace(_SMALL, consumers_count=1_000, periods_count=21, outcome="log1p"),
            "the paper's own: log1p of dollars is linear in exposures, and every month has a purchase",
        ),
    )
}
