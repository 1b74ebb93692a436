"""Structures that shops share, found from the evidence of each shop's edges.

A structure is one graph. A shop of it takes each pair from that graph or, with probability `slip`, has an edge there
with the share p of all edges, whatever the graph says; so it has an edge with probability q_1 = 1 - slip (1 - p) where
the graph has one and q_0 = slip p where it has none. With log Bayes factors l of the edges, a group of shops weighs

    sum_edges log((1 - p) prod_n (1 - q_0 + q_0 e^l_n) + p prod_n (1 - q_1 + q_1 e^l_n)),

the graph being summed out edge by edge, and groups have the Chinese restaurant's prior. Groups start as single shops
and merge while the weight rises; shops then move between groups while it still does. Their number needs no choosing,
and a slip of one is shops that share nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

SLIPS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_CONCENTRATION = 1.0
_PASSES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Structures:
    """group: (N,) int. with_edge, without_edge: (R, P) log likelihood of its shops by whether it has the edge."""

    group: np.ndarray
    with_edge: np.ndarray
    without_edge: np.ndarray
    edge_share: float
    slip: float

    @property
    def sizes(self) -> np.ndarray:
        """(R,) shops of each structure."""
        return np.bincount(self.group, minlength=len(self.with_edge))

    @property
    def edge_probability(self) -> np.ndarray:
        """(R, P) of the structures' own graphs."""
        return _has_edge(self.with_edge, self.without_edge, self.edge_share)


def find_structures(evidence: np.ndarray, edge_share: float) -> Structures:
    """evidence: (N, P) log Bayes factors of N shops' edges. The slip is chosen by the weight of what it leads to."""
    candidates = [_grouped(evidence, edge_share, slip) for slip in SLIPS]
    weights = [_weight(one.with_edge, one.without_edge, one.sizes, edge_share) for one in candidates]
    return candidates[int(np.argmax(weights))]


def edge_priors(structures: Structures, evidence: np.ndarray, seen: bool) -> tuple[np.ndarray, np.ndarray]:
    """(N, P) prior probability of each edge from the other shops, (N, R) how likely each structure is a shop's.

    evidence: (N, P). seen: the shops are those that `structures` was found from, in the same order; their own evidence
    is taken out of their structure before it speaks about them.
    """
    shops, slip = len(evidence), structures.slip
    sizes = np.repeat(structures.sizes[None].astype(float), shops, axis=0)
    with_edge = np.repeat(structures.with_edge[None], shops, axis=0)  # (N, R, P)
    without_edge = np.repeat(structures.without_edge[None], shops, axis=0)
    if seen:
        own = np.arange(shops), structures.group
        present, absent = _slipped(evidence, structures.edge_share, slip)
        with_edge[own] -= present
        without_edge[own] -= absent
        sizes[own] -= 1
    graph = _has_edge(with_edge, without_edge, structures.edge_share)
    prior = slip * structures.edge_share + (1 - slip) * graph
    prior = np.clip(prior, 1e-9, 1 - 1e-9)
    fit = np.logaddexp(np.log1p(-prior), np.log(prior) + evidence[:, None]).sum(axis=2)
    alone = np.full((shops, 1, evidence.shape[1]), structures.edge_share)
    alone_fit = np.logaddexp(np.log1p(-alone), np.log(alone) + evidence[:, None]).sum(axis=2)
    with np.errstate(divide="ignore"):
        weight = np.concatenate([np.log(sizes) + fit, np.log(_CONCENTRATION) + alone_fit], axis=1)
    member = np.exp(weight - logsumexp(weight, axis=1, keepdims=True))
    mixed = (member[:, :, None] * np.concatenate([prior, alone], axis=1)).sum(axis=1)
    if seen:  # a shop of none of the others' structures is one of its own
        member[np.arange(shops), structures.group] += member[:, -1]
        return mixed, member[:, :-1]
    known = member[:, :-1] + member[:, -1:] / (member.shape[1] - 1)
    return mixed, known


def _grouped(evidence: np.ndarray, edge_share: float, slip: float) -> Structures:
    present, absent = _slipped(evidence, edge_share, slip)
    with_edge, without_edge = present.copy(), absent.copy()
    sizes, group = np.ones(len(evidence)), np.arange(len(evidence))
    own = _log_edges(with_edge, without_edge, edge_share)
    gain = np.full((len(own), len(own)), -np.inf)
    for one in range(len(own) - 1):
        gain[one, one + 1 :] = _gains(
            one, np.arange(one + 1, len(own)), with_edge, without_edge, own, sizes, edge_share
        )
    while True:
        one, other = np.unravel_index(np.argmax(gain), gain.shape)
        if gain[one, other] <= 0:
            break
        with_edge[one] += with_edge[other]
        without_edge[one] += without_edge[other]
        sizes[one] += sizes[other]
        sizes[other] = 0
        group[group == other] = one
        own[one] = _log_edges(with_edge[one], without_edge[one], edge_share)
        gain[other], gain[:, other] = -np.inf, -np.inf
        rest = np.flatnonzero((sizes > 0) & (np.arange(len(sizes)) != one))
        found = _gains(one, rest, with_edge, without_edge, own, sizes, edge_share)
        gain[np.minimum(one, rest), np.maximum(one, rest)] = found
    _, group = np.unique(group, return_inverse=True)
    return _settled(present, absent, group, edge_share, slip)


def _gains(one, others, with_edge, without_edge, own, sizes, edge_share) -> np.ndarray:
    """What merging group `one` with each of `others` adds to the weight."""
    merged = _log_edges(
        with_edge[one] + with_edge[others], without_edge[one] + without_edge[others], edge_share
    )
    tables = gammaln(sizes[one] + sizes[others]) - gammaln(sizes[one]) - gammaln(sizes[others])
    return merged - own[one] - own[others] + tables - np.log(_CONCENTRATION)


def _settled(
    present: np.ndarray, absent: np.ndarray, group: np.ndarray, edge_share: float, slip: float
) -> Structures:
    """Shops move to the group that gains most, one after the other, until none does."""
    groups = group.max() + 1
    with_edge, without_edge = np.zeros((groups, present.shape[1])), np.zeros((groups, present.shape[1]))
    np.add.at(with_edge, group, present)
    np.add.at(without_edge, group, absent)
    sizes = np.bincount(group).astype(float)
    for _ in range(_PASSES):
        moved = False
        for shop in range(len(group)):
            old = group[shop]
            with_edge[old] -= present[shop]
            without_edge[old] -= absent[shop]
            sizes[old] -= 1
            gain = _log_edges(with_edge + present[shop], without_edge + absent[shop], edge_share)
            gain -= _log_edges(with_edge, without_edge, edge_share)
            with np.errstate(divide="ignore"):
                gain += np.where(sizes > 0, np.log(sizes), np.log(_CONCENTRATION))
            new = int(np.argmax(gain))
            new = old if gain[new] <= gain[old] else new
            with_edge[new] += present[shop]
            without_edge[new] += absent[shop]
            sizes[new] += 1
            group[shop], moved = new, moved or new != old
        if not moved:
            break
    filled = sizes > 0
    return Structures(
        (np.cumsum(filled) - 1)[group], with_edge[filled], without_edge[filled], edge_share, slip
    )


def _weight(with_edge: np.ndarray, without_edge: np.ndarray, sizes: np.ndarray, edge_share: float) -> float:
    tables = (gammaln(sizes) + np.log(_CONCENTRATION)).sum()
    return float(_log_edges(with_edge, without_edge, edge_share).sum() + tables)


def _slipped(evidence: np.ndarray, edge_share: float, slip: float) -> tuple[np.ndarray, np.ndarray]:
    """Log likelihoods of an edge's data if the structure has the edge, and if it has not."""
    with_edge, without_edge = 1 - slip * (1 - edge_share), slip * edge_share
    return (
        np.logaddexp(np.log1p(-with_edge), np.log(with_edge) + evidence),
        np.logaddexp(np.log1p(-without_edge), np.log(without_edge) + evidence),
    )


def _log_edges(with_edge: np.ndarray, without_edge: np.ndarray, edge_share: float) -> np.ndarray:
    return np.logaddexp(np.log1p(-edge_share) + without_edge, np.log(edge_share) + with_edge).sum(axis=-1)


def _has_edge(with_edge: np.ndarray, without_edge: np.ndarray, edge_share: float) -> np.ndarray:
    odds = np.log(edge_share) - np.log1p(-edge_share) + with_edge - without_edge
    return 0.5 * (1 + np.tanh(0.5 * odds))
