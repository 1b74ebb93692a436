"""The registered HBMMM as MLflow serves it: code and files, nothing pickled ("models from code").

MLflow runs this file when the model is logged and again when it is loaded; the package ``models`` lies beside the
model as a code path. Input: one row per scenario consumer-period, with consumer_id, market_id and one column per
channel (exposures in the period). Output: expected GMV of each row with its interval (log points of a log1p fit).
"""

from typing import Any

import mlflow
import pandas as pd


class HBMMMScenarioModel(mlflow.pyfunc.PythonModel):
    """Expected GMV under given exposures, from a saved fit."""

    def load_context(self, context: Any) -> None:
        """Read the fit's files."""
        from models.hbmmm.fit import HBMMMFit
        from models.hbmmm.two_part import TwoPartFit, is_two_part

        folder = context.artifacts["fit"]
        self._fit = (TwoPartFit if is_two_part(folder) else HBMMMFit).load(folder)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Columns mean, interval_lower, interval_upper, one row per row of the input."""
        from models.hbmmm.predict import predict_scenario
        from models.hbmmm.two_part import TwoPartFit
        from models.hbmmm.two_part_predict import predict_two_part

        predict = predict_two_part if isinstance(self._fit, TwoPartFit) else predict_scenario
        return predict(self._fit, model_input)


mlflow.models.set_model(HBMMMScenarioModel())
