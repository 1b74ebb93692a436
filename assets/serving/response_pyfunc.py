"""The registered response model as MLflow serves it: code and files, nothing pickled ("models from code").

Input: a plan, one row a market and period of the periods that follow the fit's data: market_id, period_start_date, for
every channel `spend[<channel>]` (or `intensity[<channel>]`, the only one where the fit knows no spend), and
`control[<name>]` for every covariate that the fit adjusts for. Output: GMV under the plan with its interval by market
and period, and of all markets together (market_id empty), and the mean contribution of every channel.
"""

from typing import Any

import mlflow
import pandas as pd


class ResponseScenarioModel(mlflow.pyfunc.PythonModel):
    """Expected GMV under planned spend, from a saved fit."""

    def load_context(self, context: Any) -> None:
        """Read the fit's files."""
        from models.response.storage import load_response_fit

        self._fit = load_response_fit(context.artifacts["fit"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Columns market_id, period_start_date, mean, interval_lower, interval_upper, contribution[<channel>]."""
        from models.response.plans import forecast_of_plan

        return forecast_of_plan(self._fit, model_input)


mlflow.models.set_model(ResponseScenarioModel())
