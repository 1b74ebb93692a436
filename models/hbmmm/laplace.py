"""Mode and curvature of the posterior: where the chains start, and the metric NUTS moves in.

The covariance at the mode serves as NUTS's (fixed) inverse mass matrix, which is the same as whitening the
parameters. Only the step size is tuned, so warm-up is short and trees stay shallow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from models.errors import ConvergenceError
from models.hbmmm import kernel
from models.hbmmm.problem import Problem, run_forward

Gradient = Callable[[np.ndarray], tuple[float, np.ndarray]]
#: L-BFGS starts at most so often.
SEARCHES = 3
#: A search goes on as long as steps gain more log density than this. L-BFGS-B asks for a share of the density, which of
#: many rows would be a lot: by its default, fits of Complete Journey ended 0.05 below their mode.
STEP_LEAST = 1e-5
#: Where the mode of a standard deviation is zero, it is put here.
SD_LEAST = 1e-2
#: Log density that one more Newton step may still promise where a search has ended.
GAIN_MOST = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Laplace:
    """mode (d,), covariance (d,d) of the normal approximation there."""

    mode: np.ndarray
    covariance: np.ndarray


def find_mode(
    problem: Problem, prior_sd: np.ndarray, density: Gradient, start: np.ndarray | None = None
) -> Laplace:
    """L-BFGS in coordinates whitened by the fixed effects' exact curvature.

    start (d,): the mode of data much alike; None starts from moment estimates. Raises ConvergenceError where the
    density found is not finite, and where a Newton step from where the search ended promises more than GAIN_MOST.
    """
    x = search_mode(problem, prior_sd, density, start)
    n_variance = len(x) - problem.constant_outcome.shape[1]
    covariance = _covariance(problem, x, prior_sd, density, n_variance)
    gradient = density(x)[1]
    for part in (problem.layout.consumer, problem.layout.market):
        gradient[part][x[part] <= SD_LEAST * prior_sd[part]] = 0.0  # kept from zero, where its mode is
    gain = 0.5 * float(gradient @ covariance @ gradient)
    if not gain <= GAIN_MOST:
        worst = problem.parameter_names[int(np.argmax(np.abs(gradient) * np.sqrt(np.diag(covariance))))]
        raise ConvergenceError(
            f"the posterior mode was not found in {SEARCHES} searches: one more step promises {gain:.3g} of log "
            f"density (at most {GAIN_MOST:g} is allowed), most of all along {worst}. Look for characteristics or "
            "covariates that say the same, for channels with a handful of exposures, and for amounts of absurd size; "
            "leave them out or pool them."
        )
    return Laplace(x, covariance)


def search_mode(
    problem: Problem, prior_sd: np.ndarray, density: Gradient, start: np.ndarray | None = None
) -> np.ndarray:
    """The mode alone (d,), as find_mode has it."""
    x = moment_start(problem, prior_sd) if start is None else start.copy()
    d = len(x)
    n_variance = d - problem.constant_outcome.shape[1]
    # whitened afresh each time, as the curvature of the fixed effects depends on the variances
    for _ in range(SEARCHES):
        precision, right = fixed_precision(problem, x, prior_sd)
        root = linalg.cholesky(precision, lower=True)
        x[n_variance:] = linalg.cho_solve((root, True), right)
        centre, spread = x.copy(), np.minimum(0.1, prior_sd[:n_variance])
        ftol = STEP_LEAST / max(1.0, abs(density(x)[0]))

        def to_parameters(u: np.ndarray, centre=centre, spread=spread, root=root) -> np.ndarray:
            moved = centre.copy()
            moved[:n_variance] += spread * u[:n_variance]
            moved[n_variance:] += linalg.solve_triangular(root, u[n_variance:], lower=True, trans="T")
            return moved

        def objective(u: np.ndarray, spread=spread, root=root, to_parameters=to_parameters):
            value, gradient = density(to_parameters(u))
            inner = linalg.solve_triangular(root, gradient[n_variance:], lower=True)
            return -value, -np.concatenate([spread * gradient[:n_variance], inner])

        found = optimize.minimize(
            objective,
            np.zeros(d),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 300, "maxcor": 30, "gtol": 1e-3, "ftol": ftol},
        )
        x = to_parameters(found.x)
        if found.nit < 40:
            break
    if not np.isfinite(found.fun):
        raise ConvergenceError(
            "the posterior mode was not found: its density is not finite. Look for columns that repeat each other "
            "or for amounts of absurd size in the panel."
        )
    x = problem.positive(x)
    for part in (problem.layout.consumer, problem.layout.market):
        x[part] = np.maximum(x[part], SD_LEAST * prior_sd[part])
    return x


def fixed_precision(
    problem: Problem, parameters: np.ndarray, prior_sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Exact posterior precision (p,p) of the fixed coefficients given the variances, and precision times mean (p,).

    sum_i F_i' K^-1 F_i + prior, with consumer and market effects integrated out.
    """
    p = problem.constant_outcome.shape[1]
    inverse = np.exp(-2.0 * parameters[: len(problem.strata)])
    precision = np.tensordot(inverse, problem.constant_cross, axes=1)
    right = inverse @ problem.constant_outcome
    precision[np.diag_indices(p)] += 1.0 / prior_sd[-p:] ** 2
    market_cross = np.zeros((problem.markets_count, problem.market_count, p))
    for part in consumer_parts(problem, parameters):
        precision -= part.solved.reshape(-1, p).T @ part.solved.reshape(-1, p)
        right -= np.einsum("ikp,ik->p", part.solved, part.solved_outcome)
        np.add.at(market_cross, part.market, part.market_cross)
    w = problem.work
    market_right = market_scores(problem)
    scale = problem.split(parameters)[2]
    zero = np.zeros_like(scale)
    kernel.solve_markets(
        w["information"], w["score"], problem.market, scale, w["market_mean"], w["market_half"], zero
    )
    rotated = np.einsum("jrc,jrp->jcp", w["market_half"], market_cross)
    precision -= rotated.reshape(-1, p).T @ rotated.reshape(-1, p)
    right -= np.einsum("jrc,jr,jcp->p", w["market_half"], market_right, rotated)
    return (precision + precision.T) / 2.0, right


@dataclass(frozen=True, slots=True, eq=False)
class ConsumerPart:
    """Some consumers (n,): their numbers, markets, and with V = s2 I + X S X' (kernel.py's notation, K = chol C):

    solved (n,k,p) = K^-1 L'X'F / s2, solved_outcome (n,k) = K^-1 L'X'y / s2 (scaled so that F'V^-1 F =
    F'F / s2 - solved'solved), market_cross (n,r,p) = R'V^-1 F, row_cross (n,r,p) = R'F.
    """

    consumers: np.ndarray
    market: np.ndarray
    solved: np.ndarray
    solved_outcome: np.ndarray
    market_cross: np.ndarray
    row_cross: np.ndarray


def consumer_parts(problem: Problem, parameters: np.ndarray, blocks_count: int = 16):
    """Iterate over groups of blocks, yielding ConsumerPart; work arrays hold the pass at fixed effects zero."""
    log_noise, factor, _, fixed = problem.split(parameters)
    w = run_forward(problem, log_noise, factor, np.zeros_like(fixed))
    owners = np.array([c for c, _ in problem.design.moderators], dtype=np.int64)
    k = problem.slopes_count
    for start in range(0, len(problem.lanes), blocks_count):
        part = slice(start, start + blocks_count)
        keep = problem.lanes[part].ravel() >= 0

        def by_consumer(array: np.ndarray, part=part, keep=keep) -> np.ndarray:
            moved = np.moveaxis(array[part], -1, 1)
            return moved.reshape(-1, *moved.shape[2:])[keep]

        gram = by_consumer(problem.gram)  # (n, pD, r)
        features = by_consumer(problem.features)
        row_cross = np.concatenate([gram, gram[:, owners] * features[:, :, None]], axis=1).transpose(0, 2, 1)
        chol, cross = np.tril(by_consumer(w["chol"])), by_consumer(w["cross"])
        inverse_s2 = by_consumer(w["inverse_s2"])[:, None, None]
        inner = np.einsum("ij,nip->njp", factor, row_cross[:, :k])
        solved = np.linalg.solve(chol, inner) * inverse_s2
        outcome = by_consumer(w["weighted"]) * inverse_s2[:, 0]
        market_cross = (row_cross - cross.transpose(0, 2, 1) @ solved) * inverse_s2
        yield ConsumerPart(
            problem.lanes[part].ravel()[keep],
            problem.market[part].ravel()[keep],
            solved,
            outcome,
            market_cross,
            row_cross,
        )


def market_scores(problem: Problem) -> np.ndarray:
    """Sums of h = R'V^-1 r by market from the last forward pass, (J,r)."""
    out = np.zeros((problem.markets_count, problem.market_count))
    score = np.moveaxis(problem.work["score"], -1, 1)
    keep = problem.market >= 0
    np.add.at(out, problem.market[keep], score[keep])
    return out


def moment_start(problem: Problem, prior_sd: np.ndarray) -> np.ndarray:
    """Noise from residuals of a pooled regression, standard deviations at a fraction of their prior scale."""
    p = problem.constant_outcome.shape[1]
    cross = problem.constant_cross.sum(axis=0) + np.diag(1.0 / prior_sd[-p:] ** 2)
    pooled = linalg.solve(cross, problem.constant_outcome.sum(axis=0), assume_a="pos")
    squares = (
        problem.constant_square
        - 2.0 * problem.constant_outcome @ pooled
        + (problem.constant_cross @ pooled) @ pooled
    )
    log_noise = 0.5 * np.log(np.maximum(squares, 1e-6) / np.maximum(problem.stratum_rows, 1.0)) - 0.2
    start = np.concatenate([log_noise, 0.3 * prior_sd[len(log_noise) : len(prior_sd) - p], pooled])
    start[problem.layout.correlation] = 0.0
    return start


def _covariance(
    problem: Problem, mode: np.ndarray, prior_sd: np.ndarray, density: Gradient, n_variance: int
) -> np.ndarray:
    """Inverse Hessian: the fixed block exactly, the rows of the variances by differences of the gradient."""
    d = len(mode)
    hessian = np.zeros((d, d))
    hessian[n_variance:, n_variance:] = fixed_precision(problem, mode, prior_sd)[0]
    for a in range(n_variance):
        step = 1e-4 * max(1.0, abs(mode[a]))
        up, down = mode.copy(), mode.copy()
        up[a] += step
        down[a] -= step
        column = -(density(up)[1] - density(down)[1]) / (2.0 * step)
        hessian[a, :] = column
        hessian[n_variance:, a] = column[n_variance:]
    block = hessian[:n_variance, :n_variance]
    hessian[:n_variance, :n_variance] = (block + block.T) / 2.0
    inner = linalg.cho_factor(hessian[n_variance:, n_variance:], lower=True)
    coupling = linalg.cho_solve(inner, hessian[n_variance:, :n_variance])
    schur = hessian[:n_variance, :n_variance] - hessian[:n_variance, n_variance:] @ coupling
    # A signed standard deviation whose mode is within three widths of zero has no useful curvature there (its
    # density may even have a dip at zero): it gets its second moment along the line through the mode, uncoupled.
    near_zero = [
        a
        for part in (problem.layout.consumer, problem.layout.market)
        for a in range(part.start, part.stop)
        if schur[a, a] <= 0 or mode[a] * np.sqrt(schur[a, a]) < 3.0
    ]
    for a in near_zero:
        schur[a, :] = schur[:, a] = 0.0
        schur[a, a] = 1.0 / _second_moment(mode, a, prior_sd[a], density)
        coupling[:, a] = 0.0
    scale = 1.0 / np.sqrt(np.maximum(np.diag(schur), prior_sd[:n_variance] ** -2.0))
    values, vectors = linalg.eigh(schur * scale[:, None] * scale[None, :])
    root = vectors / np.sqrt(np.maximum(values, 0.05)) * scale[:, None]
    top = root @ root.T
    covariance = np.empty((d, d))
    covariance[:n_variance, :n_variance] = top
    covariance[n_variance:, :n_variance] = -coupling @ top
    covariance[:n_variance, n_variance:] = covariance[n_variance:, :n_variance].T
    covariance[n_variance:, n_variance:] = (
        linalg.cho_solve(inner, np.eye(d - n_variance)) + coupling @ top @ coupling.T
    )
    return (covariance + covariance.T) / 2.0


def _second_moment(mode: np.ndarray, a: int, upper: float, density: Gradient) -> float:
    """E[u^2] of signed parameter a on the line through the mode; its density is symmetric about zero there."""

    def height(u: float) -> float:
        moved = mode.copy()
        moved[a] = u
        return density(moved)[0]

    top = max(height(0.0), height(mode[a]))
    end = 3.0 * upper
    while height(end) < top - 12.0 and end > 1e-4 * upper:
        end /= 1.6
    grid = np.linspace(0.0, 1.6 * end, 17)
    log_density = np.array([height(u) for u in grid])
    weight = np.exp(log_density - log_density.max())
    return float(max((weight * grid**2).sum() / weight.sum(), (1e-4 * upper) ** 2))
