"""Which carry-over and which curve: decays and bends with their posterior weights, from refreshed statistics.

Each candidate is a decay for every channel and, where bend_factors has several, what its bend (transforms/concave.py)
is multiplied by; each from its grid. All channels with one decay are scored first, then choice by choice from the best
until nothing improves. The weights of a choice are prior times exp(log evidence) along its own line through the best;
draws, choice by choice, are then scored in full and weighted by what the lines had missed (importance weights), so that
choices that depend on each other are not taken for independent (where they depend strongly the lines are too narrow,
and a few draws are too few). Candidates are a sample of that posterior, all used: nothing rests on a single best.

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
from models.hbmmm.candidate_scores import (
    Candidate,
    CandidateScore,
    Scorer,
    candidate_design,
    candidate_statistics,
    transforms,
)
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.fit import HBMMMFit, fit_completed
from models.hbmmm.statistics import SufficientStatistics

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class CarryoverConfig:
    """How decays and bends are chosen.

    decays: the grid, ascending, with 0. prior_weights: of its values, the same for each channel, which are independent;
        None: equal. bend_factors: grid of what each channel's bend is multiplied by, ascending, with 1; equal priors;
        (1.0,) leaves bends as they are. rounds: sweeps over all choices at most. draws: candidates drawn for the
        mixture, each a fit unless it repeats. folds: parts of the consumers that are held out in turn. held_out_z: see
        above. noise_strata: see candidate_scores.py. seed: of folds and draws.
    """

    decays: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 0.85)
    prior_weights: tuple[float, ...] | None = None
    bend_factors: tuple[float, ...] = (0.25, 1.0, 4.0)
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
        factors = list(self.bend_factors)
        if 1.0 not in factors or factors != sorted(set(factors)) or not factors[0] > 0:
            raise ValueError(f"bend_factors are {factors}; give ascending values above 0, 1 among them.")
        for name, least in (("rounds", 1), ("draws", 1), ("folds", 2), ("noise_strata", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more.")
        if not self.held_out_z > 0:
            raise ValueError(
                f"held_out_z is {self.held_out_z}; it must be above 0 (infinite: never refuted)."
            )

    def grids(self, channels_count: int) -> list[tuple[tuple[float, ...], np.ndarray]]:
        """Values of every choice and their log prior probabilities, in the order of a candidate."""
        weights = np.ones(len(self.decays)) if self.prior_weights is None else np.array(self.prior_weights)
        grids = [(self.decays, np.log(weights / weights.sum()))] * channels_count
        if len(self.bend_factors) > 1:
            equal = np.full(len(self.bend_factors), -np.log(len(self.bend_factors)))
            grids = grids + [(self.bend_factors, equal)] * channels_count
        return grids


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

    channel_ids (C,): the order of decays and of factors. drawn, weights (K,): the mixture, weights summing to 1.
    lines: posterior of each choice, the others at their best, in the order of a candidate.
    scores: everything that was scored. held_out: of the drawn candidates and of those with one decay for all channels,
        the money error on consumers held out. is_refuted: it took the weight of all that was drawn.
    """

    config: CarryoverConfig
    channel_ids: tuple[str, ...]
    drawn: tuple[Candidate, ...]
    weights: np.ndarray
    lines: tuple[np.ndarray, ...]
    scores: dict[Candidate, CandidateScore]
    held_out: dict[Candidate, HeldOut]
    is_refuted: bool

    @property
    def decay_probabilities(self) -> pd.DataFrame:
        """channel_id, decay, probability: what the mixture says of each channel's decay."""
        return self._probabilities("decay", self.config.decays, 0)

    @property
    def bend_probabilities(self) -> pd.DataFrame:
        """channel_id, bend_factor, probability: what the mixture says of each channel's bend."""
        return self._probabilities("bend_factor", self.config.bend_factors, 1)

    def _probabilities(self, name: str, values: tuple[float, ...], part: int) -> pd.DataFrame:
        count = len(self.channel_ids)
        found = np.array([transforms(candidate, count)[part] for candidate in self.drawn])
        rows = [
            (channel, value, float(self.weights[found[:, c] == value].sum()))
            for c, channel in enumerate(self.channel_ids)
            for value in values
        ]
        return pd.DataFrame(rows, columns=["channel_id", name, "probability"])

    @property
    def candidates(self) -> pd.DataFrame:
        """One row per scored candidate: decays, bend factors by channel, log_evidence, held-out rmse and z, weight.

        Held-out columns are nan for candidates that were not held out.
        """
        weight = dict(zip(self.drawn, self.weights.tolist(), strict=True))
        rows = [
            {
                f"{name}[{c}]": value
                for name, values in zip(
                    ("decay", "bend_factor"), transforms(candidate, len(self.channel_ids)), strict=True
                )
                for c, value in zip(self.channel_ids, values, strict=True)
            }
            | {
                "log_evidence": score.log_evidence,
                "held_out_rmse": self.held_out[candidate].rmse if candidate in self.held_out else np.nan,
                "held_out_z": self.held_out[candidate].z if candidate in self.held_out else np.nan,
                "weight": weight.get(candidate, 0.0),
            }
            for candidate, score in self.scores.items()
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
    drawn, weights = search.draw(lines, rng)
    judged = dict.fromkeys((*drawn, *search.common))
    held_out = compared({one: scorer.held_out(search.scores[one]) for one in judged}, plain.rows_count)
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
    for i, (candidate, weight) in enumerate(zip(choice.drawn, choice.weights, strict=True)):
        statistics = candidate_statistics(panel, candidate)
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


def compared(errors: dict[Candidate, np.ndarray], rows_count: np.ndarray) -> dict[Candidate, HeldOut]:
    """Held-out squared errors by consumer (N,) of each candidate, beside those of the candidate with the least."""
    least = min(errors.values(), key=lambda one: one.sum())
    out = {}
    for candidate, own in errors.items():
        difference = own - least
        error = difference.std() * np.sqrt(len(difference))
        out[candidate] = HeldOut(
            rmse=float(np.sqrt(own.sum() / (rows_count - 1).sum())),
            z=float(difference.sum() / error) if error > 0 else 0.0,
        )
    return out


class _Search:
    """Scores candidates once each, the search for a mode starting at that of the one before."""

    def __init__(self, scorer: Scorer, config: CarryoverConfig, tell: Progress) -> None:
        self.scorer, self.config, self.tell = scorer, config, tell
        channels = len(scorer.panel.channel_ids)
        self.grids = config.grids(channels)
        bends = (1.0,) * (len(self.grids) - channels)
        self.common = [(d,) * channels + bends for d in config.decays]
        self.scores: dict[Candidate, CandidateScore] = {}

    def log_posterior(self, candidate: Candidate) -> float:
        """Log evidence and log prior."""
        if candidate not in self.scores:
            last = next(reversed(self.scores.values()), None)
            self.scores[candidate] = self.scorer.score(candidate, None if last is None else last.mode)
            self.tell(f"carry-over candidate {len(self.scores)}: {list(candidate)}", 0.0)
        prior = sum(
            log_prior[values.index(v)] for v, (values, log_prior) in zip(candidate, self.grids, strict=True)
        )
        return self.scores[candidate].log_evidence + float(prior)

    def best(self) -> Candidate:
        """The best candidate: one decay for all, then choice by choice."""
        best = max(self.common, key=self.log_posterior)
        for _ in range(self.config.rounds):
            before = best
            for at in range(len(self.grids)):
                best = max(self._line(best, at), key=self.log_posterior)
            if best == before:
                break
        return best

    def lines(self, best: Candidate) -> tuple[np.ndarray, ...]:
        """Posterior of each choice, the others as in `best`."""
        return tuple(
            _normalised(np.array([self.log_posterior(one) for one in self._line(best, at)]))
            for at in range(len(self.grids))
        )

    def draw(
        self, lines: tuple[np.ndarray, ...], rng: np.random.Generator
    ) -> tuple[tuple[Candidate, ...], np.ndarray]:
        """Distinct candidates drawn from the product of the lines, and their weights by their own evidence."""
        count = self.config.draws
        columns = []
        for line, (values, _) in zip(lines, self.grids, strict=True):
            points = (rng.random() + np.arange(count)) / count
            place = np.searchsorted(np.cumsum(line), points).clip(max=len(line) - 1)
            columns.append(rng.permutation(np.array(values)[place]))
        repeats: dict[Candidate, int] = {}
        for row in np.column_stack(columns).tolist():
            repeats[tuple(row)] = repeats.get(tuple(row), 0) + 1
        product = [
            sum(
                np.log(line[values.index(v)])
                for v, line, (values, _) in zip(candidate, lines, self.grids, strict=True)
            )
            for candidate in repeats
        ]
        exact = [self.log_posterior(candidate) for candidate in repeats]
        return tuple(repeats), _normalised(
            np.log(list(repeats.values())) + np.array(exact) - np.array(product)
        )

    def _line(self, best: Candidate, at: int) -> list[Candidate]:
        return [(*best[:at], value, *best[at + 1 :]) for value in self.grids[at][0]]


def _normalised(log_weights: np.ndarray) -> np.ndarray:
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()
