"""What nobody can beat: effects by an estimator that knows everything about a simulated world but their size.

Known are every consumer's expected purchases without the exposures, the response's shape, each consumer's slope up to
one factor a channel, and the variance of purchases up to a factor. With r_c the true expected dollars of a row's
exposures of channel c (for a channel without effect: what they would be at one dollar for the first exposure),

    net GMV - expected net GMV without exposures = sum_c theta_c r_c + error,    Var(error) ~ expected GMV

is weighted least squares; theta times the effects that belong to theta = 1 are the estimates. Their error is the noise
floor that stands beside every estimator's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from models.effect_rows import effect_row, normal_numbers
from models.panel import ConsumerPanel
from models.simulate.consumer_truth import panel_rows, row_effects
from models.simulate.consumers import ConsumerWorld

METHOD = "oracle"


def oracle_effects(
    world: ConsumerWorld, panel: ConsumerPanel, *, interval_level: float = 0.95
) -> pd.DataFrame:
    """Channel effects of a money world's panel, in the columns of the artefact `channel_effects`.

    Raises ValueError for a log1p world, whose effects do not add up.
    """
    if world.gmv_means is None:
        raise ValueError("the oracle adds effects in dollars; give a world whose outcome is 'money'.")
    who, when = panel_rows(world)
    _, removed = row_effects(world, who, when)
    kept = 1 - world.config.returns_share
    expected = world.gmv_means[who, when]
    base = kept * expected - removed.sum(axis=1)
    unit_slopes = np.where(world.slopes.any(axis=0), world.slopes, 1.0)
    added, removed = row_effects(replace(world, slopes=unit_slopes), who, when)
    scale = 1 / np.sqrt(expected)
    x, y = removed * scale[:, None], (panel.gmv - base) * scale
    inverse = np.linalg.pinv(x.T @ x)
    theta = inverse @ (x.T @ y)
    noise = float(((y - x @ theta) ** 2).sum() / (len(y) - len(theta)))
    errors = np.sqrt(noise * np.diag(inverse))
    rows = []
    for c, channel_id in enumerate(panel.channel_ids):
        for estimand, distribution, unit, value in _unit_effects(
            panel.exposures[:, c], added[:, c], removed[:, c], panel.currency_code
        ):
            numbers = normal_numbers(theta[c] * value, errors[c] * value, interval_level)
            key = (channel_id, estimand, distribution, unit)
            rows.append(effect_row(*key, method=METHOD, interval_level=interval_level, **numbers))
    return pd.DataFrame(rows)


def _unit_effects(
    exposures: np.ndarray, added: np.ndarray, removed: np.ndarray, money: str
) -> list[tuple[str, str, str, float]]:
    """Estimand, exposure_distribution, unit and value at theta = 1, of one channel; (R,) each."""
    exposed = exposures > 0
    return [
        ("slope", "panel_rows", f"{money} per exposure", float(added.mean())),
        (
            "slope",
            "exposure_weighted",
            f"{money} per exposure",
            float(added @ exposures / max(exposures.sum(), 1.0)),
        ),
        (
            "att_exposed",
            "exposed_rows",
            f"{money} per exposed consumer-period",
            float(removed.sum() / max(exposed.sum(), 1)),
        ),
        ("contribution", "panel_rows", money, float(removed.sum())),
    ]
