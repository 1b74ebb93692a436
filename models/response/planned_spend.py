"""What a plan's spend brings, draw by draw, with exact derivatives: the response model as a budget sees it.

    KPI_kjc = sum over the plan's periods and those after it: coefficient_kjc f_c(adstock_k of before, plan, after)

Curves and kernels are those of the fit (curve_slopes.CURVES, carryover_kernels.KERNELS), here over all draws of one
plan at once, where channel_curves.py has one draw and derivatives by parameters. Money becomes exposures at the unit
cost that each market paid on average. Adstock is linear, so that its reverse is the transposed product.

What the plan leaves behind counts: max_lag periods after its end, under spend that goes on as planned on average
("continued", the default), under none ("nothing"), or not at all ("uncounted").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.errors import PanelError
from models.plans.spend_plan import SpendPlan, positions
from models.response.contributions import coefficients
from models.response.curve_slopes import CURVES
from models.response.fit import ResponseFit
from models.response.market_panel import MarketPanel
from models.response.scaling import Scaling
from models.response.scenarios import Scenario, require_following
from models.transforms.carryover_kernels import KERNELS

After = Literal["continued", "nothing", "uncounted"]
AFTER = ("continued", "nothing", "uncounted")
CELLS = 2_000_000  # of arrays that exist at a time
FLOOR = (
    1e-4  # adstock, in mean exposures, below which slopes are those there: at 0 they are infinite, or unknown
)


@dataclass(frozen=True, slots=True, eq=False)
class PlannedResponse:
    """K draws; L max_lag, A periods counted after the plan's H. Implements models.budget's SpendResponse.

    saturation : name of the curve; weights (K, C, L + 1) of the kernels, parameters (K, C, P) of the curves
    coefficients (K, C, J) : KPI per unit of f; unit_cost (J, C) : money per exposure in the curves' unit
    before (C, J, L), after (C, J, A) : exposures that are not decided on
    """

    plan: SpendPlan
    saturation: str
    weights: np.ndarray
    parameters: np.ndarray
    coefficients: np.ndarray
    unit_cost: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def is_concave(self) -> bool:
        """Hill curves bend both ways where a slope is above 1; a negative effect turns a curve round."""
        bends = self.saturation == "hill" and bool((self.parameters[..., 1] > 1.0).any())
        return not bends and bool((self.coefficients >= 0).all())

    def totals(self, spend: np.ndarray, draws: np.ndarray | None = None) -> np.ndarray:
        """KPI (k, J, C) over the plan's and the counted later periods, of some draws (all by default)."""
        lagged = self._lagged(spend)
        chosen = np.arange(len(self)) if draws is None else draws
        found = [
            np.einsum("cnjt,ncj->njc", self._curves(lagged, k)[0], self.coefficients[k])
            for k in self._chunks(chosen)
        ]
        return np.concatenate(found)

    def weighted(self, spend: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum over draws times weights (K,): KPI (J, C), and its derivative by spend (J, H, C)."""
        lagged = self._lagged(spend)
        channels, markets, lags = *self.before.shape[:2], self.weights.shape[2]
        value = np.zeros((markets, channels))
        by_lag = np.zeros((channels, lags, markets, self._counted))
        for k in self._chunks(np.flatnonzero(weights)):
            f, slope = self._curves(lagged, k)
            steep = (self.coefficients[k] * weights[k, None, None]).transpose(1, 0, 2)[..., None]
            value += np.einsum("cnjt,cnj->jc", f, steep[..., 0])
            by_adstock = (slope * steep).reshape(channels, len(k), -1)
            by_lag += np.matmul(self.weights[k].transpose(1, 2, 0), by_adstock).reshape(by_lag.shape)
        periods = len(self.plan.period_starts)
        by_exposure = np.zeros((channels, markets, periods))
        for lag in range(lags):
            reached = min(periods, self._counted - lag)
            if reached > 0:
                by_exposure[..., :reached] += by_lag[:, lag, :, lag : lag + reached]
        return value, by_exposure.transpose(1, 2, 0) / self.unit_cost[:, None, :]

    def slopes_along(self, spend: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """(K, J, C): derivative of KPI at spend + h direction by h at 0; direction (J, H, C), money."""
        lagged, moved = self._lagged(spend), self._lagged(direction, alone=True)
        found = []
        for k in self._chunks(np.arange(len(self))):
            slope = self._curves(lagged, k)[1] * self._adstock(moved, k)
            found.append(np.einsum("cnjt,ncj->njc", slope, self.coefficients[k]))
        return np.concatenate(found)

    @property
    def _counted(self) -> int:
        return len(self.plan.period_starts) + self.after.shape[2]

    def _chunks(self, draws: np.ndarray) -> Iterator[np.ndarray]:
        size = max(1, CELLS // (self.before.shape[0] * self.before.shape[1] * self._counted))
        for start in range(0, len(draws), size):
            yield draws[start : start + size]

    def _lagged(self, spend: np.ndarray, alone: bool = False) -> np.ndarray:
        """(C, L + 1, J x counted): exposures of so many periods earlier; alone: as if nothing came before or after."""
        shown = (spend / self.unit_cost[:, None, :]).transpose(2, 0, 1)
        ends = (0.0 * self.before, 0.0 * self.after) if alone else (self.before, self.after)
        joined = np.concatenate([ends[0], shown, ends[1]], axis=2)
        windows = np.lib.stride_tricks.sliding_window_view(joined, self._counted, axis=2)[:, :, ::-1]
        return windows.transpose(0, 2, 1, 3).reshape(*windows.shape[::2], -1)

    def _adstock(self, lagged: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """(C, k, J, counted)."""
        found = np.matmul(self.weights[draws].transpose(1, 0, 2), lagged)
        return found.reshape(*found.shape[:2], -1, self._counted)

    def _curves(self, lagged: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f and df/dadstock, (C, k, J, counted)."""
        parameters = [p.T[:, :, None, None] for p in np.moveaxis(self.parameters[draws], -1, 0)]
        adstock = self._adstock(lagged, draws)
        f, slope, _ = CURVES[self.saturation](adstock, *parameters)
        is_dark = adstock < FLOOR
        if is_dark.any():
            first = CURVES[self.saturation](np.full((*adstock.shape[:2], 1, 1), FLOOR), *parameters)[1]
            slope = np.where(is_dark, first, slope)
        return f, slope


def plan_response(fit: ResponseFit, plan: SpendPlan, after: After = "continued") -> PlannedResponse:
    """The fit's draws for one plan, of some or all of its markets and channels.

    Raises PanelError where the plan does not follow the panel, names what it lacks, is in another currency, or where
    spend of a channel is unknown: without it money buys no known exposure, and there is no budget.
    """
    if after not in AFTER:
        raise ValueError(f"after is {after!r}; give one of {', '.join(AFTER)}.")
    panel, scaling, config = fit.panel, fit.scaling, fit.config
    require_following(panel, plan.period_starts)
    if plan.currency_code != panel.currency_code:
        raise PanelError(
            f"the plan is in {plan.currency_code}, the panel in {panel.currency_code}; convert it."
        )
    j = positions(plan.market_ids, scaling.market_ids, "market")
    c = positions(plan.channel_ids, scaling.channel_ids, "channel")
    unit_cost = unit_costs(panel, scaling, plan.channel_ids)[j]
    exposures = scaling.exposures(panel.intensity)[np.ix_(c, j)]
    lags = config.max_lag
    before = np.zeros((len(c), len(j), lags))
    seen = min(lags, exposures.shape[2])
    before[..., lags - seen :] = exposures[..., exposures.shape[2] - seen :]
    counted = 0 if after == "uncounted" else lags
    usual = (plan.spend.mean(axis=1) / unit_cost).T if after == "continued" else np.zeros((len(c), len(j)))
    curve = fit.draws.curve[:, c]
    split = len(KERNELS[config.kernel].parameters)
    effects = np.array([coefficients(fit, k)[np.ix_(c, j)] for k in range(len(fit.draws))])
    return PlannedResponse(
        plan=plan,
        saturation=config.saturation,
        weights=KERNELS[config.kernel].weights(*np.moveaxis(curve[..., :split], -1, 0), lags),
        parameters=curve[..., split:],
        coefficients=effects,
        unit_cost=unit_cost,
        before=before,
        after=np.repeat(usual[..., None], counted, axis=2),
    )


def recent_plan(fit: ResponseFit, periods_count: int, channel_ids: Sequence[str] | None = None) -> SpendPlan:
    """The plan that goes on as before: spend of the panel's last periods, once more, in the periods after it.

    channel_ids : None: every channel whose spend is known. Raises PanelError where there is none, where a named one's
    spend is unknown, and for more periods than the panel has.
    """
    panel = fit.panel
    if not 1 <= periods_count <= len(panel.period_starts):
        raise PanelError(
            f"{periods_count} periods are to go on as before and the panel has {len(panel.period_starts)}; plan 1 or "
            "more, at most as many."
        )
    known = tuple(name for name in fit.scaling.channel_ids if panel.has_spend[panel.channel_index(name)])
    if channel_ids is None and not known:
        raise PanelError(
            f"spend is known of none of the channels {', '.join(fit.scaling.channel_ids)}, so that there is no budget. "
            "Give spend_amount in marketing_activities; contributions can be had without it."
        )
    chosen = known if channel_ids is None else tuple(channel_ids)
    spend = [np.nan_to_num(panel.require_spend(name)[:, -periods_count:]) for name in chosen]
    return SpendPlan(
        market_ids=fit.scaling.market_ids,
        channel_ids=chosen,
        period_starts=following_periods(panel, periods_count),
        spend=np.stack(spend, axis=-1),
        currency_code=panel.currency_code,
    )


def following_periods(panel: MarketPanel, count: int) -> np.ndarray:
    """(count,) starts of the periods after the panel's last."""
    step, starts = panel.period, panel.period_starts
    if step == "month":
        months = starts[-1].astype("datetime64[M]") + np.arange(1, count + 1)
        return months.astype("datetime64[D]")
    days = {"day": 1, "week": 7}[step]
    return starts[-1] + days * np.arange(1, count + 1)


def exposure_price(panel: MarketPanel, channel_id: str) -> np.ndarray:
    """(J,) money per unit of intensity, over all recorded activity of a market; where a market never bought any, over
    that of all markets. PanelError where spend of the channel is unknown."""
    spend = np.nan_to_num(panel.require_spend(channel_id)).sum(axis=1)
    shown = panel.intensity[..., panel.channel_index(channel_id)].sum(axis=1)
    price = np.full(len(spend), spend.sum() / shown.sum())
    return np.divide(spend, shown, out=price, where=(spend > 0) & (shown > 0))


def unit_costs(panel: MarketPanel, scaling: Scaling, channel_ids: Sequence[str]) -> np.ndarray:
    """(J, C) money per exposure in the model's unit; errors as exposure_price."""
    c = positions(tuple(channel_ids), scaling.channel_ids, "channel")
    prices = np.stack([exposure_price(panel, name) for name in channel_ids], axis=-1)
    return prices * np.array(scaling.size)[:, None] * np.array(scaling.exposure_mean)[c]


def scenario_of(fit: ResponseFit, plan: SpendPlan, controls: np.ndarray | None = None) -> Scenario:
    """The plan as a scenario for `predict`, which forecasts the KPI itself; the plan must hold all markets in order.

    Channels the plan does not name show nothing. Raises PanelError for other markets.
    """
    if plan.market_ids != fit.scaling.market_ids:
        raise PanelError("a forecast needs the plan of every market, in the fit's order.")
    unit_cost = unit_costs(fit.panel, fit.scaling, plan.channel_ids)
    c = positions(plan.channel_ids, fit.scaling.channel_ids, "channel")
    per_unit = np.array(fit.scaling.size)[:, None, None] * np.array(fit.scaling.exposure_mean)
    intensity = np.zeros((*plan.spend.shape[:2], len(fit.scaling.channel_ids)))
    intensity[..., c] = plan.spend / unit_cost[:, None, :]
    return Scenario(plan.period_starts, intensity * per_unit, controls)
