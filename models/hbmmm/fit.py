"""Fit the HBMMM: impute, sample each completed data set, pool, draw consumer effects.

Pooling: draws of all completed data sets are put together as one mixture, which is what proper multiple imputation
of a Bayesian model gives. R-hat compares chains within a completed data set (chains of different data sets need not
agree), its variances averaged over the data sets; effective sample sizes are summed over them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.hbmmm.characteristics import (
    kept_levels,
    learn_characteristics,
    pool_levels,
    tidy_characteristics,
)
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.consumers import ConsumerChunk, market_draws, over_consumers
from models.hbmmm.design import Design, build_design
from models.hbmmm.diagnostics import ess_bulk, ess_tail, r_hat, resample_size
from models.hbmmm.problem import Problem, build_problem, consumer_row_means, prior_table
from models.hbmmm.sample import Sample
from models.hbmmm.sampling import SamplingJob, sample_all
from models.hbmmm.statistics import SufficientStatistics
from models.imputation import impute_characteristics

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class HBMMMFit:
    """A fitted model; everything effects and predictions need, and nothing of the rows.

    draws (imputation, chain, draw, d): global parameters, scaled, standard deviations positive; parameter_names (d,).
    prior_sd (d,): normal prior sd of each parameter (means are 0; half-normal for standard deviations).
    market_index, stratum_index (N,): home market and noise stratum of each consumer.
    row_means (N, pD): consumer means of the scaled row-level columns.
    completed: the completed characteristics, one frame per imputation, rows in the order of consumer_ids.
    market_draws (imputation, kept, J, r): market effects of the kept global draws; kept_index (kept,): which draws
        (chain * draws + draw) they belong to.
    coefficient_mean (N, pM), coefficient_covariance (N, pM, pM): moments of each consumer's total coefficients of
        the moderated row columns. learned_share (N, k): 1 - (posterior sd / prior sd)^2 of the consumer effects.
    sampler: one row per imputation: method, divergences, least E-BFMI, passes over the data, k-hat, seconds.
    diagnostics: one row per parameter.
    """

    config: HBMMMConfig
    design: Design
    strata: tuple[str, ...]
    parameter_names: tuple[str, ...]
    prior_sd: np.ndarray
    draws: np.ndarray
    consumer_ids: np.ndarray
    market_ids: np.ndarray
    market_index: np.ndarray
    stratum_index: np.ndarray
    row_means: np.ndarray
    completed: tuple[pd.DataFrame, ...]
    kept_index: np.ndarray
    market_draws: np.ndarray
    coefficient_mean: np.ndarray
    coefficient_covariance: np.ndarray
    learned_share: np.ndarray
    diagnostics: pd.DataFrame
    sampler: pd.DataFrame
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_approximate(self) -> bool:
        """Draws are of the normal approximation: nothing vouches for them, and no check may let them through."""
        return bool((self.sampler["method"] == "laplace").any())

    @property
    def is_importance_sampled(self) -> bool:
        """Draws are a resampled importance sample: k_hat and its size judge them, R-hat cannot."""
        return bool((self.sampler["method"] == "importance").all())

    @property
    def k_hat(self) -> float:
        """Worst k-hat over the completed data sets; nan for NUTS."""
        return float(self.sampler["k_hat"].max(skipna=False))

    @property
    def e_bfmi(self) -> float:
        """Least E-BFMI of all chains; nan but for NUTS, and in fits saved before it was recorded: not evaluated."""
        return float(self.sampler["e_bfmi"].min(skipna=False)) if "e_bfmi" in self.sampler else np.nan

    @property
    def divergences_count(self) -> int:
        """Divergent transitions after warm-up, over all completed data sets."""
        return int(self.sampler["divergences_count"].sum())

    def kept_draws(self, imputation: int) -> np.ndarray:
        """The global draws kept for effects, (kept, d)."""
        return self.draws[imputation].reshape(-1, self.draws.shape[-1])[self.kept_index]

    def save(self, folder) -> None:
        """Write Parquet, netCDF and JSON files into a folder."""
        from models.hbmmm.storage import save_fit

        save_fit(self, folder)

    @classmethod
    def load(cls, folder) -> HBMMMFit:
        """Read a saved folder; raises NotFittedError when a file is missing."""
        from models.hbmmm.storage import load_fit

        return load_fit(folder)


def fit_hbmmm(
    statistics: SufficientStatistics,
    characteristics: pd.DataFrame,
    config: HBMMMConfig,
    progress: Progress | None = None,
    design: Design | None = None,
) -> HBMMMFit:
    """Fit the model.

    characteristics: indexed by consumer_id, gaps as NaN or None; rows of other consumers are ignored.
    progress: called with a text and the share done.
    design: a stored design (a champion's) to keep its columns and scaling; None learns one from the data.
    Raises PanelError for unusable data or another outcome than the configuration's, and ConvergenceError when no
    posterior mode is found. Whether the chains converged is for the caller to judge from `diagnostics` and
    `divergences_count`.
    """
    require_outcome(statistics, config)
    started = time.perf_counter()
    tell = progress or (lambda text, share: None)
    rng = np.random.default_rng(config.seed)
    design, completed = designed_and_completed(statistics, characteristics, config, rng, design)
    tell(f"completed data sets: {len(completed)}", 0.02)
    return fit_completed(
        statistics, design, completed, config, rng, tell, {"imputation": time.perf_counter() - started}
    )


def designed_and_completed(
    statistics: SufficientStatistics,
    characteristics: pd.DataFrame,
    config: HBMMMConfig,
    rng: np.random.Generator,
    design: Design | None = None,
) -> tuple[Design, tuple[pd.DataFrame, ...]]:
    """The design (learned from the data where none is given), and the characteristics without gaps, M times."""
    frame = _pooled_frame(statistics, characteristics, config)
    if design is None:
        design = build_design(statistics, learn_characteristics(frame, config), config)
    completed = impute_characteristics(
        frame,
        _predictors(statistics, consumer_row_means(statistics, design)),
        imputations_count=config.imputations_count,
        rounds=config.imputation_rounds,
        rng=rng,
    )
    for column in frame.columns[frame.isna().any()]:
        for one in completed:
            one[f"{column} is missing"] = frame[column].isna().to_numpy(dtype=float)
    return design, tuple(completed)


def fit_completed(
    statistics: SufficientStatistics,
    design: Design,
    completed: tuple[pd.DataFrame, ...],
    config: HBMMMConfig,
    rng: np.random.Generator,
    tell: Progress,
    seconds: dict[str, float],
    start: np.ndarray | None = None,
) -> HBMMMFit:
    """Fit on completed characteristics (rows in the order of the statistics). seconds: those spent before.

    start: where the normal approximation searches for the mode of the first data set; the others start at its mode.
    """
    started = time.perf_counter()
    config_each = replace(config, draws=config.draws_each(len(completed)))
    seeds = [int(s) for s in rng.integers(2**31 - 1, size=len(completed))]
    jobs = [
        SamplingJob(statistics, design, one, config_each, seed, start)
        for one, seed in zip(completed, seeds, strict=True)
    ]
    samples = sample_all(jobs, tell)
    seconds["sampling"] = time.perf_counter() - started
    tell("consumer effects", 0.95)
    fit = fit_of_samples(statistics, design, completed, config, samples, rng, seconds)
    tell("done", 1.0)
    return fit


def fit_of_samples(
    statistics: SufficientStatistics,
    design: Design,
    completed: tuple[pd.DataFrame, ...],
    config: HBMMMConfig,
    samples: list[Sample],
    rng: np.random.Generator,
    seconds: dict[str, float],
    markets: np.ndarray | None = None,
    own_means: np.ndarray | None = None,
) -> HBMMMFit:
    """What samples of the global parameters become for these consumers.

    markets (imputation, kept, J, r): draws of the market effects for the kept draws where they come from more consumers
    than these; None draws them here. own_means: as in build_problem.
    """
    started = time.perf_counter()
    row_means = consumer_row_means(statistics, design)
    draws = np.stack([s.draws for s in samples])
    kept_index = kept_draws_index(replace(config, draws=draws.shape[2]), len(completed))
    drawn, moments = [], _CoefficientMoments(len(row_means))
    for m, (one, sample) in enumerate(zip(completed, samples, strict=True)):
        problem = build_problem(statistics, design, one, own_means)
        kept = sample.draws.reshape(-1, sample.draws.shape[-1])[kept_index]
        if markets is None:
            drawn.append(market_draws(problem, kept, rng, config.worker_processes))
        else:
            drawn.append(markets[m])
        moments.add(problem, kept, drawn[-1], [config.seed, m + 1, 1], config.worker_processes)
    mean, covariance, learned = moments.of_all(len(completed))
    seconds["consumers"] = time.perf_counter() - started
    return HBMMMFit(
        config=config,
        design=design,
        strata=problem.strata,
        parameter_names=problem.parameter_names,
        prior_sd=prior_table(problem.design, len(problem.strata), config)[1],
        draws=draws,
        consumer_ids=statistics.consumer_ids,
        market_ids=statistics.market_ids,
        market_index=statistics.market_index,
        stratum_index=problem.by_consumer(problem.stratum),
        row_means=row_means,
        completed=completed,
        kept_index=kept_index,
        market_draws=np.stack(drawn),
        coefficient_mean=mean,
        coefficient_covariance=covariance,
        learned_share=learned,
        diagnostics=diagnose(draws, problem.parameter_names, samples),
        sampler=_sampler_frame(samples),
        seconds=seconds,
    )


def require_outcome(statistics: SufficientStatistics, config: HBMMMConfig) -> None:
    """Raises PanelError where the statistics hold another outcome than the configuration asks for."""
    if statistics.outcome != config.outcome:
        raise PanelError(
            f"the statistics hold the outcome {statistics.outcome!r} and the configuration asks for "
            f"{config.outcome!r}: effects would get the wrong unit. Build the statistics for that outcome, or set "
            f"outcome={statistics.outcome!r}."
        )


def diagnose(draws: np.ndarray, names: tuple[str, ...], samples: list[Sample]) -> pd.DataFrame:
    """One row per parameter of draws (imputation, chain, draw, d): mean, sd, r_hat, ess_bulk, ess_tail.

    Draws of importance sampling have no chains: r_hat is nan there, and both sizes are resample_size. Of a normal
    approximation nothing is known: all are nan.
    """
    table = pd.DataFrame(
        {"parameter": list(names), "mean": draws.mean(axis=(0, 1, 2)), "sd": draws.std(axis=(0, 1, 2))}
    )
    if any(s.method == "laplace" for s in samples):
        return table.assign(r_hat=np.nan, ess_bulk=np.nan, ess_tail=np.nan)
    size = resample_size([s.importance_ess for s in samples], draws.shape[1] * draws.shape[2])
    if np.isfinite(size):
        return table.assign(r_hat=np.nan, ess_bulk=size, ess_tail=size)
    return table.assign(
        r_hat=r_hat(draws),
        ess_bulk=np.sum([ess_bulk(d) for d in draws], axis=0),
        ess_tail=np.sum([ess_tail(d) for d in draws], axis=0),
    )


def _pooled_frame(
    statistics: SufficientStatistics, characteristics: pd.DataFrame, config: HBMMMConfig
) -> pd.DataFrame:
    """Tidy characteristics with rare levels pooled, so that imputation draws only levels the model knows."""
    frame = tidy_characteristics(characteristics, statistics.consumer_ids)
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            levels = kept_levels(frame[name], config.min_level_consumers)
            frame[name] = pd.Series(pool_levels(frame[name], levels), index=frame.index, dtype=object)
    return frame


def _predictors(statistics: SufficientStatistics, row_means: np.ndarray) -> np.ndarray:
    """Complete consumer columns for the imputation: mean exposures, covariates and GMV, length of panel, stratum.

    Means of period dummies are left out: they only say when a consumer was there.
    """
    m = len(statistics.columns)
    kinds = [c.kind for c in statistics.columns]
    keep = [j for j in range(1, m) if kinds[j] != "period"]
    means = statistics.packed[:, :m][:, keep] / statistics.rows_count[:, None]
    strata = np.unique(statistics.spend_stratum.astype(str))
    dummies = statistics.spend_stratum.astype(str)[:, None] == strata[None, 1:]
    return np.column_stack([means, statistics.rows_count, dummies])


def kept_draws_index(config: HBMMMConfig, imputations_count: int) -> np.ndarray:
    """Evenly spaced draws (kept,) of one imputation that effects are drawn for, equally many of each chain."""
    per_chain = min(max(config.effect_draws // (imputations_count * config.chains), 1), config.draws)
    within = np.linspace(0, config.draws - 1, per_chain).round().astype(int)
    return (np.arange(config.chains)[:, None] * config.draws + within[None, :]).ravel()


class _CoefficientMoments:
    """Streams means, covariances and shares learned of the consumers' coefficients over completed data sets."""

    def __init__(self, consumers_count: int) -> None:
        self.consumers_count = consumers_count
        self.mean, self.covariance, self.learned = np.empty(0), np.empty(0), np.empty(0)

    def add(
        self, problem: Problem, kept: np.ndarray, markets: np.ndarray, seed: list[int], threads: int
    ) -> None:
        """Moments of one data set, of the kept draws (S, d) and their market effects (S, J, r)."""
        n, k, moderated = self.consumers_count, problem.slopes_count, problem.design.moderated_count
        if not self.mean.size:
            self.mean, self.learned = np.zeros((n, moderated)), np.zeros((n, k))
            self.covariance = np.zeros((n, moderated, moderated))
        prior = (kept[:, problem.layout.consumer] ** 2).mean(axis=0)

        def add(chunk: ConsumerChunk) -> None:
            who = chunk.consumers
            mean = chunk.coefficients.mean(axis=1)
            centred = chunk.coefficients - mean[:, None]
            for a in range(moderated):
                for b in range(a + 1):
                    second = np.einsum("sn,sn->n", centred[a], centred[b]) / len(kept) + mean[a] * mean[b]
                    self.covariance[who, a, b] += second
                    if b < a:
                        self.covariance[who, b, a] += second
            self.mean[who] += mean.T
            self.learned[who] += np.clip(1.0 - chunk.variances.T / prior, 0.0, 1.0)

        list(over_consumers(problem, kept, markets, seed, add, threads))

    def of_all(self, data_sets_count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mean (N, pM), covariance (N, pM, pM), learned share (N, k) over all data sets added."""
        mean = self.mean / data_sets_count
        covariance = self.covariance / data_sets_count
        for a in range(mean.shape[1]):
            covariance[:, a] -= mean[:, a, None] * mean
        return mean, covariance, self.learned / data_sets_count


def _sampler_frame(samples: list[Sample]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "imputation": np.arange(len(samples)),
            "method": [s.method for s in samples],
            "divergences_count": [s.divergences_count for s in samples],
            "e_bfmi": [s.e_bfmi for s in samples],
            "evaluations_count": [s.evaluations_count for s in samples],
            "k_hat": [s.k_hat for s in samples],
            "importance_ess": [s.importance_ess for s in samples],
            "step_size": [s.step_size for s in samples],
            "seconds_mode": [s.seconds_mode for s in samples],
            "seconds_sampling": [s.seconds_sampling for s in samples],
        }
    )
