"""Log posterior density of the sampled parameters and its gradient: curves, columns, Gaussian likelihood, and back.

    KPI_jt / kpi_mean_j = level_j + trend_jt + common columns + shock_t + sum_c effect_jc k_jtc + noise_jt
    k_jtc = scale_jc f_c(adstock)_jtc,   effect_jc = mean_c + spread_jc z_jc,   z_jc ~ N(0, 1)

with scale_jc such that effect_jc is the market's ROI (or share of KPI) over its recorded periods, whatever the curve:
how steep a curve is then says little about how much a channel brings, which is what chains mix well on. A channel's
mean is sampled where its sign is fixed, and one more common column where it is free; the rest of the linear part
(levels, trends, shocks, waves, controls, all market deviations) never reaches the sampler (gaussian.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.response.channel_curves import ChannelCurves, Curves
from models.response.gaussian import LOG_2PI, LinearPosterior, Rows, derivatives, linear_posterior
from models.response.problem import ResponseProblem
from models.response.shocks import ShockPrior


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What one parameter vector makes of the data: J markets, T periods, C channels.

    curves; scale (C, J); columns (C, J, T) = k; mean, spread (C,); weight (J, T): 1 / noise where recorded
    noise (J,); own (J, T, P), common (J, T, Q + free channels), shocks, lift (E,): entries of the tests, in their
    errors; rows: what the tests add; posterior of the linear part; log_likelihood
    """

    values: np.ndarray
    curves: Curves
    scale: np.ndarray
    columns: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    weight: np.ndarray
    noise: np.ndarray
    own: np.ndarray
    common: np.ndarray
    shocks: ShockPrior | None
    lift: np.ndarray | None
    rows: Rows | None
    posterior: LinearPosterior
    log_likelihood: float

    @property
    def shock_weight(self) -> np.ndarray | None:
        """(J, T), None without shocks."""
        return None if self.shocks is None else self.weight


class ResponseDensity:
    """The log posterior density of one problem; parameters (d,) in the order of problem.layout, standard normal.

    first_channel : position of the channels among a market's own columns (level, then its trend where it has one)
    """

    def __init__(self, problem: ResponseProblem) -> None:
        self.problem = problem
        config = problem.config
        self.curves = ChannelCurves(problem.exposures, config.kernel, config.saturation, config.max_lag)
        self._markets = problem.outcome.shape[0]
        self._free = np.flatnonzero(~problem.is_positive)
        self._normalised = np.isfinite(problem.reference)
        self._reference = np.where(self._normalised, problem.reference, 1.0)
        self._recorded_count = problem.recorded.sum(axis=1)
        self.first_channel = 1 + bool(problem.layout.trend_spread.stop - problem.layout.trend_spread.start)

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and gradient (d,); minus infinity where the numbers break down, which a sampler rejects."""
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                found = self.evaluate(x)
                gradient = self._gradient(x, found)
        except (np.linalg.LinAlgError, ValueError):
            return -np.inf, np.zeros_like(x)
        value = found.log_likelihood - 0.5 * float(x @ x)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return -np.inf, np.zeros_like(x)
        return value, gradient

    def evaluate(self, x: np.ndarray) -> Evaluation:
        """Columns, likelihood and linear posterior at x (d,)."""
        problem, layout, markets = self.problem, self.problem.layout, self._markets
        values, _ = layout.values(x)
        curves = self.curves.forward(values[layout.curves].reshape(len(problem.effects), -1))
        scale = self._scale(curves.values)
        columns = scale[:, :, None] * curves.values[:, :markets]
        mean = problem.free_mean.copy()
        mean[problem.is_positive] = values[layout.effects]
        spread = np.zeros(0)
        if not problem.is_national:
            spread = values[layout.spreads] * np.where(problem.is_positive, mean, problem.free_sd)
        noise, shock_sd = self._sds(values)
        weight = problem.recorded / noise[:, None]
        outcome = (problem.outcome - np.tensordot(mean, columns, axes=1)) * weight
        own = self._own(values, columns, spread, weight)
        free = (problem.free_sd[self._free, None, None] * columns[self._free]).transpose(1, 2, 0)
        common = np.concatenate([problem.common, free], axis=2) * weight[:, :, None]
        shocks = self._shocks(values, shock_sd)
        lift, rows = self._rows(curves, scale, mean, spread, own.shape[2], common.shape[2])
        posterior = linear_posterior(outcome, own, None if shocks is None else weight, common, shocks, rows)
        likelihood = posterior.log_density - float(self._recorded_count @ (np.log(noise) + 0.5 * LOG_2PI))
        return Evaluation(
            values,
            curves,
            scale,
            columns,
            mean,
            spread,
            weight,
            noise,
            own,
            common,
            shocks,
            lift,
            rows,
            posterior,
            likelihood,
        )

    def _scale(self, values: np.ndarray) -> np.ndarray:
        """(C, J): what turns curves into columns; 0 where a channel did nothing."""
        total = np.einsum("cjt,jt->cj", values[:, : self._markets], self.problem.recorded)
        scale = np.divide(self._reference, total, out=np.zeros_like(total), where=self._reference * total > 0)
        return np.where(self._normalised, scale, 1.0)

    def _own(
        self, values: np.ndarray, columns: np.ndarray, spread: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        problem, layout = self.problem, self.problem.layout
        own = np.empty((*weight.shape, self.first_channel + len(spread)))
        own[..., 0] = problem.config.level_sd * weight
        if self.first_channel == 2:
            own[..., 1] = values[layout.trend_spread] * problem.years * weight
        if len(spread):
            own[..., self.first_channel :] = (spread[:, None, None] * columns * weight).transpose(1, 2, 0)
        return own

    def _sds(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Noise (J,) and shocks' sd (1,), empty without shocks; shares of KPI."""
        problem, layout = self.problem, self.problem.layout
        noise, share = problem.kpi_spread * values[layout.noise], values[layout.shock_share]
        if len(share):
            return noise * np.sqrt(1.0 - share), noise * np.sqrt(share)
        ratios = values[layout.ratios] if len(values[layout.ratios]) else np.ones(self._markets)
        return noise * ratios, problem.kpi_spread * values[layout.shock_sd]

    def _shocks(self, values: np.ndarray, sd: np.ndarray) -> ShockPrior | None:
        problem, layout = self.problem, self.problem.layout
        if problem.config.shocks == "none":
            return None
        memory = (
            values[layout.shock_memory][0] if problem.config.shocks == "autoregressive" else np.float64(0.0)
        )
        return ShockPrior(problem.outcome.shape[1], sd[0], memory)

    def _rows(
        self,
        curves: Curves,
        scale: np.ndarray,
        mean: np.ndarray,
        spread: np.ndarray,
        own_width: int,
        common_width: int,
    ) -> tuple[np.ndarray | None, Rows | None]:
        """Entries of the lift tests (E,) per unit of effect, in standard errors, and the rows they make."""
        terms = self.problem.lifts
        if terms is None:
            return None, None
        c, j, count = terms.channel, terms.market, len(terms.lift)
        gained = ((curves.values[c, j] - curves.values[c, terms.row]) * terms.window).sum(axis=1)
        entries = terms.weight * scale[c, j] * gained
        own = np.zeros((count, self._markets, own_width))
        if len(spread):
            np.add.at(own, (terms.test, j, self.first_channel + c), spread[c] * entries)
        common = np.zeros((count, common_width))
        for place, channel in enumerate(self._free, start=common_width - len(self._free)):
            mine = c == channel
            np.add.at(common[:, place], terms.test[mine], self.problem.free_sd[channel] * entries[mine])
        expected = np.bincount(terms.test, mean[c] * entries, minlength=count)
        outcome = terms.lift / terms.standard_error - expected
        return entries, Rows(outcome, own, common, float(np.log(terms.standard_error).sum()))

    def _gradient(self, x: np.ndarray, at: Evaluation) -> np.ndarray:
        problem, layout = self.problem, self.problem.layout
        first, channels = self.first_channel, len(at.mean)
        found = derivatives(at.posterior, at.own, at.shock_weight, at.common, len(self._free))
        values, slopes = layout.values(x)
        gradient = np.zeros_like(x)
        weighted = at.posterior.residual * at.weight
        by_column = at.mean[:, None, None] * weighted
        by_mean = np.einsum("jt,cjt->c", weighted, at.columns)
        by_spread = np.zeros(channels)
        has_spread = len(at.spread) > 0
        if has_spread:
            own = found.own[..., first:].transpose(2, 0, 1) * at.weight
            by_column += at.spread[:, None, None] * own
            by_spread = np.einsum("cjt,cjt->c", own, at.columns)
        for place, channel in enumerate(self._free):
            by_column[channel] += problem.free_sd[channel] * found.common[..., place] * at.weight
        by_curve = np.zeros_like(at.curves.values)
        by_total = np.einsum("cjt,cjt->cj", by_column, at.columns)
        by_curve[:, : self._markets] = at.scale[:, :, None] * by_column
        if at.lift is not None:
            by_entry = self._entry_slopes(at, found, by_mean, by_spread)
            terms = problem.lifts
            moved = (terms.weight * at.scale[terms.channel, terms.market] * by_entry)[:, None] * terms.window
            np.add.at(by_curve, (terms.channel, terms.market), moved)
            np.add.at(by_curve, (terms.channel, terms.row), -moved)
            np.add.at(by_total, (terms.channel, terms.market), by_entry * at.lift)
        total = np.einsum("cjt,jt->cj", at.curves.values[:, : self._markets], problem.recorded)
        lost = np.divide(by_total, total, out=np.zeros_like(total), where=total > 0) * self._normalised
        by_curve[:, : self._markets] -= lost[:, :, None] * problem.recorded
        gradient[layout.curves] = self.curves.backward(at.curves, by_curve).ravel()
        if has_spread:
            gradient[layout.spreads] = by_spread * np.where(problem.is_positive, at.mean, problem.free_sd)
            by_mean = by_mean + by_spread * values[layout.spreads]
        gradient[layout.effects] = by_mean[problem.is_positive]
        by_log_noise = found.square - self._recorded_count
        gradient[layout.noise] = by_log_noise.sum() / values[layout.noise]
        gradient[layout.ratios] = (
            by_log_noise[: layout.ratios.stop - layout.ratios.start] / values[layout.ratios]
        )
        if at.shocks is not None:
            by_log_sd, by_memory = at.shocks.slopes(found.shocks)
            gradient[layout.shock_sd] = by_log_sd / values[layout.shock_sd]
            gradient[layout.shock_memory] = by_memory
            share = values[layout.shock_share]
            if len(share):
                gradient[layout.noise] += by_log_sd / values[layout.noise]
                gradient[layout.shock_share] = 0.5 * (by_log_sd / share - by_log_noise / (1.0 - share))
        if first == 2:
            along = np.einsum("jt,jt,t->", found.own[..., 1], at.weight, problem.years)
            gradient[layout.trend_spread] = along
        return gradient * slopes - x

    def _entry_slopes(
        self, at: Evaluation, found: object, by_mean: np.ndarray, by_spread: np.ndarray
    ) -> np.ndarray:
        """Derivatives by the tests' entries (E,); adds what the tests say about means and spreads to the two arrays."""
        terms, rows = self.problem.lifts, at.posterior.rows
        by_entry = at.mean[terms.channel] * rows.residual[terms.test]
        np.add.at(by_mean, terms.channel, rows.residual[terms.test] * at.lift)
        if len(at.spread):
            own = found.row_own[terms.test, terms.market, self.first_channel + terms.channel]
            by_entry += at.spread[terms.channel] * own
            np.add.at(by_spread, terms.channel, own * at.lift)
        for place, channel in enumerate(self._free):
            mine = terms.channel == channel
            by_entry[mine] += self.problem.free_sd[channel] * found.row_common[terms.test[mine], place]
        return by_entry
