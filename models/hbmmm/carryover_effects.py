"""Effects with carry-over: draws of all candidates together, in proportion to their weights.

Each candidate's draws are stretched to its own clustered error first, so that a published interval holds the errors
within candidates and the differences between them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.errors import PanelError
from models.hbmmm.candidate_scores import candidate_statistics, transforms
from models.hbmmm.carried_weights import carried_estimands
from models.hbmmm.carryover import CarryoverFit
from models.hbmmm.effect_draws import ConsumerMoments
from models.hbmmm.effects import EffectDraws, EffectTables, draw_effects, effect_tables, population_numbers

DRAWS = 1000


def carryover_effects(fitted: CarryoverFit, panel: Any, draws_count: int = DRAWS) -> EffectTables:
    """Effect rows at horizon immediate and total, on the panel of raw exposures the choice was made on.

    r_hat and k_hat are the worst of the candidates, ess that of the weighted mean of independent candidates;
    error_ratio and learned_share are weighted means. channel_draws (rows, 1, 1, draws) are of the mixture, stretched.
    Raises PanelError for another panel, and where candidates model different channels.
    """
    first = fitted.fits[0]
    if any(fit.design.modelled_channels != first.design.modelled_channels for fit in fitted.fits):
        raise PanelError(
            "candidates model different channels: with some decays a channel's adstock does not vary. "
            "Leave that channel, or those decays, out."
        )
    weights = fitted.choice.weights
    parts = [
        draw_effects(
            fit,
            candidate_statistics(panel, candidate),
            carried_estimands(
                panel,
                transforms(candidate, len(panel.channel_ids))[0],
                fit.consumer_ids,
                fit.design.modelled_channels,
                fit.design.bends,
            ),
            panel.characteristics,
        )
        for candidate, fit in zip(fitted.choice.drawn, fitted.fits, strict=True)
    ]
    flat = _mixed(parts, weights, draws_count)
    numbers = population_numbers(flat, first.config.interval_level) | _quality(parts, weights)
    channel = flat[:, int(parts[0].groups.levels.index("channel"))]
    return effect_tables(
        parts[0],
        numbers,
        ConsumerMoments.mixture([part.consumers.moments() for part in parts], weights),
        channel.T[:, None, None, :],
        sum(w * fit.learned_share for w, fit in zip(weights, fitted.fits, strict=True)),
    )


def shares_of_draws(weights: np.ndarray, draws_count: int) -> np.ndarray:
    """How many of the draws each candidate gives, (K,): in proportion, the remainder to the largest fractions."""
    exact = weights * draws_count
    counts = np.floor(exact).astype(int)
    rest = np.argsort(counts - exact, kind="stable")[: draws_count - counts.sum()]
    counts[rest] += 1
    return counts


def _mixed(parts: list[EffectDraws], weights: np.ndarray, draws_count: int) -> np.ndarray:
    taken = []
    for part, count in zip(parts, shares_of_draws(weights, draws_count), strict=True):
        draws = part.stretched()
        taken.append(draws[np.linspace(0, len(draws) - 1, count).round().astype(int)])
    return np.concatenate(taken)


def _quality(parts: list[EffectDraws], weights: np.ndarray) -> dict[str, np.ndarray]:
    rhat, ess = (np.stack(one) for one in zip(*[part.quality() for part in parts], strict=True))
    return {
        "r_hat": rhat.max(axis=0),
        "ess": 1.0 / (weights[:, None, None] ** 2 / ess).sum(axis=0),
        "k_hat": np.full(ess.shape[1:], max(part.fit.k_hat for part in parts)),
        "error_ratio": np.tensordot(weights, np.stack([part.ratio for part in parts]), axes=1),
    }
