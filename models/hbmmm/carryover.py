"""Which carry-over: decays of every channel with their posterior weights, from refreshed sufficient statistics.

Each candidate is a decay for every channel, from a grid. All channels with one decay are scored first, then channel by
channel from the best until nothing improves. The weights of a channel's decays are prior times exp(log evidence) along
its own line through the best; draws of decays, channel by channel, are then scored in full and weighted by what the
lines had missed (importance weights), so that decays of channels that depend on each other are not taken for
independent (where they depend strongly the lines are too narrow, and a few draws are too few). Candidates are a sample
of that posterior and are all used: nothing is fitted at a single best.

Held-out money error has the last word: a candidate whose error exceeds that of the best one by more than held_out_z
consumer-clustered standard errors of the difference gets no weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.hbmmm.candidate_scores import CandidateScore, Scorer, candidate_design
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.fit import HBMMMFit, fit_completed
from models.hbmmm.statistics import SufficientStatistics
from models.transforms.adstock import carried_panel

Progress = Callable[[str, float], None]
Decays = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CarryoverConfig:
    """How decays are chosen.

    decays: the grid, ascending, with 0. prior_weights: of its values, the same for each channel, which are independent;
        None: equal. rounds: sweeps over the channels at most. draws: decays drawn for the mixture, each a fit unless
        it repeats. folds: parts of the consumers that are held out in turn. held_out_z: see above. noise_strata: see
        candidate_scores.py. seed: of folds and draws.
    """

    decays: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 0.85)
    prior_weights: tuple[float, ...] | None = None
    rounds: int = 2
    draws: int = 12
    folds: int = 5
    held_out_z: float = 1.96
    noise_strata: int = 10
    seed: int = 20261122

    def __post_init__(self) -> None:
        if self.decays[:1] != (0.0,) or list(self.decays) != sorted(set(self.decays)) or self.decays[-1] >= 1:
            raise ValueError(f"decays are {list(self.decays)}; give ascending values from 0 to below 1.")
        prior = self.prior_weights
        if prior is not None and (len(prior) != len(self.decays) or min(prior) <= 0):
            raise ValueError(
                f"prior_weights are {prior}; give each of the {len(self.decays)} decays one above 0."
            )
        for name, least in (("rounds", 1), ("draws", 1), ("folds", 2), ("noise_strata", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more.")
        if not self.held_out_z > 0:
            raise ValueError(
                f"held_out_z is {self.held_out_z}; it must be above 0 (infinite: never refuted)."
            )

    @property
    def log_prior(self) -> np.ndarray:
        """Log prior probability of each decay of the grid."""
        weights = np.ones(len(self.decays)) if self.prior_weights is None else np.array(self.prior_weights)
        return np.log(weights / weights.sum())


@dataclass(frozen=True, slots=True)
class HeldOut:
    """rmse: money error about the consumer's mean, on consumers held out.

    z: standard errors (over consumers, of the paired difference) by which its square exceeds the least candidate's.
    """

    rmse: float
    z: float


@dataclass(frozen=True, slots=True, eq=False)
class CarryoverChoice:
    """Candidates and their weights.

    channel_ids (C,): the order of all decays. drawn, weights (K,): decays of the mixture, weights summing to 1.
    lines (C, D): posterior of each channel's decays, the others at their best.
    scores: everything that was scored. held_out: of the drawn candidates and of those with one decay for all channels,
        the money error on consumers held out. is_refuted: it took the weight of all that was drawn.
    """

    config: CarryoverConfig
    channel_ids: tuple[str, ...]
    drawn: tuple[Decays, ...]
    weights: np.ndarray
    lines: np.ndarray
    scores: dict[Decays, CandidateScore]
    held_out: dict[Decays, HeldOut]
    is_refuted: bool

    @property
    def decay_probabilities(self) -> pd.DataFrame:
        """channel_id, decay, probability: what the mixture says of each channel's decay."""
        found = np.array(self.drawn)
        rows = [
            (channel, decay, float(self.weights[found[:, c] == decay].sum()))
            for c, channel in enumerate(self.channel_ids)
            for decay in self.config.decays
        ]
        return pd.DataFrame(rows, columns=["channel_id", "decay", "probability"])

    @property
    def candidates(self) -> pd.DataFrame:
        """One row per scored candidate: decays by channel, log_evidence, held_out_rmse, held_out_z, weight.

        Held-out columns are nan for candidates that were not held out.
        """
        weight = dict(zip(self.drawn, self.weights.tolist(), strict=True))
        rows = [
            {f"decay[{c}]": d for c, d in zip(self.channel_ids, decays, strict=True)}
            | {
                "log_evidence": score.log_evidence,
                "held_out_rmse": self.held_out[decays].rmse if decays in self.held_out else np.nan,
                "held_out_z": self.held_out[decays].z if decays in self.held_out else np.nan,
                "weight": weight.get(decays, 0.0),
            }
            for decays, score in self.scores.items()
        ]
        return pd.DataFrame(rows).sort_values("log_evidence", ascending=False, ignore_index=True)


@dataclass(frozen=True, slots=True, eq=False)
class CarryoverFit:
    """Fits of the drawn candidates, in their order, with their weights."""

    choice: CarryoverChoice
    fits: tuple[HBMMMFit, ...]


def choose_carryover(
    panel: Any, base: HBMMMFit, config: CarryoverConfig, progress: Progress | None = None
) -> CarryoverChoice:
    """Choose on the panel of raw exposures that `base`, the model without carry-over, was fitted on.

    Raises PanelError for another panel or one without channels, ConvergenceError when no mode is found.
    """
    plain = SufficientStatistics.from_panel(panel)
    if not np.array_equal(plain.consumer_ids, base.consumer_ids):
        raise PanelError(
            "the panel's consumers are not those of the fit; give the panel the model was fitted on."
        )
    if not base.design.modelled_channels:
        raise PanelError("no channel has exposures that vary, so there is no carry-over to choose.")
    rng = np.random.default_rng(config.seed)
    folds = rng.permutation(len(plain.consumer_ids)) % config.folds
    scorer = Scorer(
        panel, plain, base.design.characteristics, base.completed[0], base.config, folds, config.noise_strata
    )
    search = _Search(scorer, config, progress or (lambda text, share: None))
    best = search.best()
    lines = search.lines(best)
    drawn, weights = search.draw(best, lines, rng)
    judged = dict.fromkeys((*drawn, *search.common))
    held_out = compared(
        {decays: scorer.held_out(search.scores[decays]) for decays in judged}, plain.rows_count
    )
    weights = np.array(
        [w if held_out[d].z <= config.held_out_z else 0.0 for d, w in zip(drawn, weights, strict=True)]
    )
    refuted = not weights.any()
    if refuted:  # whatever held-out error leaves, by evidence
        drawn = tuple(d for d in judged if held_out[d].z <= config.held_out_z)
        weights = _normalised(np.array([search.log_posterior(d) for d in drawn]))
    kept = weights > 0
    return CarryoverChoice(
        config=config,
        channel_ids=tuple(panel.channel_ids),
        drawn=tuple(d for d, keep in zip(drawn, kept, strict=True) if keep),
        weights=weights[kept] / weights.sum(),
        lines=lines,
        scores=search.scores,
        held_out=held_out,
        is_refuted=refuted,
    )


def fit_carryover(
    panel: Any,
    base: HBMMMFit,
    choice: CarryoverChoice,
    config: HBMMMConfig | None = None,
    progress: Progress | None = None,
) -> CarryoverFit:
    """Fit every drawn candidate on the completed data sets of `base`.

    config: of the fits, None is that of `base`. Draws kept for effects are shared out by weight, 200 each at least.
    """
    tell = progress or (lambda text, share: None)
    plain = SufficientStatistics.from_panel(panel)
    settings = config or base.config
    fits = []
    for i, (decays, weight) in enumerate(zip(choice.drawn, choice.weights, strict=True)):
        statistics = SufficientStatistics.from_panel(carried_panel(panel, decays))
        design = candidate_design(statistics, plain, base.design.characteristics, settings)
        own = replace(settings, effect_draws=max(200, int(np.ceil(weight * settings.effect_draws))))
        rng = np.random.default_rng([settings.seed, i + 1, 4])
        fits.append(
            fit_completed(
                statistics, design, base.completed, own, rng, lambda text, share: None, {"imputation": 0.0}
            )
        )
        tell(f"candidate {i + 1} of {len(choice.drawn)} fitted", (i + 1) / len(choice.drawn))
    return CarryoverFit(choice, tuple(fits))


def compared(errors: dict[Decays, np.ndarray], rows_count: np.ndarray) -> dict[Decays, HeldOut]:
    """Held-out squared errors by consumer (N,) of each candidate, beside those of the candidate with the least."""
    least = min(errors.values(), key=lambda one: one.sum())
    out = {}
    for decays, own in errors.items():
        difference = own - least
        error = difference.std() * np.sqrt(len(difference))
        out[decays] = HeldOut(
            rmse=float(np.sqrt(own.sum() / (rows_count - 1).sum())),
            z=float(difference.sum() / error) if error > 0 else 0.0,
        )
    return out


class _Search:
    """Scores candidates once each, the search for a mode starting at that of the one before."""

    def __init__(self, scorer: Scorer, config: CarryoverConfig, tell: Progress) -> None:
        self.scorer, self.config, self.tell = scorer, config, tell
        self.channels = len(scorer.panel.channel_ids)
        self.common = [(d,) * self.channels for d in config.decays]
        self.scores: dict[Decays, CandidateScore] = {}

    def log_posterior(self, decays: Decays) -> float:
        """Log evidence and log prior."""
        if decays not in self.scores:
            last = next(reversed(self.scores.values()), None)
            self.scores[decays] = self.scorer.score(decays, None if last is None else last.mode)
            self.tell(f"carry-over candidate {len(self.scores)}: decays {list(decays)}", 0.0)
        prior = sum(self.config.log_prior[self.config.decays.index(d)] for d in decays)
        return self.scores[decays].log_evidence + float(prior)

    def best(self) -> Decays:
        """The best candidate: one decay for all, then channel by channel."""
        best = max(self.common, key=self.log_posterior)
        for _ in range(self.config.rounds):
            before = best
            for channel in range(self.channels):
                best = max(self._line(best, channel), key=self.log_posterior)
            if best == before:
                break
        return best

    def lines(self, best: Decays) -> np.ndarray:
        """(C, D): posterior of each channel's decays, those of the others at `best`."""
        return np.array(
            [
                _normalised(np.array([self.log_posterior(d) for d in self._line(best, channel)]))
                for channel in range(self.channels)
            ]
        )

    def draw(
        self, best: Decays, lines: np.ndarray, rng: np.random.Generator
    ) -> tuple[tuple[Decays, ...], np.ndarray]:
        """Distinct decays drawn from the product of the lines, and their weights by their own evidence."""
        count = self.config.draws
        columns = []
        for line in lines:
            points = (rng.random() + np.arange(count)) / count
            place = np.searchsorted(np.cumsum(line), points).clip(max=len(line) - 1)
            columns.append(rng.permutation(np.array(self.config.decays)[place]))
        repeats: dict[Decays, int] = {}
        for row in np.column_stack(columns).tolist():
            repeats[tuple(row)] = repeats.get(tuple(row), 0) + 1
        grid = self.config.decays
        product = [
            sum(np.log(line[grid.index(d)]) for line, d in zip(lines, decays, strict=True))
            for decays in repeats
        ]
        exact = [self.log_posterior(decays) for decays in repeats]
        return tuple(repeats), _normalised(
            np.log(list(repeats.values())) + np.array(exact) - np.array(product)
        )

    def _line(self, best: Decays, channel: int) -> list[Decays]:
        return [(*best[:channel], d, *best[channel + 1 :]) for d in self.config.decays]


def _normalised(log_weights: np.ndarray) -> np.ndarray:
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()
