"""The fixed worlds that graph models are judged on: settings and seeds, chosen before any estimator was run on them.

The clean generator is the harder reading of the paper's (weights of each shop its own, channel order permuted in each
structure, every pair scored, the outcome's included). Sizes are those of Gong et al. (WSDM 2024), Tables 3 to 6 and
Figure 4; a difficulty dial, other shapes of graph and other lag orders stand beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.simulate.funnel_config import FunnelConfig
from models.simulate.funnel_shops import FunnelWorld, simulate_funnel_shops
from models.simulate.shop_world import ShopWorld
from models.simulate.shops import ShopsConfig, simulate_shops

SEED = 20261123
MOST_WORLDS = 20
"""Worlds a kind has at the most."""


@dataclass(frozen=True)
class ShopsKind:
    """Worlds that differ by their seed alone.

    number: the kind's place in the tree of seeds, never reused for another kind.
    config: of the generator. unseen_count: shops drawn besides, which estimators do not see before they score them.
    fitted_lags: lag order that estimators are told; None for the true one.
    """

    name: str
    number: int
    config: ShopsConfig
    description: str
    unseen_count: int = 0
    fitted_lags: int | None = None

    def seeds(self, count: int) -> tuple[int, ...]:
        """The first `count` seeds; fewer are a prefix of more."""
        return _seeds(self.number, count)

    def draw(self, seed: int) -> tuple[ShopWorld, ShopWorld | None]:
        """The world that estimators are fitted on, and that of the unseen shops, if the kind has any."""
        count = self.config.shops_count
        world = simulate_shops(replace(self.config, shops_count=count + self.unseen_count), seed)
        if not self.unseen_count:
            return world, None
        return world.shops(np.arange(count)), world.shops(np.arange(count, count + self.unseen_count))

    @property
    def lags_count(self) -> int:
        """The lag order that estimators are told."""
        return self.fitted_lags or self.config.lags_count


def _seeds(number: int, count: int) -> tuple[int, ...]:
    if not 1 <= count <= MOST_WORLDS:
        raise ValueError(
            f"{count} worlds were asked for; a kind has {MOST_WORLDS} fixed seeds. Ask for 1 or more."
        )
    return tuple(int(s) for s in np.random.SeedSequence([SEED, number]).generate_state(MOST_WORLDS)[:count])


SIMULATION_1 = ShopsConfig(shops_count=50)
SIMULATION_2 = ShopsConfig(shops_count=100, saturating=True)


def _second(**changes) -> ShopsConfig:
    return replace(SIMULATION_2, **changes)


def _first(**changes) -> ShopsConfig:
    return replace(SIMULATION_1, **changes)


SHOPS_KINDS = {
    kind.name: kind
    for kind in (
        ShopsKind("sim1", 1, SIMULATION_1, "Simulation 1: N=50, d=10, T=120, R=5, K=7"),
        ShopsKind(
            "sim2", 2, SIMULATION_2, "Simulation 2: N=100, otherwise the same, and the curve by context"
        ),
        ShopsKind("sim1_pair", 3, _first(kernels="pair"), "Simulation 1, weights shared by all shops"),
        ShopsKind("sim2_pair", 4, _second(kernels="pair"), "Simulation 2, weights shared by all shops"),
        ShopsKind("sim2_T30", 5, _second(periods_count=30), "Simulation 2, T=30"),
        ShopsKind("sim2_T720", 6, _second(periods_count=720), "Simulation 2, T=720"),
        ShopsKind("sim2_d5", 7, _second(channels_count=5), "Simulation 2, d=5"),
        ShopsKind("sim2_d20", 8, _second(channels_count=20), "Simulation 2, d=20"),
        ShopsKind("sim2_R10", 9, _second(structures_count=10), "Simulation 2, R=10"),
        ShopsKind("sim2_R20", 10, _second(structures_count=20), "Simulation 2, R=20"),
        ShopsKind(
            "sim2_unseen",
            11,
            _second(),
            "Simulation 2, 50 more shops scored without a refit",
            unseen_count=50,
        ),
        ShopsKind("sim1_sd30", 12, _first(kernel_sd=0.3), "Simulation 1, weights' sd .3 in place of .65"),
        ShopsKind("sim1_sd20", 13, _first(kernel_sd=0.2), "Simulation 1, weights' sd .2"),
        ShopsKind("sim1_sd10", 14, _first(kernel_sd=0.1), "Simulation 1, weights' sd .1"),
        ShopsKind("sim1_cyclic", 15, _first(cyclic=True), "Simulation 1, graphs with cycles"),
        ShopsKind("sim1_dense", 16, _first(density=0.9), "Simulation 1, pairs picked with probability .9"),
        ShopsKind("sim1_decay", 17, _first(kernel_decay=0.7), "Simulation 1, weights that fall by .7 a lag"),
        ShopsKind(
            "sim1_fixed", 18, _first(permuted=False), "Simulation 1, the same sources in every structure"
        ),
        ShopsKind("sim1_K5", 19, _first(), "Simulation 1, estimators are told K=5", fitted_lags=5),
        ShopsKind("sim1_K10", 20, _first(), "Simulation 1, estimators are told K=10", fitted_lags=10),
        ShopsKind("sim2_N10", 21, _second(shops_count=10), "Simulation 2, N=10"),
        ShopsKind("sim2_N25", 22, _second(shops_count=25), "Simulation 2, N=25"),
        ShopsKind("sim2_N50", 23, _second(shops_count=50), "Simulation 2, N=50"),
        ShopsKind("sim2_N200", 24, _second(shops_count=200), "Simulation 2, N=200"),
        ShopsKind("sim2_N400", 25, _second(shops_count=400), "Simulation 2, N=400"),
    )
}
"""Worlds whose graphs are known."""


@dataclass(frozen=True)
class FunnelKind:
    """Simulated funnel shops and how forecasts on them are judged: by origins in time.

    A forecaster may be fitted on periods before `validation_origins[0]`, tuned on those origins, refitted on what lies
    before `test_origins[0]`, and is judged on test origins (it may then read, not refit on, all periods before each).
    """

    name: str
    number: int
    config: FunnelConfig
    horizons: tuple[int, ...]
    validation_origins: tuple[int, ...]
    test_origins: tuple[int, ...]

    def seeds(self, count: int) -> tuple[int, ...]:
        """The first `count` seeds; fewer are a prefix of more."""
        return _seeds(self.number, count)

    def draw(self, seed: int) -> FunnelWorld:
        """One world."""
        return simulate_funnel_shops(self.config, seed)


FUNNEL_KIND = FunnelKind(
    "funnel", 101, FunnelConfig(), (1, 7, 30), tuple(range(466, 527, 10)), tuple(range(556, 647, 5))
)
"""676 days: validation forecasts end before day 556, the last test forecast on the last day."""
