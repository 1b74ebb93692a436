"""What a challenger foresees of the last periods, beside the seasonal naive forecast and the champion's settings.

All are fitted to the rows before the held-out periods alone; the HBMMM by the normal approximation at the mode with few
draws, as in model_comparison.py, whose first rolling origin this is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models.baselines.seasonal_naive import SeasonalNaive
from models.evaluation.comparison import score_prediction
from models.evaluation.hbmmm_predictor import HBMMMPredictor
from models.evaluation.model_comparison import HELD_OUT_PERIODS, PREDICTION_DRAWS
from models.evaluation.splits import PanelSplit, rolling_origin_splits
from models.panel import ConsumerPanel

if TYPE_CHECKING:
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.fit import HBMMMFit

#: Settings that say how a fit was computed, not which model it is.
_OF_THE_SAMPLER = ("seed", "draws", "tune", "chains", "effect_draws", "inference", "imputations_count")


@dataclass(frozen=True, slots=True)
class HeldOutAccuracy:
    """Of the held-out rows, in units of the outcome: root mean squared errors; share inside the intervals of a level.

    rmse_champion : of the champion's settings; None without a champion, rmse where its model settings are the same
    """

    split: str
    rows_count: int
    rmse: float
    rmse_seasonal_naive: float
    rmse_champion: float | None
    interval_coverage: float
    interval_level: float


def held_out_accuracy(
    fit: HBMMMFit, panel: ConsumerPanel, champion: HBMMMConfig | None = None
) -> HeldOutAccuracy:
    """Hold out the last HELD_OUT_PERIODS of the fit's panel and judge what its settings foresee from the rest.

    champion : settings of the fit that is served. Raises PanelError where the panel is too short to hold out anything,
    ConvergenceError where no mode is found.
    """
    (split,) = rolling_origin_splits(panel, horizon=HELD_OUT_PERIODS[panel.period])
    level = fit.config.interval_level
    ours = _scores(_predictor(fit.config), split, level)
    naive = _scores(SeasonalNaive(), split, level)
    rival = None
    if champion is not None:
        same = _as_model(champion) == _as_model(fit.config)
        rival = ours if same else _scores(_predictor(champion), split, level)
    return HeldOutAccuracy(
        split=split.name,
        rows_count=len(split.test.outcome),
        rmse=ours["rmse"],
        rmse_seasonal_naive=naive["rmse"],
        rmse_champion=None if rival is None else rival["rmse"],
        interval_coverage=ours["interval_coverage"],
        interval_level=level,
    )


def _scores(predictor: HBMMMPredictor | SeasonalNaive, split: PanelSplit, level: float) -> dict[str, float]:
    prediction = predictor.fit(split.train).predict(split.test.without_outcome())
    return score_prediction(split.test.outcome, prediction, level)


def _predictor(config: HBMMMConfig) -> HBMMMPredictor:
    quick = replace(
        config,
        inference="laplace",
        draws=-(-PREDICTION_DRAWS // config.chains),
        effect_draws=PREDICTION_DRAWS,
        imputations_count=min(2, config.imputations_count),
    )
    return HBMMMPredictor(quick.as_dict())


def _as_model(config: HBMMMConfig) -> dict:
    return {name: value for name, value in config.as_dict().items() if name not in _OF_THE_SAMPLER}
