"""Draws of effects, from draws of coefficients: summed over groups of consumers, summarised for each consumer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from models.hbmmm.consumers import ConsumerChunk, over_consumers
from models.hbmmm.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class EffectWeights:
    """Weights (N, q) of q = estimands x channels effects, channels running fastest, on scaled coefficients.

    slope_columns, log_columns (C,): row columns of x and of log1p(x / bend) of each channel; None without the latter.
    """

    slope_columns: tuple[int, ...]
    log_columns: tuple[int | None, ...]
    weights_x: np.ndarray
    weights_log: np.ndarray

    def of_channel(self, channel: int, consumers: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """(row column, weights (n, estimands)) of each coefficient of a channel."""
        mine = slice(channel, None, len(self.slope_columns))
        parts = [(self.slope_columns[channel], self.weights_x[consumers][:, mine])]
        column = self.log_columns[channel]
        if column is not None:
            parts.append((column, self.weights_log[consumers][:, mine]))
        return parts


def group_effects(
    problem: Problem,
    parameters: np.ndarray,
    market: np.ndarray,
    seed: list[int],
    weights: EffectWeights,
    members: sparse.csc_matrix,
    summary: ConsumerSummary,
    threads_count: int,
) -> np.ndarray:
    """Sums of effects over the consumers of each group, (G, q, S), for S draws of parameters and market effects.

    members (G, N): 1 where a consumer is in a group. summary: hears the effects of every consumer.
    """
    channels = len(weights.slope_columns)
    effects_count = weights.weights_x.shape[1]
    out = np.zeros((members.shape[0], effects_count, len(parameters)))

    def one(chunk: ConsumerChunk) -> tuple[np.ndarray, np.ndarray]:
        inside = members[:, chunk.consumers]
        present = np.unique(inside.indices)
        dense = inside[present].toarray()
        sums = np.empty((len(present), effects_count, len(parameters)))
        effects = np.empty((len(summary.columns), len(parameters), len(chunk.consumers)))
        for channel in range(channels):
            parts = weights.of_channel(channel, chunk.consumers)
            sums[:, channel::channels] = sum(
                np.tensordot(dense[:, None] * weight.T, chunk.coefficients[column], axes=(2, 1))
                for column, weight in parts
            )
            for place in np.flatnonzero(summary.columns % channels == channel):
                estimand = summary.columns[place] // channels
                effects[place] = sum(
                    chunk.coefficients[column] * weight[:, estimand] for column, weight in parts
                )
        summary.add(chunk.consumers, effects)
        return present, sums

    for present, sums in over_consumers(problem, parameters, market, seed, one, threads_count):
        out[present] += sums
    return out


class ConsumerSummary:
    """Streams the first three moments of consumer effects, of which mean, sd and quantiles follow.

    An effect is linear in coefficients that are normal given the global draw, so its distribution is close to normal;
    quantiles are Cornish-Fisher's, with the skewness that the mixture over global draws leaves.
    """

    def __init__(self, columns: np.ndarray, denominators: np.ndarray, draws_count: int) -> None:
        """columns (p,): which of the q effects; denominators (N, q); draws_count: that will be added in all."""
        self.columns = columns
        self.denominators = denominators[:, columns]
        self.count = draws_count
        shape = self.denominators.shape
        self.is_started = np.zeros(shape[0], dtype=bool)
        self.about, self.sums, self.squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.cubes, self.positive = np.zeros(shape), np.zeros(shape)

    def add(self, who: np.ndarray, effects: np.ndarray) -> None:
        """effects (p, S, n): draws of consumers `who` (n,), before the division; overwritten."""
        with np.errstate(divide="ignore", invalid="ignore"):
            effects /= self.denominators[who].T[:, None]
        if not self.is_started[who[0]]:
            self.about[who] = effects.mean(axis=1).T  # moments about a mean: no cancellation
            self.is_started[who] = True
        self.positive[who] += (effects > 0).sum(axis=1).T
        effects -= self.about[who].T[:, None]
        self.sums[who] += effects.sum(axis=1).T
        squares = effects * effects
        self.squares[who] += squares.sum(axis=1).T
        squares *= effects
        self.cubes[who] += squares.sum(axis=1).T

    def moments(self) -> ConsumerMoments:
        """Moments of the draws added."""
        shift = self.sums / self.count
        second = self.squares / self.count
        return ConsumerMoments(
            mean=self.about + shift,
            variance=np.maximum(second - shift**2, 0.0),
            third=self.cubes / self.count - 3.0 * shift * second + 2.0 * shift**3,
            positive=self.positive / self.count,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ConsumerMoments:
    """Mean, variance, third central moment and share above zero of consumer effects, (N, p) each."""

    mean: np.ndarray
    variance: np.ndarray
    third: np.ndarray
    positive: np.ndarray

    @classmethod
    def mixture(cls, parts: list[ConsumerMoments], weights: np.ndarray) -> ConsumerMoments:
        """Moments of draws taken from the parts in proportion to the weights, which sum to 1."""
        pairs = list(zip(weights, parts, strict=True))
        mean = sum(w * part.mean for w, part in pairs)
        return cls(
            mean=mean,
            variance=sum(w * (part.variance + (part.mean - mean) ** 2) for w, part in pairs),
            third=sum(
                w * (part.third + 3.0 * (part.mean - mean) * part.variance + (part.mean - mean) ** 3)
                for w, part in pairs
            ),
            positive=sum(w * part.positive for w, part in pairs),
        )

    def numbers(self, interval_level: float) -> dict[str, np.ndarray]:
        """Columns of an effect table, (N, p) each."""
        sd = np.sqrt(self.variance)
        skewness = np.divide(self.third, sd**3, out=np.zeros_like(sd), where=sd > 0)
        z = special.ndtri((1 + interval_level) / 2)
        bend = (z**2 - 1.0) * np.clip(skewness, -1.0, 1.0) / 6.0
        return {
            "mean": self.mean,
            "standard_deviation": sd,
            "interval_lower": self.mean + sd * (bend - z),
            "interval_upper": self.mean + sd * (bend + z),
            "probability_positive": self.positive,
        }
