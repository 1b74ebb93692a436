"""The registered graph model as MLflow serves it: code and files, nothing pickled ("models from code").

Input: the series of one or more markets, a row a market and period in order of time: market_id, one column per node
that the model was fitted with, and context columns where it had them (missing context is taken as 0). Output: a row per
market and possible edge: probability, lag, sign. Markets are scored with what was learned; nothing is learned of them.
"""

from typing import Any

import mlflow
import pandas as pd


class CausalGraphModel(mlflow.pyfunc.PythonModel):
    """Edges of markets that the fit has not seen."""

    def load_context(self, context: Any) -> None:
        """Read the fit's files."""
        import json
        from pathlib import Path

        from models.causalmmm.classical_storage import load_classical

        folder = Path(context.artifacts["fit"])
        self._fit = load_classical(folder)
        self._context_ids = tuple(json.loads((folder / "context.json").read_text(encoding="utf-8")))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Columns shop_id (the market), source_id, target_id, edge_probability, lag, sign, method."""
        from models.causalmmm.market_series import panel_of_wide_rows

        panel = panel_of_wide_rows(model_input, self._fit.node_ids, self._fit.allowed, self._context_ids)
        return self._fit.score(panel).to_frame(panel)


mlflow.models.set_model(CausalGraphModel())
