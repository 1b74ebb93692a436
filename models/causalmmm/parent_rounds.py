"""Rounds of the search for parents: sampling given what is learned, and learning from what was sampled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import digamma, gammaln

from models.causalmmm.classical_config import ClassicalConfig
from models.causalmmm.lag_gram import LagGram
from models.causalmmm.parent_search import search_parents
from models.causalmmm.structures import Structures
from models.errors import ConvergenceError

#: Slabs fall no further than to this share. Their inverse is added to the Gram matrix and taken off again: a distant
#: lag's .4 ** 39 would wipe out the digits of the data, and a share of 1e-6 already holds its coefficient at zero.
LEAST_DECAY = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from all shops and held when others are scored.

    edge_share, own_share: prior shares of edges and of own pasts. slab_weights: (D, H) by target, rows sum to one.
    variance_shape, variance_scale: (D,) of the targets' noise. common_scale: None where nodes are scaled one by one.
    structures: None where shops share nothing.
    """

    edge_share: float
    own_share: float
    slab_weights: np.ndarray
    variance_shape: np.ndarray
    variance_scale: np.ndarray
    common_scale: float | None
    structures: Structures | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SearchRound:
    """Means over kept sweeps, (N, D, D) each [shop, source, target], of one round; kernel (N, D, D, K).

    noise_precision, noise_log_variance, log_joint: (N, D). state: where the chains ended.
    """

    probability: np.ndarray
    evidence: np.ndarray
    kernel: np.ndarray
    sign: np.ndarray
    slab_counts: np.ndarray
    noise_precision: np.ndarray
    noise_log_variance: np.ndarray
    log_joint: np.ndarray
    state: np.ndarray


def first_guess(config: ClassicalConfig, nodes_count: int, common_scale: float | None) -> Learned:
    """What is believed before any round."""
    slabs = len(config.scales) * len(config.decays)
    return Learned(
        config.edge_share,
        config.own_share,
        np.full((nodes_count, slabs), 1 / slabs),
        np.full(nodes_count, config.variance_shape),
        np.full(nodes_count, config.variance_scale),
        common_scale,
    )


def flat_prior(shops_count: int, allowed: np.ndarray, learned: Learned) -> np.ndarray:
    """(N, D, D) prior log odds that are the same for all edges, and for all own pasts."""
    prior = np.full((shops_count, *allowed.shape), -np.inf)
    prior[:, allowed] = logit(learned.edge_share)
    own = np.arange(len(allowed))
    prior[:, own, own] = logit(learned.own_share)
    return prior


def run_round(
    gram: LagGram,
    prior_logit: np.ndarray,
    learned: Learned,
    config: ClassicalConfig,
    sweeps: int,
    rng: np.random.Generator,
    state: np.ndarray | None = None,
) -> SearchRound:
    """Parents of all shops; `state` (N, D, D) continues chains, None starts them without parents.

    Raises
    ------
    ConvergenceError : the arithmetic broke down; nothing of it can be used.
    """
    lag = np.arange(gram.lags_count)
    fallen = [np.maximum(decay**lag, LEAST_DECAY) for decay in config.decays]
    variance = np.array([scale * by_lag for scale in config.scales for by_lag in fallen])
    shape, burn_in = prior_logit.shape, sweeps // 4
    state = np.zeros(shape, dtype=np.int64) if state is None else state.copy()
    edges = [np.zeros(shape), np.zeros(shape), np.zeros((*shape, gram.lags_count)), np.zeros(shape)]
    targets = [np.zeros((shape[1], len(variance))), np.zeros(shape[:2]), np.zeros(shape[:2])]
    log_joint = np.zeros(shape[:2])
    search_parents(
        gram.products,
        gram.rows,
        prior_logit,
        1.0 / variance,
        np.log(learned.slab_weights),
        learned.variance_shape,
        learned.variance_scale,
        rng.random((sweeps, *shape)),
        burn_in,
        state,
        *edges,
        *targets,
        log_joint,
    )
    means = [total / (sweeps - burn_in) for total in (*edges, *targets)]
    broken = ~np.isfinite(means[0] + means[1]).all(axis=(1, 2))
    if broken.any():
        raise ConvergenceError(
            f"The search for parents came to values that are not finite in {broken.sum()} of {shape[0]} shops, with "
            f"{gram.rows} rows and {gram.lags_count} lags. Ask for fewer lags."
        )
    means[-1] -= digamma(learned.variance_shape + 0.5 * gram.rows)
    return SearchRound(*means, log_joint, state)


def learn(found: SearchRound, allowed: np.ndarray, outcome_index: int, learned: Learned) -> Learned:
    """Shares, weights and noise priors that the round's draws make likeliest, the outcome's apart."""
    edges = found.probability[:, allowed]
    own = np.arange(len(allowed))
    pasts = found.probability[:, own, own]
    weights, shape, scale = (
        learned.slab_weights.copy(),
        learned.variance_shape.copy(),
        learned.variance_scale.copy(),
    )
    for targets in ([outcome_index], [t for t in own if t != outcome_index]):
        counts = found.slab_counts[targets].sum(axis=0) + 1.0
        weights[targets] = counts / counts.sum()
        shape[targets], scale[targets] = _gamma_fit(
            found.noise_precision[:, targets], found.noise_log_variance[:, targets]
        )
    return replace(
        learned,
        edge_share=float((edges.sum() + 1) / (edges.size + 2)),
        own_share=float((pasts.sum() + 1) / (pasts.size + 2)),
        slab_weights=weights,
        variance_shape=shape,
        variance_scale=scale,
    )


def data_density(found: SearchRound, gram: LagGram, prior_logit: np.ndarray, learned: Learned) -> float:
    """Log density of the targets in their own units and of the likeliest parents met.

    Comparable where targets and rows are the same. The round must have started without parents; prior_logit and
    learned are what it was run with.
    """
    columns = gram.products.shape[1] - gram.node_scale.shape[1]
    squares = np.diagonal(gram.products, axis1=1, axis2=2)[:, columns:]
    shape, scale = learned.variance_shape, learned.variance_scale
    power = shape + 0.5 * gram.rows
    alone = gammaln(power) - gammaln(shape) + shape * np.log(scale) - power * np.log(scale + 0.5 * squares)
    finite = np.isfinite(gram.node_scale)
    units = -gram.rows * np.log(np.where(finite, gram.node_scale, 1.0))
    no_parents = -np.logaddexp(0.0, prior_logit).sum(axis=1)
    return float((alone + found.log_joint + units + no_parents)[finite].sum())


def logit(share: np.ndarray | float) -> np.ndarray:
    """Log odds."""
    return np.log(share) - np.log1p(-np.asarray(share))


def _gamma_fit(precision: np.ndarray, log_variance: np.ndarray) -> tuple[float, float]:
    """Shape and scale of the inverse gamma of largest likelihood, by Minka's approximation of the shape."""
    gap = max(np.log(precision.mean()) + log_variance.mean(), 1e-3)
    shape = (3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
    shape = float(np.clip(shape, 0.2, 50.0))
    return shape, shape / float(precision.mean())
