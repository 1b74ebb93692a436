"""The fixed market worlds that the response model is judged on: settings and seeds, chosen before any estimator ran.

Each world of a kind draws its own ROI, adstock and curves around the kind's channels, so that no prior can be tuned to
them: ROI log-normal (log sd 0.35) about the channel's, decay in 0.1 to 0.75, half saturation 0.8 to 3 mean spends,
slope 0.8 to 1.8. `display` follows `social` (0.9 in log spend), so that the data hardly tell them apart. Noise, demand
and the tests' size were set by looking at the oracle's error and the tests' standard errors, not at any estimator's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.simulate.market_config import FunnelSpec, MarketChannelSpec, MarketWorldConfig
from models.simulate.market_lift_tests import LiftTest, LiftTestSpec, run_lift_test
from models.simulate.markets import MarketWorld, simulate_market_world
from models.simulate.study_worlds import SEED

PLACEBO_CHANNEL = "billboard"
ROI_WORLD_SD = 0.35
RANGES = {"decay": (0.1, 0.75), "half_saturation": (0.8, 3.0), "slope": (0.8, 1.8)}
TEST_PERIODS, TEST_PRE_PERIODS, TEST_SHARE = 12, 26, 1.0


@dataclass(frozen=True)
class MarketWorldKind:
    """Worlds of one kind; number is the kind's place in the tree of seeds (study_worlds.SEED), never reused."""

    name: str
    number: int
    worlds_count: int
    config: MarketWorldConfig
    description: str

    def seeds(self, count: int | None = None) -> tuple[int, ...]:
        """The first `count` seeds (all by default); fewer are a prefix of more. ValueError for other counts."""
        count = self.worlds_count if count is None else count
        if not 1 <= count <= self.worlds_count:
            raise ValueError(
                f"{count} worlds of kind {self.name!r} were asked for; it has {self.worlds_count}, whose seeds are "
                "fixed. Ask for 1 or more of them."
            )
        return tuple(int(s) for s in np.random.SeedSequence([SEED, self.number]).generate_state(count))

    def world(self, seed: int) -> MarketWorld:
        """The world of one of its seeds, with that world's own channels."""
        return simulate_market_world(
            replace(self.config, channels=drawn_channels(self.config.channels, seed)), seed
        )


def drawn_channels(channels: tuple[MarketChannelSpec, ...], seed: int) -> tuple[MarketChannelSpec, ...]:
    """The channels with ROI, decay, half saturation and slope of their own, drawn as the module says."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    drawn = []
    for channel in channels:
        values = {name: float(rng.uniform(*ends)) for name, ends in RANGES.items()}
        roi = channel.roi * float(np.exp(ROI_WORLD_SD * rng.normal() - ROI_WORLD_SD**2 / 2))
        drawn.append(replace(channel, roi=roi, **values))
    return tuple(drawn)


def one_test_per_channel(world: MarketWorld) -> tuple[LiftTest, ...]:
    """For each channel twelve weeks of the last year against nothing spent, in half of the markets, drawn at random."""
    rng = np.random.default_rng(np.random.SeedSequence([world.seed, 2]))
    markets, periods = len(world.market_ids), len(world.period_starts)
    tests = []
    for channel in world.config.channel_ids:
        treated = sorted(rng.choice(markets, markets // 2, replace=False))
        first = int(rng.integers(max(TEST_PRE_PERIODS, periods - 52), periods - TEST_PERIODS + 1))
        ids = tuple(world.market_ids[j] for j in treated)
        spec = LiftTestSpec(
            f"test_{channel}", (channel,), ids, first, TEST_PERIODS, TEST_PRE_PERIODS, TEST_SHARE
        )
        tests.append(run_lift_test(world, spec, rng))
    return tuple(tests)


_FIVE = (
    MarketChannelSpec("tv", spend_mean=0.50, roi=1.6, national_sd=0.4, local_sd=0.4),
    MarketChannelSpec("search", spend_mean=0.35, roi=2.5),
    MarketChannelSpec("social", spend_mean=0.30, roi=1.8),
    MarketChannelSpec("display", spend_mean=0.20, roi=1.2, follows="social", follows_correlation=0.9),
    MarketChannelSpec("radio", spend_mean=0.20, roi=1.4, local_sd=0.6, dark_share=0.3),
)
_IDENTIFIED = MarketWorldConfig(channels=_FIVE)
_SMALL = MarketWorldConfig(
    channels=(
        MarketChannelSpec("tv", spend_mean=0.50, roi=1.6, national_sd=0.4, local_sd=0.4),
        MarketChannelSpec("search", spend_mean=0.35, roi=2.5),
        MarketChannelSpec(PLACEBO_CHANNEL, spend_mean=0.30, roi=0.0, roi_sd=0.0),
    ),
    markets_count=6,
    periods_count=78,
)

MARKET_WORLD_KINDS = {
    kind.name: kind
    for kind in (
        MarketWorldKind(
            "identified",
            51,
            30,
            _IDENTIFIED,
            "spend by plan; common weekly shocks; two channels hardly told apart",
        ),
        MarketWorldKind(
            "confounded",
            52,
            30,
            replace(
                _IDENTIFIED,
                demand_sd=0.04,
                demand_autocorrelation=0.5,
                demand_on_spend=0.3,
                proxy_correlation=0.9,
            ),
            "besides, local demand that nobody records drives spend; a proxy of it (0.9) is recorded",
        ),
        MarketWorldKind(
            "funnel",
            53,
            20,
            replace(_IDENTIFIED, channels=_FIVE[:3], funnel=FunnelSpec("tv", "search", 0.6)),
            "tv brings most of what search spends",
        ),
        MarketWorldKind(
            "placebo",
            54,
            200,
            _SMALL,
            "six markets, a year and a half, one channel of three without any effect",
        ),
        MarketWorldKind(
            "national",
            55,
            10,
            replace(_IDENTIFIED, markets_count=1, channels=_FIVE[:3]),
            "one series of three years",
        ),
    )
}
