"""The posterior of the variances alone: consumer, market and fixed effects integrated out exactly.

Because row columns are centred within consumers (problem.centred_gram) and a consumer's intercept is independent of
its slopes, the rows' mean direction and the rest are two independent regressions given the variances:

    mean direction   sqrt(T) ybar_i ~ N(sqrt(T) (f_i' omega_0 + m_j0), s2 + T sa^2), grouped by (market, stratum, T)
    within           yc_i ~ N(Dc_i (d + M_i omega) + Rc_i m_j, s2 I + Xc S Xc'), T - 1 dimensions

Both are linear and Gaussian in fixed and market effects, which are integrated by Schur complements of sums over
consumers (studies/hbmmm.md, section 2). The mean direction costs nothing per consumer; within costs one pass
(collapsed_kernel.py), its gradient another. Parameters: [log noise sd per stratum, signed consumer sd (k), correlation
values, signed market sd (r)], the leading entries of the full parameter vector.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from models.hbmmm import correlation
from models.hbmmm.collapsed_kernel import gradient_pass_of, slope_pass_of, work_arrays
from models.hbmmm.collapsed_problem import CollapsedProblem
from models.hbmmm.effects_integral import integral_adjoints, integrate_effects


class CollapsedPosterior:
    """Log posterior density of the variances and exact draws of the fixed coefficients given them.

    One object per thread: it holds work arrays. Priors as in problem.prior_table and correlation.log_prior.
    """

    def __init__(self, problem: CollapsedProblem, prior_sd: np.ndarray, concentration: float) -> None:
        """prior_sd: of the whole parameter vector, as in problem.prior_table."""
        self.problem = problem
        s, k, c = len(problem.strata), problem.slopes_count + 1, problem.correlations_count
        self.prior_sd = np.concatenate([prior_sd[: s + k], prior_sd[s + k + c : problem.dimension]])
        self.fixed_sd = prior_sd[problem.dimension :][problem.fixed_order]
        self.concentration = concentration
        d, m = problem.outcome.shape[1], problem.slopes_count
        count = problem.features.shape[1]
        pairs, products = d * (d + 1) // 2, count * (count + 1) // 2
        self._work = work_arrays(m, d, count)
        self._pass, self._gradient_pass = slope_pass_of(m), gradient_pass_of(m, d)
        pair, product = _triangle(d), _triangle(count)
        column, feature, markets = problem.column, problem.feature, problem.market_columns
        places = {
            "information": (pair[np.ix_(column, column)], product[np.ix_(feature, feature)]),
            "score": (pairs + column, product[0, feature]),
            "market_information": (
                pair[np.ix_(markets, markets)],
                np.zeros((len(markets),) * 2, dtype=np.int64),
            ),
            "market_cross": (
                pair[np.ix_(markets, column)],
                np.broadcast_to(product[0, feature], (len(markets), len(column))),
            ),
            "market_score": (pairs + markets, np.zeros(len(markets), dtype=np.int64)),
        }
        codes = {name: entry * products + number for name, (entry, number) in places.items()}
        wanted = np.unique(np.concatenate([code.ravel() for code in codes.values()]))
        self._at = {name: np.searchsorted(wanted, code) for name, code in codes.items()}
        self._entry, self._product = wanted // products, wanted % products
        edges = np.flatnonzero(np.diff(self._entry, prepend=-1, append=-1))
        self._runs = np.column_stack([edges[:-1], edges[1:]])
        self._pairs = pair
        self._sums = np.empty((problem.markets_count, len(wanted)))

    def evaluate(self, parameters: np.ndarray, rng: np.random.Generator | None = None) -> tuple:
        """(log density, a draw of the fixed coefficients in their full order; their mean where rng is None)."""
        p = self.problem
        log_noise, scales, z, market = self._split(parameters)
        value = self._log_prior(parameters)[0]
        inverse = np.exp(-2.0 * log_noise)
        split = p.mean.outcome.shape[1]
        first, mean0, root0 = self._mean_direction(inverse, scales[0], market[:1], self.fixed_sd[:split])
        second, mean1, root1 = self._within(log_noise, inverse, scales[1:], z, market[1:], split)
        fixed = np.empty(len(self.fixed_sd))
        parts = []
        for mean, root in ((mean0, root0), (mean1, root1)):
            noise = 0.0
            if rng is not None:
                noise = linalg.solve_triangular(root, rng.standard_normal(len(mean)), lower=True, trans="T")
            parts.append(mean + noise)
        fixed[p.fixed_order] = np.concatenate(parts)
        return float(value + first + second), fixed

    def value_and_gradient(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and its gradient (dimension,); (-inf, zeros) where a matrix has no Cholesky factor."""
        p = self.problem
        log_noise, scales, z, market = self._split(parameters)
        if (
            not np.isfinite(parameters).all()
            or np.abs(log_noise).max() > 50
            or np.abs(parameters).max() > 1e8
        ):
            return -np.inf, np.zeros(len(parameters))  # a leapfrog step that left every scale of the problem
        value, gradient = self._log_prior(parameters)
        inverse = np.exp(-2.0 * log_noise)
        split = p.mean.outcome.shape[1]
        try:
            first, mean0, root0 = self._mean_direction(inverse, scales[0], market[:1], self.fixed_sd[:split])
            second, mean1, root1 = self._within(log_noise, inverse, scales[1:], z, market[1:], split)
        except (np.linalg.LinAlgError, linalg.LinAlgError):
            return -np.inf, np.zeros(len(parameters))
        s, k, c = len(p.strata), p.slopes_count + 1, p.correlations_count
        noise0, scale0, market0 = self._mean_direction_gradient(inverse, scales[0], market[:1], mean0, root0)
        noise1, scales1, z1, market1 = self._within_gradient(inverse, scales[1:], z, market[1:], mean1, root1)
        gradient[:s] += noise0 + noise1
        gradient[s] += scale0
        gradient[s + 1 : s + k] += scales1
        gradient[s + k : s + k + c] += z1
        if p.market_scales_count:
            gradient[s + k + c :] += np.concatenate([market0, market1])
        return float(value + first + second), gradient

    def _split(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """log noise sd (strata,), consumer sd (k,), correlation values, market sd (r,): zeros without that level."""
        p = self.problem
        s, k, c = len(p.strata), p.slopes_count + 1, p.correlations_count
        market = parameters[s + k + c :]
        if not len(market):
            market = np.zeros(1 + len(p.market_columns))
        return parameters[:s], parameters[s : s + k], parameters[s + k : s + k + c], market

    def _log_prior(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        p = self.problem
        first = len(p.strata) + p.slopes_count + 1
        between = slice(first, first + p.correlations_count)
        is_other = np.ones(len(parameters), dtype=bool)
        is_other[between] = False
        others = parameters[is_other] / self.prior_sd
        value = (
            -0.5 * np.sum(others**2) - np.sum(np.log(self.prior_sd)) - 0.5 * len(others) * np.log(2 * np.pi)
        )
        gradient = np.empty(len(parameters))
        gradient[is_other] = -others / self.prior_sd
        if p.correlations_count:
            of_z, gradient[between] = correlation.log_prior(
                parameters[between], p.slopes_count, self.concentration
            )
            value += of_z
        return value, gradient

    def _mean_direction(
        self, inverse: np.ndarray, scale: float, market_scale: np.ndarray, prior_sd: np.ndarray
    ) -> tuple:
        g = self.problem.mean
        variance = 1.0 / inverse[g.stratum] + g.rows * scale**2
        weight = g.rows / variance
        value = -0.5 * np.sum(g.count * np.log(2 * np.pi * variance)) - 0.5 * np.sum(weight * g.square)
        information = np.tensordot(weight, g.cross, axes=1)
        integral, mean, root = integrate_effects(
            information, weight @ g.outcome, *self._mean_by_market(weight), market_scale, prior_sd
        )
        return value + integral, mean, root

    def _mean_by_market(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Information (J, 1, 1), cross (J, 1, p0) and score (J, 1) of the markets' intercepts."""
        g, markets = self.problem.mean, self.problem.markets_count
        cross = np.zeros((markets, 1, g.outcome.shape[1]))
        np.add.at(cross[:, 0], g.market, weight[:, None] * g.cross[:, 0])
        info = np.bincount(g.market, weights=weight * g.count, minlength=markets)[:, None, None]
        return (
            info,
            cross,
            np.bincount(g.market, weights=weight * g.outcome[:, 0], minlength=markets)[:, None],
        )

    def _mean_direction_gradient(
        self, inverse: np.ndarray, scale: float, market_scale: np.ndarray, mean: np.ndarray, root: np.ndarray
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Gradients in log noise sd (strata,), the intercept's sd and the markets' (1,)."""
        g = self.problem.mean
        variance = 1.0 / inverse[g.stratum] + g.rows * scale**2
        weight = g.rows / variance
        adjoint = integral_adjoints(*self._mean_by_market(weight), market_scale, mean, root)
        along = np.einsum("ab,gab->g", adjoint.information, g.cross) + g.outcome @ adjoint.score
        along += np.einsum("gp,gp->g", adjoint.market_cross[g.market, 0], g.cross[:, 0])
        along += adjoint.market_information[g.market, 0, 0] * g.count
        along += adjoint.market_score[g.market, 0] * g.outcome[:, 0] - 0.5 * g.square
        of_variance = -0.5 * g.count / variance - weight / variance * along
        noise = np.bincount(g.stratum, weights=2.0 * of_variance, minlength=len(inverse)) / inverse
        return noise, 2.0 * scale * float(of_variance @ g.rows), adjoint.market_scale

    def _within(
        self,
        log_noise: np.ndarray,
        inverse: np.ndarray,
        scales: np.ndarray,
        z: np.ndarray,
        market_scale: np.ndarray,
        split: int,
    ) -> tuple:
        p = self.problem
        factor = self._factor(scales, z)
        sums, at = self._sums, self._at
        log_det, quadratic = self._pass(
            p.gram, p.outcome, p.stratum, p.block_market, p.features, self._pairs, p.slope_columns, self._entry,
            self._product, self._runs, inverse, factor, *self._work, sums,
        )  # fmt: skip
        value = -0.5 * (log_det + p.within_square @ inverse - quadratic)
        value -= p.within_rows @ (log_noise + 0.5 * np.log(2 * np.pi))
        total = sums.sum(axis=0)
        integral, mean, root = integrate_effects(
            total[at["information"]],
            total[at["score"]],
            sums[:, at["market_information"]],
            sums[:, at["market_cross"]],
            sums[:, at["market_score"]],
            market_scale,
            self.fixed_sd[split:],
        )
        return value + integral, mean, root

    def _within_gradient(
        self,
        inverse: np.ndarray,
        scales: np.ndarray,
        z: np.ndarray,
        market_scale: np.ndarray,
        mean: np.ndarray,
        root: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Gradients in log noise sd, slopes' sds, correlation values and markets' sds, after _within there."""
        p, sums, at = self.problem, self._sums, self._at
        found = integral_adjoints(
            sums[:, at["market_information"]], sums[:, at["market_cross"]], sums[:, at["market_score"]],
            market_scale, mean, root,
        )  # fmt: skip
        adjoint = np.zeros_like(sums)
        for name in at:
            value = getattr(found, name)
            if value.ndim == at[name].ndim:  # of the sum over markets
                value = np.broadcast_to(value, (len(sums), *value.shape))
            np.add.at(adjoint, (slice(None), at[name]), value)
        factor = self._factor(scales, z)
        of_covariance, noise = np.zeros_like(factor), np.zeros(len(inverse))
        self._gradient_pass(
            p.gram, p.outcome, p.stratum, p.block_market, p.features, self._pairs, p.slope_columns, self._entry,
            self._product, self._runs, inverse, factor, *self._work, adjoint, of_covariance, noise,
        )  # fmt: skip
        noise += p.within_square * inverse - p.within_rows
        along = np.tril(2.0 * of_covariance @ factor)
        if not len(z):
            return noise, np.diag(along).copy(), z.copy(), found.market_scale
        inner = correlation.cholesky_factor(z, p.slopes_count)
        of_z = correlation.cholesky_gradient(z, inner, along * scales[:, None])
        return noise, (along * inner).sum(axis=1), of_z, found.market_scale

    def _factor(self, scales: np.ndarray, z: np.ndarray) -> np.ndarray:
        """L (m, m), lower: L L' is the covariance of the consumers' slopes."""
        if not len(z):
            return np.diag(scales)
        return np.ascontiguousarray(
            scales[:, None] * correlation.cholesky_factor(z, self.problem.slopes_count)
        )


def _triangle(size: int) -> np.ndarray:
    """Index of each pair in a packed upper triangle, (size, size)."""
    out = np.zeros((size, size), dtype=np.int64)
    upper = np.triu_indices(size)
    out[upper] = np.arange(len(upper[0]))
    return np.maximum(out, out.T)
