"""Simulated funnel shops: brand channels feed page views, those feed effect channels, both feed GMV.

Shaped like the AirMMM data of Gong et al. (WSDM 2024, appendix A.2.2: 50 shops, 676 days, 6 brand and 5 effect
channels, PV, GMV, 5 context variables), of which no usable part is public. Nothing here was fitted to AirMMM.

Every node has a level in logarithms,

    level_j^t = base_j + season_j^t + event + sum_i sum_k w_ijk log1p(x_i^{t-k} / typical_i) + r_j^t,
    r_j^t     = rho_j r_j^{t-1} + sd_j e_j^t,

and a value: exp(level) for page views, exp(level) on days on which a channel is bought for spend (brand channels come
in flights), and size * f^a / (f^a + g^a) with f = exp(level) for GMV, where the shop's category bends the curve (a)
and its price tier and the economy shift it (g). Edges act from the day before on: same-day effects do not exist.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np

from models.shops.panel import ShopPanel, every_edge_but_from
from models.simulate.funnel_config import (
    BRAND_IDS,
    CONTEXT_IDS,
    EDGE_KINDS,
    EFFECT_IDS,
    NODE_IDS,
    OUTCOME_ID,
    PLANNED_IDS,
    VIEWS_ID,
    FunnelConfig,
)
from models.simulate.shop_world import ShopWorld

OUTCOME = NODE_IDS.index(OUTCOME_ID)
_EVENT_DAYS = ((6, 18, 1.0, 8), (11, 11, 1.0, 8), (12, 12, 0.6, 3), (3, 8, 0.4, 3), (9, 9, 0.4, 3))
"""Month, day, intensity, days over which an event builds up."""


@dataclass(frozen=True, slots=True, eq=False)
class FunnelWorld:
    """A world and all that is needed to continue it.

    base_and_season: (N, T, D) part of the level that is known ahead. residual: (N, T, D) r. on: (N, T, D) 0 or 1.
    typical: (N, D) spend or views at which an input is log 2. rho, noise_sd: (D,).
    size: (N,), slope: (N, T), half: (N, T): GMV's curve.
    """

    world: ShopWorld
    base_and_season: np.ndarray
    residual: np.ndarray
    on: np.ndarray
    typical: np.ndarray
    rho: np.ndarray
    noise_sd: np.ndarray
    size: np.ndarray
    slope: np.ndarray
    half: np.ndarray

    @property
    def panel(self) -> ShopPanel:
        """The observed part."""
        return self.world.panel


def simulate_funnel_shops(config: FunnelConfig, seed: int) -> FunnelWorld:
    """One world; the same seed gives the same world."""
    rng = np.random.default_rng(seed)
    shops, periods, nodes = config.shops_count, config.periods_count, len(NODE_IDS)
    structures = np.stack([_structure(rng) for _ in range(config.structures_count)])
    structure = rng.integers(config.structures_count, size=shops)
    kernel = _kernels(config, structures[structure], rng)
    context = _context(config, rng)
    noise_sd = np.full(nodes, config.spend_noise)
    rho = np.full(nodes, config.spend_autocorrelation)
    noise_sd[-2:] = config.views_noise, config.outcome_noise
    rho[-2:] = config.views_autocorrelation, config.outcome_autocorrelation
    on = np.ones((shops, periods, nodes))
    for channel in range(len(PLANNED_IDS)):
        on[:, :, channel] = _flights(shops, periods, rng)
    typical = np.exp(rng.normal(7.0, 0.8, (shops, nodes)))
    state = FunnelWorld(
        world=ShopWorld(_empty_panel(config, context), kernel, structures[structure], structure),
        base_and_season=_season(config, structure, context, rng) - _balance(kernel),
        residual=np.empty((shops, periods, nodes)),
        on=on,
        typical=typical,
        rho=rho,
        noise_sd=noise_sd,
        size=np.exp(rng.normal(10.0, 0.8, shops)),
        slope=1.0 + 1.2 * context[:, :, CONTEXT_IDS.index("category")],
        half=np.exp(
            0.6 * (context[:, :, CONTEXT_IDS.index("price_tier")] - 0.5)
            - 0.15 * context[:, :, CONTEXT_IDS.index("economy")]
        ),
    )
    return _filled(state, rng)


def next_values(state: FunnelWorld, t: int, inputs: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """(N, S, D) values of period t in S futures.

    inputs: (N, S, K, D) log1p(x / typical) of the last K periods, lag 1 first. residual: (N, S, D) r of period t.
    """
    caused = np.einsum("nijk,nski->nsj", state.world.kernel, inputs, optimize=True)
    level = np.exp(state.base_and_season[:, t][:, None] + caused + residual)
    values = level * (state.typical * state.on[:, t])[:, None]
    raised = level[..., OUTCOME] ** state.slope[:, t][:, None]
    half = (state.half[:, t] ** state.slope[:, t])[:, None]
    values[..., OUTCOME] = state.size[:, None] * raised / (raised + half)
    return values


def inputs_of(values: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """log1p(values / typical): what an edge carries."""
    return np.log1p(values / typical)


def _filled(state: FunnelWorld, rng: np.random.Generator) -> FunnelWorld:
    shops, lags = state.world.kernel.shape[0], state.world.kernel.shape[-1]
    values = np.empty(state.residual.shape)
    residual = rng.normal(size=values.shape[::2]) * state.noise_sd / np.sqrt(1 - state.rho**2)
    past = np.full((shops, 1, lags, values.shape[2]), np.log(2.0))
    for t in range(values.shape[1]):
        residual = state.rho * residual + state.noise_sd * rng.normal(size=residual.shape)
        state.residual[:, t] = residual
        values[:, t] = next_values(state, t, past, residual[:, None])[:, 0]
        past = np.concatenate(
            [inputs_of(values[:, t], state.typical)[:, None, None], past[:, :, :-1]], axis=2
        )
    state.residual.setflags(write=False)
    return replace(state, world=replace(state.world, panel=replace(state.panel, values=values)))


def _structure(rng: np.random.Generator) -> np.ndarray:
    """(D, D) bool [source, target] of one structure."""
    graph = np.zeros((len(NODE_IDS), len(NODE_IDS)), dtype=bool)
    for kind in EDGE_KINDS:
        pairs = [(NODE_IDS.index(s), NODE_IDS.index(t)) for t in kind.targets for s in kind.sources]
        chosen = rng.random(len(pairs)) < kind.probability
        missing = kind.least - int(chosen.sum())
        if missing > 0:
            chosen[rng.choice(np.flatnonzero(~chosen), missing, replace=False)] = True
        for pair, taken in zip(pairs, chosen, strict=True):
            graph[pair] |= taken
    return graph


def _kernels(config: FunnelConfig, graph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, D, D, K): decaying carry-over, at its highest after one day or after a few."""
    strength = np.zeros(graph.shape[1:])
    for kind in EDGE_KINDS:
        block = np.ix_([NODE_IDS.index(s) for s in kind.sources], [NODE_IDS.index(t) for t in kind.targets])
        strength[block] = kind.strength
    lag = np.arange(1, config.lags_count + 1)
    decay = rng.uniform(0.3, 0.7, strength.shape)
    delayed = rng.integers(0, 2, strength.shape)
    shape = lag ** (2.0 * delayed[..., None]) * decay[..., None] ** lag
    shape /= shape.sum(axis=-1, keepdims=True)
    scale = np.exp(rng.normal(0.0, config.shop_sd, graph.shape))
    return (graph * strength * scale)[..., None] * shape


def _balance(kernel: np.ndarray) -> np.ndarray:
    """(N, 1, D): what typical inputs add to a level, taken off again so that levels stay near zero."""
    return np.log(2.0) * kernel.sum(axis=(1, 3))[:, None]


def _context(config: FunnelConfig, rng: np.random.Generator) -> np.ndarray:
    """(N, T, 5): economy and event change by day and are the same for all shops, the rest is of the shop."""
    dates = [config.start_date + dt.timedelta(days=day) for day in range(config.periods_count)]
    walk = np.cumsum(rng.normal(size=config.periods_count))
    economy = (walk - walk.mean()) / walk.std()
    event = np.zeros(config.periods_count)
    for month, day, intensity, build_up in _EVENT_DAYS:
        for place, date in enumerate(dates):
            before = (dt.date(date.year, month, day) - date).days
            if 0 <= before <= build_up:
                event[place] = max(event[place], intensity * (1.0 if before == 0 else 0.5 * 0.8**before))
    context = np.empty((config.shops_count, config.periods_count, len(CONTEXT_IDS)))
    context[:, :, 0], context[:, :, 1] = economy, event
    context[:, :, 2:] = rng.random((config.shops_count, 1, 3))
    return context


def _season(
    config: FunnelConfig, structure: np.ndarray, context: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(N, T, D): weekly pattern by structure and node, yearly wave by node, economy and events."""
    nodes, day = len(NODE_IDS), np.arange(config.periods_count)
    weekly = rng.normal(0.0, config.weekly_sd, (config.structures_count, 7, nodes))
    weekly -= weekly.mean(axis=1, keepdims=True)
    phase = rng.uniform(0, 2 * np.pi, (2, nodes))
    yearly = config.yearly_sd * sum(
        np.sin(2 * np.pi * (wave + 1) * day[:, None] / 365.25 + phase[wave]) / (wave + 1) for wave in range(2)
    )
    event_share = np.zeros(nodes)
    event_share[[NODE_IDS.index(one) for one in (*EFFECT_IDS, VIEWS_ID)]] = 0.5
    event_share[OUTCOME] = 1.0
    economy_share = np.where(np.isin(NODE_IDS, BRAND_IDS), 0.1, 0.05)
    return (
        weekly[structure][:, day % 7]
        + yearly
        + config.event_lift * context[:, :, 1:2] * event_share
        + context[:, :, :1] * economy_share
    )


def _flights(shops: int, periods: int, rng: np.random.Generator) -> np.ndarray:
    """(N, T) 0 or 1: flights of about three weeks with pauses of about four."""
    on = np.empty((shops, periods))
    running = rng.random(shops) < 0.45
    for t in range(periods):
        running = np.where(running, rng.random(shops) > 1 / 21, rng.random(shops) < 1 / 28)
        on[:, t] = running
    return on


def _empty_panel(config: FunnelConfig, context: np.ndarray) -> ShopPanel:
    return ShopPanel(
        values=np.zeros((config.shops_count, config.periods_count, len(NODE_IDS))),
        shop_ids=tuple(f"simulated_{shop:04d}" for shop in range(config.shops_count)),
        node_ids=NODE_IDS,
        outcome_id=OUTCOME_ID,
        context=context,
        context_ids=CONTEXT_IDS,
        planned_ids=PLANNED_IDS,
        allowed=every_edge_but_from(NODE_IDS, OUTCOME_ID),
    )
