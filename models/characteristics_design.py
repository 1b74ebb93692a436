"""Consumer characteristics as a numeric matrix for estimators that need one without imputation models."""

from __future__ import annotations

import numpy as np

from models.panel import ConsumerPanel


def characteristics_matrix(panel: ConsumerPanel) -> tuple[np.ndarray, list[str]]:
    """Characteristics of each consumer, (N, K), and column names.

    Numeric ones are standardised, missing values set to the mean and flagged in a column of their own;
    categorical ones become one column per level but the first, a missing value being a level.
    Columns without variation are left out.
    """
    columns: list[np.ndarray] = []
    names: list[str] = []
    for name, kind in panel.characteristic_kinds.items():
        values = panel.characteristics[name]
        if kind == "numeric":
            x = values.to_numpy(dtype=float)
            missing = np.isnan(x)
            known = x[~missing]
            spread = known.std() if len(known) else 0.0
            if spread > 0:
                columns.append(np.where(missing, 0.0, (x - known.mean()) / spread))
                names.append(name)
            if missing.any() and not missing.all():
                columns.append(missing.astype(float))
                names.append(f"{name} missing")
        else:
            labels = np.array(["" if v is None else str(v) for v in values], dtype=object)
            for level in sorted(set(labels))[1:]:
                columns.append((labels == level).astype(float))
                names.append(f"{name} = {level}")
    matrix = np.column_stack(columns) if columns else np.zeros((panel.consumers_count, 0))
    return matrix, names
