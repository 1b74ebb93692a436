"""The classical level: parents found by exact Bayesian regression on lag windows, shops of like graphs helping.

Each round samples the parents of every shop and target (parent_search) given prior odds of each edge, groups shops by
the evidence (structures), and lets the next round's prior odds of a shop be what the others of its structure have. The
shares of edges and the slabs' weights are learned on the way. Edges are predictive (Granger), not interventional.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.causalmmm.classical_config import ClassicalConfig
from models.causalmmm.graph_posterior import GraphPosterior
from models.causalmmm.lag_gram import LagGram, lag_gram
from models.causalmmm.parent_search import search_parents
from models.causalmmm.shop_panel import ShopPanel
from models.causalmmm.structures import Structures, edge_priors, find_structures

METHOD = "classical"


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from all shops and held when others are scored.

    edge_share, own_share: prior shares of edges and of own pasts. slab_weights: (H,), sum one.
    structures: None where shops share nothing.
    """

    edge_share: float
    own_share: float
    slab_weights: np.ndarray
    structures: Structures | None


@dataclass(frozen=True, slots=True, eq=False)
class SearchRound:
    """Means over kept sweeps, (N, D, D) each [shop, source, target], of one round; kernel (N, D, D, K)."""

    probability: np.ndarray
    evidence: np.ndarray
    kernel: np.ndarray
    sign: np.ndarray
    slab_counts: np.ndarray
    state: np.ndarray
    log_joint: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class ClassicalFit:
    """posterior: of the shops fitted on. kernel: (N, D, D, K) coefficients given the edge, nodes of unit variance."""

    posterior: GraphPosterior
    kernel: np.ndarray
    lags_count: int
    learned: Learned
    config: ClassicalConfig
    node_ids: tuple[str, ...]
    allowed: np.ndarray

    def score(self, panel: ShopPanel, progress: Callable[[str], None] | None = None) -> GraphPosterior:
        """Edges of shops that were not fitted on; nothing is learned from them.

        Raises
        ------
        ValueError : the panel has other nodes.
        """
        if panel.node_ids != self.node_ids:
            raise ValueError(
                f"The fit knows the nodes {list(self.node_ids)}, the panel has {list(panel.node_ids)}. Hand over the "
                "same nodes in the same order."
            )
        tell = progress or (lambda text: None)
        rng = np.random.default_rng(self.config.seed)
        gram = _gram(panel, self.config, self.lags_count)
        prior = _flat_prior(panel.shops_count, self.allowed, self.learned)
        found = run_search(gram, prior, self.learned, self.config, self.config.sweeps[0], rng, None)
        tell(f"{panel.shops_count} unseen shops: parents searched alone")
        member = None
        if self.learned.structures is not None:
            for sweeps in self.config.sweeps[1:]:
                evidence = found.evidence[:, self.allowed]
                shares, member = edge_priors(self.learned.structures, evidence, seen=False)
                prior[:, self.allowed] = _logit(shares)
                found = run_search(gram, prior, self.learned, self.config, sweeps, rng, found.state)
                tell(f"{panel.shops_count} unseen shops: parents searched with the structures known")
        return _posterior(found, self.learned, member, self.lags_count)


def fit_classical(
    panel: ShopPanel, config: ClassicalConfig | None = None, progress: Callable[[str], None] | None = None
) -> ClassicalFit:
    """Edges of every shop of the panel.

    progress: is told in a line what has been done.
    """
    config = config or ClassicalConfig()
    tell = progress or (lambda text: None)
    rng = np.random.default_rng(config.seed)
    lags_count = config.lags_count or _chosen_lags(panel, config, tell)
    gram = _gram(panel, config, lags_count)
    slabs_count = len(config.scales) * len(config.decays)
    learned = Learned(config.edge_share, config.own_share, np.full(slabs_count, 1 / slabs_count), None)
    prior = _flat_prior(panel.shops_count, panel.allowed, learned)
    state, member = None, None
    for number, sweeps in enumerate(config.sweeps, start=1):
        found = run_search(gram, prior, learned, config, sweeps, rng, state)
        state = found.state
        learned = _learn(found, panel.allowed, learned)
        prior = _flat_prior(panel.shops_count, panel.allowed, learned)
        if config.share_structures and panel.shops_count > 1:
            evidence = found.evidence[:, panel.allowed]
            structures = find_structures(evidence, learned.edge_share)
            learned = Learned(learned.edge_share, learned.own_share, learned.slab_weights, structures)
            shares, member = edge_priors(structures, evidence, seen=True)
            prior[:, panel.allowed] = _logit(shares)
        said = f", {len(learned.structures.sizes)} structures" if learned.structures else ""
        tell(f"round {number} of {len(config.sweeps)}: {learned.edge_share:.0%} of the pairs are edges{said}")
    posterior = _posterior(found, learned, member, lags_count)
    return ClassicalFit(posterior, found.kernel, lags_count, learned, config, panel.node_ids, panel.allowed)


def run_search(
    gram: LagGram,
    prior_logit: np.ndarray,
    learned: Learned,
    config: ClassicalConfig,
    sweeps: int,
    rng: np.random.Generator,
    state: np.ndarray | None,
) -> SearchRound:
    """One round of parents for all shops; `state` (N, D, D) continues chains, None starts them without parents."""
    lag = np.arange(gram.lags_count)
    variance = np.array([scale * decay**lag for scale in config.scales for decay in config.decays])
    shape, burn_in = prior_logit.shape, sweeps // 4
    state = np.zeros(shape, dtype=np.int64) if state is None else state.copy()
    probability, evidence, sign = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    kernel, counts = np.zeros((*shape, gram.lags_count)), np.zeros(len(variance))
    log_joint = np.full(shape[:2], -np.inf)
    search_parents(
        gram.products,
        gram.rows,
        prior_logit,
        1.0 / variance,
        np.log(learned.slab_weights),
        config.variance_shape,
        config.variance_scale * gram.rows,
        rng.random((sweeps, *shape)),
        burn_in,
        state,
        probability,
        evidence,
        kernel,
        sign,
        counts,
        log_joint,
    )
    kept = sweeps - burn_in
    return SearchRound(
        probability / kept, evidence / kept, kernel / kept, sign / kept, counts / kept, state, log_joint
    )


def _gram(panel: ShopPanel, config: ClassicalConfig, lags_count: int, skipped: int = 0) -> LagGram:
    if config.normal_scores == "outcome":
        ranked = np.arange(panel.nodes_count) == panel.outcome_index
    else:
        ranked = np.full(panel.nodes_count, config.normal_scores == "all")
    return lag_gram(
        panel,
        lags_count,
        ranked=ranked,
        controls=config.controls,
        season_lengths=config.season_lengths,
        skipped=skipped,
    )


def _chosen_lags(panel: ShopPanel, config: ClassicalConfig, tell: Callable[[str], None]) -> int:
    from models.causalmmm.lag_order import choose_lags

    return choose_lags(panel, config, tell)


def _flat_prior(shops_count: int, allowed: np.ndarray, learned: Learned) -> np.ndarray:
    prior = np.full((shops_count, *allowed.shape), -np.inf)
    prior[:, allowed] = _logit(learned.edge_share)
    own = np.arange(len(allowed))
    prior[:, own, own] = _logit(learned.own_share)
    return prior


def _learn(found: SearchRound, allowed: np.ndarray, learned: Learned) -> Learned:
    """Shares and weights that the round's draws make likeliest, each drawn a little towards an even split."""
    edges = found.probability[:, allowed]
    own = np.arange(len(allowed))
    pasts = found.probability[:, own, own]
    counts = found.slab_counts + 1.0
    return Learned(
        edge_share=float((edges.sum() + 1) / (edges.size + 2)),
        own_share=float((pasts.sum() + 1) / (pasts.size + 2)),
        slab_weights=counts / counts.sum(),
        structures=learned.structures,
    )


def _posterior(
    found: SearchRound, learned: Learned, member: np.ndarray | None, lags_count: int
) -> GraphPosterior:
    probability = found.probability.copy()
    own = np.arange(probability.shape[1])
    probability[:, own, own] = 0.0
    known = probability > 0
    weight = np.abs(found.kernel)
    with np.errstate(invalid="ignore"):
        lag = (weight * np.arange(1, lags_count + 1)).sum(-1) / weight.sum(-1)
    diagnostics = {
        "lags_count": float(lags_count),
        "edge_share": learned.edge_share,
        "own_share": learned.own_share,
    }
    if learned.structures is not None:
        diagnostics |= {
            "structures_count": float(len(learned.structures.sizes)),
            "slip": learned.structures.slip,
        }
    return GraphPosterior(
        edge_probability=np.clip(probability, 0.0, 1.0),
        lag=np.where(known, lag, np.nan),
        sign=np.where(known, np.clip(found.sign, -1.0, 1.0), np.nan),
        structure_probability=member,
        method=METHOD,
        diagnostics=diagnostics,
    )


def _logit(share):
    return np.log(share) - np.log1p(-np.asarray(share))
