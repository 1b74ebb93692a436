"""The HBMMM as a predictor of held-out rows, beside the baselines: fit on a training panel, ask its fit about rows.

Predictions come from models/hbmmm/predict.py: a known consumer has its own posterior coefficients and its own mean
exposures of the training rows; an unknown one is a new draw from its market, given its characteristics, at average own
means. Period effects of periods that training lacks are the training average.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from models.baselines.base import Prediction, Rows
from models.errors import PanelError
from models.panel import ConsumerPanel

ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class HBMMMPredictor:
    """options: fields of HBMMMConfig, for instance {"basis": "linear", "include_period_effects": "none"}."""

    options: dict[str, Any] = field(default_factory=dict)

    def fit(self, train: ConsumerPanel) -> FittedHBMMM:
        """Fit the whole model; raises what fit_hbmmm raises. Whether chains converged is for the caller to judge."""
        from models.hbmmm.config import HBMMMConfig
        from models.hbmmm.fit import fit_hbmmm
        from models.hbmmm.statistics import SufficientStatistics

        config = HBMMMConfig(**self.options)
        statistics = SufficientStatistics.from_panel(train)
        return FittedHBMMM(fit_hbmmm(statistics, train.characteristics, config))


@dataclass(frozen=True, eq=False)
class FittedHBMMM:
    """fit: the HBMMMFit, with its diagnostics."""

    fit: Any

    def predict(self, rows: Rows) -> Prediction:
        """Normal with the coefficients' posterior and the noise; `source` says which rows are of unknown consumers.

        Raises PanelError where a covariate or characteristic is called like a channel: a scenario cannot tell them
        apart.
        """
        from models.hbmmm.predict import predict_scenario

        traits = [str(c) for c in rows.characteristics.columns]
        clash = sorted(set(rows.channel_ids) & {*rows.covariate_names, *traits})
        clash += sorted(set(rows.covariate_names) & set(traits))
        if clash:
            raise PanelError(f"{clash} name two columns each of the scenario; rename channels or covariates.")
        known = np.isin(rows.consumer_ids.astype(str), self.fit.consumer_ids.astype(str))
        scenario = pd.DataFrame(
            {
                "consumer_id": rows.consumer_ids,
                "market_id": rows.market_ids,
                **dict(zip(rows.channel_ids, rows.exposures.T, strict=True)),
                **dict(zip(rows.covariate_names, rows.covariates.T, strict=True)),
            }
        )
        if not known.all():
            own = rows.characteristics.reindex(rows.consumer_ids).reset_index(drop=True)
            scenario = pd.concat([scenario, own], axis=1)
        parts = [
            predict_scenario(self.fit, scenario.iloc[start : start + ROWS_AT_ONCE])
            for start in range(0, len(scenario), ROWS_AT_ONCE)
        ]
        found = pd.concat(parts)
        z = stats.norm.ppf(0.5 + 0.5 * self.fit.config.interval_level)
        sd = (found["predictive_upper"] - found["predictive_lower"]).to_numpy() / (2.0 * z)
        source = np.where(known, "model", "new_consumer").astype(object)
        return Prediction(found["mean"].to_numpy(), sd, source=source)
