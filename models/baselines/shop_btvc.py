"""BTVC: a marketing mix model whose coefficients vary in time by kernel smoothing of knots (Ng, Wang & Dai 2021).

    ln y^t = l^t + season^t + sum_c a_c c^t + sum_p b_p^t ln(1 + adstock(x_p)^t),   l^t = K b_lev,  b_p^t = K b_p

with Gaussian kernels K over knots. Level knots are a random walk's, coefficient knots scatter about a coefficient of
their own; both are Gaussian, so that the posterior of a shop is a penalised regression, solved at every origin. The
paper's log-normal positive priors and its sampler are not here. Channels that nobody plans go on in the forecast as in
the same place of their last season.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.errors import PanelError
from models.shops.forecast import Forecast, check_future, planned_columns
from models.shops.panel import ShopPanel
from models.shops.scaling import ShopScaler, with_season

TRUSTED = 1e-2  # penalty of level, season and context coefficients, in noise variances


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopBTVC:
    """knot_periods: distance of knots. bandwidth: of the kernel, in knots. decay: of the adstock, a period.

    channel_penalty: of a channel's mean coefficient. knot_penalty: of its knots about it. level_penalty: of steps
    between level knots. outcome_scale: log (the paper's) or standard. season: its length.
    """

    knot_periods: int = 28
    bandwidth: float = 1.0
    decay: float = 0.5
    channel_penalty: float = 10.0
    knot_penalty: float = 100.0
    level_penalty: float = 10.0
    outcome_scale: str = "log"
    season: int = 7
    draws_count: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.knot_periods < 2 or self.season < 1 or not 0 <= self.decay < 1:
            raise ValueError(
                f"knot_periods is {self.knot_periods}, season {self.season}, decay {self.decay}; knots lie 2 or more "
                "periods apart, a season has 1 or more, and an adstock decays by a factor in [0, 1)."
            )
        for name in ("bandwidth", "channel_penalty", "knot_penalty", "level_penalty"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0.")

    def fit(self, panel: ShopPanel) -> ShopBTVC:
        """Nothing is kept: the regression is solved on the history that a forecast is given."""
        return self

    def forecast(
        self, history: ShopPanel, periods: int, context_future: np.ndarray, planned_future: np.ndarray
    ) -> Forecast:
        """The outcome alone. Raises PanelError where the history is shorter than two knots or a season."""
        check_future(history, periods, context_future, planned_future)
        if history.periods_count < max(2 * self.knot_periods, self.season):
            raise PanelError(
                f"the history has {history.periods_count} periods; knots {self.knot_periods} apart need "
                f"{2 * self.knot_periods}. Give a longer history or closer knots."
            )
        scaler = ShopScaler.learn(history, "log", self.outcome_scale)
        y, planned, known = history.outcome_index, planned_columns(history), history.periods_count
        values = np.concatenate([history.values, self._continued(history.values, periods)], axis=1)
        values[:, known:, planned] = planned_future
        scaled = scaler.scaled(values)
        inputs = _adstock(np.delete(scaled, y, axis=2), self.decay)
        context = with_season(
            scaler.scaled_context(np.concatenate([history.context, context_future], 1)), self.season, 0
        )
        design, penalty = self._design(inputs, context, known)
        draws = self._draws(design, penalty, scaled[:, :known, y], known)
        everything = np.zeros((*draws.shape, history.nodes_count))
        everything[..., y] = draws
        return Forecast.of_draws(scaler.restored(everything)[..., [y]], (history.outcome_id,), "btvc")

    def _continued(self, values: np.ndarray, periods: int) -> np.ndarray:
        return values[:, -self.season :][:, np.arange(periods) % self.season]

    def _design(self, inputs: np.ndarray, context: np.ndarray, known: int) -> tuple[np.ndarray, np.ndarray]:
        """Design (N, T + M, P) and penalty matrix (P, P)."""
        shops, total, channels = inputs.shape
        knots = np.arange(0, known + self.knot_periods, self.knot_periods)
        knots = knots - (knots[-1] - known)  # the last knot lies at the origin
        distance = (np.minimum(np.arange(total), known)[:, None] - knots) / (
            self.bandwidth * self.knot_periods
        )
        kernel = np.exp(-0.5 * distance**2)
        kernel /= kernel.sum(1, keepdims=True)
        level = np.broadcast_to(kernel, (shops, *kernel.shape))
        varying = (inputs[..., None] * kernel[:, None]).reshape(shops, total, -1)
        step = np.diff(np.eye(len(knots)), axis=0)
        blocks = [
            self.level_penalty * step.T @ step + TRUSTED * np.eye(len(knots)),
            TRUSTED * np.eye(context.shape[2]),
            self.channel_penalty * np.eye(channels),
            self.knot_penalty * np.eye(varying.shape[2]),
        ]
        size = sum(map(len, blocks))
        penalty, place = np.zeros((size, size)), 0
        for block in blocks:
            penalty[place : place + len(block), place : place + len(block)] = block
            place += len(block)
        return np.concatenate([level, context, inputs, varying], axis=2), penalty

    def _draws(self, design: np.ndarray, penalty: np.ndarray, outcome: np.ndarray, known: int) -> np.ndarray:
        """(N, S, M) scaled draws of the future: posterior of the coefficients and noise."""
        rng = np.random.default_rng(self.seed)
        half = (self.draws_count + 1) // 2
        out = []
        for past, future, series in zip(design[:, :known], design[:, known:], outcome, strict=True):
            precision = past.T @ past + penalty
            root = np.linalg.cholesky(precision)
            coefficient = np.linalg.solve(precision, past.T @ series)
            spread = np.linalg.solve(root, future.T)  # (P, M)
            freedom = max(known - float((np.linalg.solve(root, past.T) ** 2).sum()), 1.0)
            noise_sd = np.sqrt(((series - past @ coefficient) ** 2).sum() / freedom)
            error = rng.normal(size=(half, len(root))) @ spread + rng.normal(size=(half, len(future)))
            out.append(future @ coefficient + noise_sd * np.concatenate([error, -error]))
        return np.clip(np.stack(out), -8.0, 8.0)


def _adstock(inputs: np.ndarray, decay: float) -> np.ndarray:
    """Normalised geometric adstock along periods, from the period before on: same-period values do not enter."""
    out, carried = np.empty_like(inputs), inputs[:, 0]
    for period in range(inputs.shape[1]):
        out[:, period] = carried
        carried = decay * carried + (1 - decay) * inputs[:, period]
    return out
