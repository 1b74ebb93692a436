"""The classical level: parents found by exact Bayesian regression on lag windows, shops of like graphs helping.

Each round samples the parents of every shop and target (parent_search) given prior odds of each edge, groups shops by
the evidence (structures), and lets the next round's prior odds of a shop be what the others of its structure have. The
shares of edges, the slabs' weights and the noise's prior are learned on the way. Edges are predictive (Granger), not
interventional.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.causalmmm.classical_config import ClassicalConfig
from models.causalmmm.lag_gram import LagGram, common_scale_of, lag_gram
from models.causalmmm.parent_rounds import (
    Learned,
    SearchRound,
    data_density,
    first_guess,
    flat_prior,
    learn,
    logit,
    run_round,
)
from models.causalmmm.structures import edge_priors, find_structures
from models.shops.graph_posterior import GraphPosterior
from models.shops.panel import ShopPanel

METHOD = "classical"
Tell = Callable[[str], None]
_SHOPS_FOR_LAGS = 30


@dataclass(frozen=True, slots=True, eq=False)
class ClassicalFit:
    """posterior: of the shops fitted on. kernel: (N, D, D, K) coefficients given the edge, of the scaled nodes."""

    posterior: GraphPosterior
    kernel: np.ndarray
    lags_count: int
    learned: Learned
    config: ClassicalConfig
    node_ids: tuple[str, ...]
    allowed: np.ndarray

    def score(self, panel: ShopPanel, progress: Tell | None = None) -> GraphPosterior:
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
        gram = gram_of(panel, self.config, self.lags_count, self.learned.common_scale)
        prior = flat_prior(panel.shops_count, self.allowed, self.learned)
        found = run_round(gram, prior, self.learned, self.config, self.config.sweeps[0], rng)
        tell(f"{panel.shops_count} unseen shops: parents searched alone")
        member = None
        if self.learned.structures is not None:
            for sweeps in self.config.sweeps[1:]:
                evidence = found.evidence[:, self.allowed]
                shares, member = edge_priors(self.learned.structures, evidence, seen=False)
                prior[:, self.allowed] = logit(shares)
                found = run_round(gram, prior, self.learned, self.config, sweeps, rng, found.state)
            tell(f"{panel.shops_count} unseen shops: parents searched with the structures known")
        return _posterior(found, self.learned, member, self.lags_count)


def fit_classical(
    panel: ShopPanel, config: ClassicalConfig | None = None, progress: Tell | None = None
) -> ClassicalFit:
    """Edges of every shop of the panel. progress: is told in a line what has been done."""
    config = config or ClassicalConfig()
    tell = progress or (lambda text: None)
    rng = np.random.default_rng(config.seed)
    lags_count = config.lags_count or choose_lags(panel, config, rng, tell)
    gram, learned = _start(panel, config, lags_count, rng, tell)
    prior = flat_prior(panel.shops_count, panel.allowed, learned)
    state, member = None, None
    for number, sweeps in enumerate(config.sweeps, start=1):
        found = run_round(gram, prior, learned, config, sweeps, rng, state)
        state = found.state
        learned = learn(found, panel.allowed, panel.outcome_index, learned)
        prior = flat_prior(panel.shops_count, panel.allowed, learned)
        said = ""
        if config.share_structures and panel.shops_count > 1:
            evidence = found.evidence[:, panel.allowed]
            learned = replace(learned, structures=find_structures(evidence, learned.edge_share))
            shares, member = edge_priors(learned.structures, evidence, seen=True)
            prior[:, panel.allowed] = logit(shares)
            said = f", {len(learned.structures.sizes)} structures"
        tell(f"round {number} of {len(config.sweeps)}: {learned.edge_share:.0%} of the pairs are edges{said}")
    posterior = _posterior(found, learned, member, lags_count)
    return ClassicalFit(posterior, found.kernel, lags_count, learned, config, panel.node_ids, panel.allowed)


def gram_of(
    panel: ShopPanel, config: ClassicalConfig, lags_count: int, common_scale: float | None, skipped: int = 0
) -> LagGram:
    """Products of the panel's lag windows as the configuration wants them."""
    if config.normal_scores == "outcome":
        ranked = np.arange(panel.nodes_count) == panel.outcome_index
    else:
        ranked = np.full(panel.nodes_count, config.normal_scores == "all")
    return lag_gram(
        panel,
        lags_count,
        ranked=ranked,
        common_scale=common_scale,
        controls=config.controls,
        season_lengths=config.season_lengths,
        skipped=skipped,
    )


def _start(
    panel: ShopPanel, config: ClassicalConfig, lags_count: int, rng: np.random.Generator, tell: Tell
) -> tuple[LagGram, Learned]:
    """Scaling of the nodes by density, after one round that learns and one from the start again."""
    scales = {"node": (None,), "common": (common_scale_of(panel),), "auto": (None, common_scale_of(panel))}
    best = None
    for scale in scales[config.units]:
        gram = gram_of(panel, config, lags_count, scale)
        guess = first_guess(config, panel.nodes_count, scale)
        density, learned = _learned_alone(panel, gram, guess, config, rng)
        tell(f"nodes scaled {'one by one' if scale is None else 'by one factor'}: log density {density:.1f}")
        if best is None or density > best[0]:
            best = (density, gram, learned)
    return best[1], best[2]


def choose_lags(panel: ShopPanel, config: ClassicalConfig, rng: np.random.Generator, tell: Tell) -> int:
    """The candidate lag order under which some shops' data are densest, all explained on the same rows.

    Density is of the sparse model's likeliest parents: criteria of the full regression choose far too few lags.

    Raises
    ------
    ValueError : the panel is too short for the candidates.
    """
    some = np.arange(panel.shops_count)
    if len(some) > _SHOPS_FOR_LAGS:
        some = np.sort(rng.choice(some, _SHOPS_FOR_LAGS, replace=False))
    part = panel.shops(some)
    candidates = [lags for lags in config.lag_candidates if lags <= panel.periods_count // 3]
    if not candidates:
        raise ValueError(
            f"{panel.periods_count} periods are less than three times the least of {config.lag_candidates} lags. Hand "
            "over more periods or smaller candidates."
        )
    scale = common_scale_of(part) if config.units == "common" else None
    densities = {}
    for lags in candidates:
        gram = gram_of(part, config, lags, scale, skipped=max(candidates))
        guess = first_guess(config, part.nodes_count, scale)
        densities[lags], _ = _learned_alone(part, gram, guess, config, rng)
        tell(f"{lags} lags: log density {densities[lags]:.1f}")
    return max(densities, key=densities.__getitem__)


def _learned_alone(
    panel: ShopPanel, gram: LagGram, learned: Learned, config: ClassicalConfig, rng: np.random.Generator
) -> tuple[float, Learned]:
    """One round that learns and one from the start again, without structures: log density, and what they teach."""
    for _ in range(2):
        prior = flat_prior(panel.shops_count, panel.allowed, learned)
        found = run_round(gram, prior, learned, config, config.sweeps[0], rng)
        density = data_density(found, gram, prior, learned)
        learned = learn(found, panel.allowed, panel.outcome_index, learned)
    return density, learned


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
        "common_scale": float("nan") if learned.common_scale is None else learned.common_scale,
    }
    if learned.structures is not None:
        diagnostics["structures_count"] = float(len(learned.structures.sizes))
        diagnostics["slip"] = learned.structures.slip
    return GraphPosterior(
        edge_probability=np.clip(probability, 0.0, 1.0),
        lag=np.where(known, lag, np.nan),
        sign=np.where(known, np.clip(found.sign, -1.0, 1.0), np.nan),
        structure_probability=member,
        method=METHOD,
        diagnostics=diagnostics,
    )
