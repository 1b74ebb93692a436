"""Simulation 1 and 2 of Gong et al. (WSDM 2024, appendix A.2.1): shops that share R causal structures.

    source:   x_i^t = alpha_i x_i^{t-1} + beta_i x_i^{t-1} sum_k x_i^{t-k} + gamma_i e_i^{t-1} e_i^{t-K} + e_i^t
    others:   x_j^t = sum_i sum_k w_ijk tanh(x_i^{t-k}) + e_j^t
    outcome:  u^t likewise; y = u (Simulation 1) or sign(u) |u|^a / (|u|^a + g^a) (Simulation 2),
              a = .8 + 1.2 c_1, g = .2 + .8 c_2, c uniform on the unit square, one draw a shop

Readings where the paper is open: noise is independent for each node and shop; alpha x^{t-1} where it prints alpha x^t
on both sides; the second shock of gamma's product is the last one; alpha, beta, gamma have standard deviation .1; noise
lies inside the curve; weights are normal, drawn for each shop (harder) or for each pair of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.shops.panel import ShopPanel
from models.simulate.shop_graphs import draw_structures
from models.simulate.shop_world import ShopWorld

OUTCOME_ID = "gmv"


@dataclass(frozen=True, kw_only=True)
class ShopsConfig:
    """A family of worlds.

    shops_count N, channels_count d, periods_count T, structures_count R, lags_count K: as in the paper (K is not
        given there; 7 is what its published file shows).
    saturating: Simulation 2's curve on the outcome, by context.
    kernel_sd: standard deviation of the weights w: how strong the signal is.
    kernels: "shop" draws weights for each shop, "pair" once for each ordered pair of nodes.
    kernel_decay: weights of lag k are multiplied by kernel_decay ** (k - 1).
    noise_variance: of e. narma_sd: of alpha, beta and gamma.
    density, source_share, permuted, cyclic: of models.simulate.shop_graphs.draw_structures.
    burn_in: periods that are drawn before the first one kept.
    """

    shops_count: int = 50
    channels_count: int = 10
    periods_count: int = 120
    structures_count: int = 5
    lags_count: int = 7
    saturating: bool = False
    kernel_sd: float = 0.65
    kernels: Literal["shop", "pair"] = "shop"
    kernel_decay: float = 1.0
    noise_variance: float = 0.01
    narma_sd: float = 0.1
    density: float = 0.5
    source_share: float = 0.7
    permuted: bool = True
    cyclic: bool = False
    burn_in: int = 50

    def __post_init__(self) -> None:
        for name in (
            "shops_count",
            "structures_count",
            "lags_count",
            "noise_variance",
            "kernel_sd",
            "kernel_decay",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` is {getattr(self, name)}; it has to be positive.")
        for name in ("density", "source_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}, a share. Give one in (0, 1].")
        if self.channels_count < 2:
            raise ValueError(
                f"`channels_count` is {self.channels_count}; structures need 2 or more channels."
            )
        if self.kernels not in ("shop", "pair"):
            raise ValueError(f"`kernels` is {self.kernels!r}. Give 'shop' or 'pair'.")


def simulate_shops(config: ShopsConfig, seed: int) -> ShopWorld:
    """One world; the same seed gives the same world. Every pair but a node with itself is allowed as an edge."""
    rng = np.random.default_rng(seed)
    graphs = draw_structures(
        config.channels_count,
        config.structures_count,
        rng,
        density=config.density,
        source_share=config.source_share,
        permuted=config.permuted,
        cyclic=config.cyclic,
    )
    structure = rng.integers(config.structures_count, size=config.shops_count)
    graph = graphs[structure]
    kernel = _kernels(config, graph, rng)
    values = _series(config, graph, kernel, rng)
    context = rng.random((config.shops_count, 2))
    if config.saturating:
        values[..., -1] = s_curve(values[..., -1], context[:, :1], context[:, 1:])
    else:
        context = context[:, :0]
    nodes_count = config.channels_count + 1
    panel = ShopPanel(
        values=values,
        shop_ids=tuple(f"simulated_{shop:04d}" for shop in range(config.shops_count)),
        node_ids=(*(f"channel_{channel:02d}" for channel in range(config.channels_count)), OUTCOME_ID),
        outcome_id=OUTCOME_ID,
        context=np.repeat(context[:, None], config.periods_count, axis=1),
        context_ids=("slope_context", "level_context")[: context.shape[1]],
        planned_ids=(),
        allowed=~np.eye(nodes_count, dtype=bool),
    )
    return ShopWorld(panel, kernel, graph, structure)


def s_curve(u: np.ndarray, slope_context: np.ndarray, level_context: np.ndarray) -> np.ndarray:
    """sign(u) |u|^a / (|u|^a + g^a), a = .8 + 1.2 slope_context, g = .2 + .8 level_context; odd and rising in u."""
    slope = 0.8 + 1.2 * slope_context
    raised = np.abs(u) ** slope
    return np.sign(u) * raised / (raised + (0.2 + 0.8 * level_context) ** slope)


def _kernels(config: ShopsConfig, graph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shops = config.shops_count if config.kernels == "shop" else 1
    weights = rng.normal(0.0, config.kernel_sd, (shops, *graph.shape[1:], config.lags_count))
    return graph[..., None] * weights * config.kernel_decay ** np.arange(config.lags_count)


def _series(
    config: ShopsConfig, graph: np.ndarray, kernel: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(N, T, D) with u in the last column."""
    shops, nodes, lags = graph.shape[0], graph.shape[1], config.lags_count
    alpha, beta, gamma = rng.normal(0.0, config.narma_sd, (3, nodes))
    is_source = ~graph.any(axis=1)  # (N, D)
    length = config.burn_in + config.periods_count
    noise = rng.normal(0.0, np.sqrt(config.noise_variance), (lags + length, shops, nodes))
    values = noise.copy()  # the first K periods are noise alone
    by_lag = np.ascontiguousarray(kernel.transpose(3, 0, 2, 1))  # (K, N, target, source)
    for t in range(lags, lags + length):
        past = values[t - lags : t][::-1]  # (K, N, D), lag 1 first
        own = past[0] * (alpha + beta * past.sum(axis=0)) + gamma * noise[t - 1] * noise[t - lags]
        caused = (by_lag @ np.tanh(past)[..., None])[..., 0].sum(axis=0)
        values[t] += np.where(is_source, own, caused)
    return np.ascontiguousarray(values[-config.periods_count :].transpose(1, 0, 2))
