"""The Bayes predictor that knows a simulated population and learns only the consumers: the floor of a hierarchy.

    y_it = population_it + X_it b_i + e_it,  b_i ~ N(0, V),  e_it ~ N(0, s2),  all but b_i known

b_i given the consumer's training rows is normal in closed form. No hierarchical model that has to learn the population
from the same rows can expect a smaller squared error, while `Oracle`, which knows b_i too, shows the noise alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.baselines.base import Prediction, Rows, as_rows
from models.errors import PanelError
from models.panel import ConsumerPanel


@dataclass(frozen=True, eq=False)
class KnownPopulation:
    """Truth of M rows: consumer_ids, period_starts, population (M,) in the outcome's unit, design X (M, k);
    covariance V (k, k), noise_sd."""

    consumer_ids: np.ndarray
    period_starts: np.ndarray
    population: np.ndarray
    design: np.ndarray
    covariance: np.ndarray
    noise_sd: float

    @classmethod
    def of_panel(
        cls,
        panel: ConsumerPanel,
        population: np.ndarray,
        design: np.ndarray,
        covariance: np.ndarray,
        noise_sd: float,
    ) -> KnownPopulation:
        """Truth in the order of the panel's rows."""
        rows = Rows.of_panel(panel)
        return cls(rows.consumer_ids, rows.period_starts, population, design, covariance, noise_sd)

    def fit(self, train: ConsumerPanel | Rows) -> FittedKnownPopulation:
        """Posterior of b_i of every training consumer; raises PanelError for rows whose truth was not given."""
        rows = as_rows(train)
        population, x = self.at(rows)
        codes, consumers = pd.factorize(rows.consumer_ids, sort=True)
        k = x.shape[1]
        information = np.zeros((len(consumers), k, k))
        score = np.zeros((len(consumers), k))
        np.add.at(information, codes, x[:, :, None] * x[:, None, :] / self.noise_sd**2)
        np.add.at(score, codes, x * ((rows.outcome - population) / self.noise_sd**2)[:, None])
        # (V^-1 + I)^-1 = (1 + V I)^-1 V needs no inverse of V
        covariance = np.linalg.solve(np.eye(k) + self.covariance @ information, self.covariance)
        mean = np.einsum("nkl,nl->nk", covariance, score)
        return FittedKnownPopulation(self, pd.Index(consumers), mean, covariance)

    def at(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Population part (R,) and design (R, k) of rows."""
        stamps = [
            pd.DatetimeIndex(d.astype("datetime64[s]")) for d in (self.period_starts, rows.period_starts)
        ]
        truth = pd.MultiIndex.from_arrays([self.consumer_ids, stamps[0]])
        position = truth.get_indexer(pd.MultiIndex.from_arrays([rows.consumer_ids, stamps[1]]))
        if (position < 0).any():
            raise PanelError(
                f"the population of {int((position < 0).sum())} of {len(rows)} rows was not given; give that of "
                "every row of the simulated panel."
            )
        return self.population[position], self.design[position]


@dataclass(frozen=True, eq=False)
class FittedKnownPopulation:
    """mean (N, k) and covariance (N, k, k) of b_i given the training rows."""

    truth: KnownPopulation
    consumers: pd.Index
    mean: np.ndarray
    covariance: np.ndarray

    def predict(self, rows: Rows) -> Prediction:
        """Normal; a consumer without training rows has b_i ~ N(0, V)."""
        population, x = self.truth.at(rows)
        position = self.consumers.get_indexer(pd.Index(rows.consumer_ids))
        known = position >= 0
        mean = np.where(known[:, None], self.mean[position], 0.0)
        covariance = np.where(known[:, None, None], self.covariance[position], self.truth.covariance)
        variance = np.einsum("rk,rkl,rl->r", x, covariance, x) + self.truth.noise_sd**2
        source = np.where(known, "model", "new_consumer").astype(object)
        return Prediction(population + np.einsum("rk,rk->r", x, mean), np.sqrt(variance), source=source)
