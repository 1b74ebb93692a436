"""Two estimators of the paper's kind, reduced to what a comparison with known truth needs. Neither is ever primary.

    ipw_characteristics  weighting by e(W): the propensity given consumer characteristics alone (Ni et al. 2023, 3.3)
    aipw_lagged          doubly robust on characteristics, market, period and lagged history (doubly_robust.py)

Both speak of exposed rows, where the truth is known without saying which dose an unexposed row would have had:

    att_exposed   E[Y(x) - Y(0) | x > 0]
    contribution  att_exposed times the number of exposed rows, since a row without exposure contributes nothing

ipw_characteristics adds `slope`, weighting doses by a count model given W alone. Nothing is trimmed: every exposed row
is in the average, as it is in the truth. Where hardly a row is unexposed, the odds of a few rows carry the estimate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from models.characteristics_design import characteristics_matrix
from models.effect_rows import effect_row
from models.effects.causal_effects import CausalConfig, lagged_scores
from models.effects.consumer_bootstrap import BootstrapEstimate
from models.effects.cross_fitting import Nuisances, consumer_folds
from models.effects.doubly_robust import ExposureScores, estimate_effect, exposure_scores
from models.effects.exposure_counts import fit_count_exposure, weighted_dose_slope
from models.effects.propensity import fit_propensity, history_features
from models.errors import ConvergenceError, OverlapError
from models.panel import ConsumerPanel

IPW_METHOD, AIPW_METHOD = "ipw_characteristics", "aipw_lagged"
UNTRIMMED = CausalConfig(trimming_threshold=0.0, clipping_threshold=0.001)


def characteristics_ipw_effects(
    panel: ConsumerPanel, rng: np.random.Generator, config: CausalConfig = UNTRIMMED
) -> pd.DataFrame:
    """Rows of IPW on e(W), in the columns of the artefact `channel_effects`; NaN and a reason without two arms.

    Raises ValueError for a config that trims.
    """
    _refuse_trimming(config)
    matrix, names = characteristics_matrix(panel)
    rows = []
    for c, channel_id in enumerate(panel.channel_ids):

        def scores(channel_id=channel_id) -> ExposureScores:
            fit = fit_propensity(
                panel,
                channel_id,
                exposure_threshold=config.exposure_threshold,
                clipping_threshold=config.clipping_threshold,
                conditioning="characteristics",
            )
            unused = np.full(panel.rows_count, np.nan)  # weighting has no outcome regressions
            return exposure_scores(
                fit.treatment,
                panel.gmv,
                panel.consumer_index,
                Nuisances(fit.propensity_raw, unused, unused),
                trimming_threshold=config.trimming_threshold,
                clipping_threshold=config.clipping_threshold,
            )

        def slope(c=c) -> BootstrapEstimate:
            doses = panel.exposures[:, c]
            fit = fit_count_exposure(
                matrix[panel.consumer_index],
                doses,
                tuple(names),
                panel.consumer_index,
                truncation_share=config.truncation_share,
            )
            return weighted_dose_slope(fit, panel.gmv, panel.consumer_index, rng, **_draws(config))

        rows += _exposed_rows(panel, c, IPW_METHOD, "ipw", scores, rng, config)
        found, reason = _attempt(slope)
        key = (channel_id, "slope", "panel_rows", f"{panel.currency_code} per exposure")
        rows.append(_row(key, IPW_METHOD, config, found.numbers() if found else {}, reason))
    return pd.DataFrame(rows)


def lagged_aipw_effects(
    panel: ConsumerPanel, rng: np.random.Generator, config: CausalConfig = UNTRIMMED
) -> pd.DataFrame:
    """Rows of AIPW on lagged history, likewise. The same scores as `causal_effects`, without its other methods."""
    _refuse_trimming(config)
    history, _ = history_features(panel)
    fold = consumer_folds(panel.consumer_index, config.folds_count, rng)
    rows = []
    for c, channel_id in enumerate(panel.channel_ids):
        present = np.log1p(np.delete(panel.exposures, c, axis=1))
        features = np.column_stack([history, present])

        def scores(channel_id=channel_id, features=features) -> ExposureScores:
            return lagged_scores(panel, channel_id, features, fold, config)

        rows += _exposed_rows(panel, c, AIPW_METHOD, "aipw", scores, rng, config)
    return pd.DataFrame(rows)


def _refuse_trimming(config: CausalConfig) -> None:
    if config.trimming_threshold:
        raise ValueError(
            f"trimming_threshold is {config.trimming_threshold}; rows that are trimmed are missing from the average, "
            "and a contribution of all exposed rows cannot be had. Set it to 0, or use causal_effects."
        )


def _exposed_rows(
    panel: ConsumerPanel,
    channel: int,
    method: str,
    estimator: str,
    build: Callable[[], ExposureScores],
    rng: np.random.Generator,
    config: CausalConfig,
) -> list[dict[str, object]]:
    """att_exposed and the contribution that follows from it."""
    found, reason = _attempt(
        lambda: estimate_effect(build(), estimator, "att_exposed", rng, **_draws(config))
    )
    numbers = found.numbers() if found else {}
    exposed = int((panel.exposures[:, channel] > config.exposure_threshold).sum())
    moved = {name: v * (1 if name == "probability_positive" else exposed) for name, v in numbers.items()}
    channel_id, money = panel.channel_ids[channel], panel.currency_code
    att = (channel_id, "att_exposed", "exposed_rows", f"{money} per exposed consumer-period")
    total = (channel_id, "contribution", "panel_rows", money)
    return [_row(att, method, config, numbers, reason), _row(total, method, config, moved, reason)]


def _attempt(build: Callable[[], BootstrapEstimate]) -> tuple[BootstrapEstimate | None, str | None]:
    """The estimate, or why there is none."""
    try:
        return build(), None
    except (OverlapError, ConvergenceError) as error:
        return None, str(error)


def _row(
    key: tuple[str, str, str, str],
    method: str,
    config: CausalConfig,
    numbers: dict[str, float],
    reason: str | None,
) -> dict[str, object]:
    level = config.interval_level
    return effect_row(*key, method=method, interval_level=level, not_identified_reason=reason, **numbers)


def _draws(config: CausalConfig) -> dict[str, float]:
    return {"draws_count": config.bootstrap_draws, "interval_level": config.interval_level}
