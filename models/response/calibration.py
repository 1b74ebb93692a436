"""What lift tests say beside the model, and what calibrating on them moved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.errors import PanelError
from models.response.contributions import coefficients, curves_of
from models.response.fit import ResponseFit
from models.response.lift_terms import lift_terms
from models.response.lift_tests import LiftTest
from models.response.returns import return_table


def predicted_lifts(fit: ResponseFit, tests: Sequence[LiftTest]) -> pd.DataFrame:
    """The fit's own lift of each test, E[KPI | recorded] - E[KPI | recorded less delta], beside the measured one.

    Of tests the fit was not calibrated on it is a prediction; of the others a check of whether they were believed.
    Returns lift_test_id, lift, standard_error, mean, standard_deviation, interval_lower, interval_upper, z: the
    difference over both errors together. Raises PanelError where a test does not suit the panel, or there is none.
    """
    if not tests:
        raise PanelError("there is no lift test to predict; give at least one.")
    exposures = fit.scaling.exposures(fit.panel.intensity)
    terms = lift_terms(fit.panel, tests, exposures, np.array(fit.scaling.kpi_mean))
    curves = curves_of(fit, np.concatenate([exposures, terms.exposures], axis=1))
    c, j = terms.channel, terms.market
    draws = np.empty((len(fit.draws), len(tests)))
    for k in range(len(fit.draws)):
        values = curves.forward(fit.draws.curve[k]).values
        gained = ((values[c, j] - values[c, terms.row]) * terms.window).sum(axis=1)
        draws[k] = np.bincount(terms.test, coefficients(fit, k)[c, j] * gained, minlength=len(tests))
    tail = (1.0 - fit.config.interval_level) / 2.0
    lower, upper = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    table = pd.DataFrame(
        {
            "lift_test_id": [test.lift_test_id for test in tests],
            "lift": terms.lift,
            "standard_error": terms.standard_error,
            "mean": draws.mean(axis=0),
            "standard_deviation": draws.std(axis=0, ddof=1),
            "interval_lower": lower,
            "interval_upper": upper,
        }
    )
    both = np.hypot(table["standard_error"], table["standard_deviation"])
    return table.assign(z=(table["lift"] - table["mean"]) / both)


def calibration_table(before: ResponseFit, after: ResponseFit) -> pd.DataFrame:
    """How estimates over all markets moved between two fits of one panel: without and with the tests.

    Returns channel_id, estimand, mean and interval before and after, shift (in sd before) and width_ratio.
    """
    keys, shown = (
        ["channel_id", "estimand"],
        ["mean", "standard_deviation", "interval_lower", "interval_upper"],
    )
    one, two = (
        table[table["market_id"].isna()].set_index(keys)[shown]
        for table in (return_table(before), return_table(after))
    )
    joined = one.merge(two, left_index=True, right_index=True, suffixes=("_before", "_after"))
    widths = [joined[f"interval_upper_{w}"] - joined[f"interval_lower_{w}"] for w in ("before", "after")]
    return joined.assign(
        shift=(joined["mean_after"] - joined["mean_before"]) / joined["standard_deviation_before"],
        width_ratio=widths[1] / widths[0],
    ).reset_index()
