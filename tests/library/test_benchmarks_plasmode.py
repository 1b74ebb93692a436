"""Verdicts of the plasmode page can turn out either way, and decays that were chosen are laid beside the true ones."""

import pandas as pd

from benchmarks.plasmode_page import chosen_lines, recovery_verdict
from benchmarks.study_plasmode import wanted_horizon


def summary(inside):
    return {"summary": [
        {"method": "pooled_ols", "level": "channels", "cells": 12, "within_error": 0},
        {"method": "hbmmm", "level": "channels", "cells": 12, "within_error": 12},
        {"method": "hbmmm", "level": "groups", "cells": 40, "within_error": inside},
    ]}  # fmt: skip


def test_recovery_is_judged_by_how_many_cells_chance_leaves_outside():
    assert "channels **recovered** (12 of 12" in recovery_verdict(summary(38))
    assert "age groups **recovered** (38 of 40" in recovery_verdict(summary(38))
    assert "age groups **not recovered** (33 of 40" in recovery_verdict(summary(33))


def test_chosen_decays_stand_beside_the_injected_ones():
    grid = (0.0, 0.3, 0.5, 0.7, 0.85)
    probabilities = [
        {"channel_id": channel, "decay": decay, "probability": p}
        for channel, weights in (("mail", (0, 0.2, 0.6, 0.2, 0.0)), ("none", (1.0, 0, 0, 0, 0)))
        for decay, p in zip(grid, weights, strict=True)
    ]
    cell = {
        "channel_id": "mail",
        "estimand": "slope",
        "difference": 3.9,
        "published_error": 1.0,
        "truth": 4.0,
    }
    chosen = {
        "probabilities": probabilities, "scored": 60, "drawn": 5, "is_refuted": False, "cells": [cell],
    }  # fmt: skip
    text = "\n".join(chosen_lines(chosen, {"mail": {"decay": 0.5}}))
    assert "| mail | 0.5 | 0.60 | 1.00 | 0.50 |" in text and "| none | no effect | - | - | 0.00 |" in text
    assert "**recovered** (1 of 1" in text
    text = "\n".join(chosen_lines(chosen | {"cells": [cell | {"difference": 9.0}] * 2}, {}))
    assert "**not recovered** (0 of 2" in text and "| +5.00 |" in text


def test_slopes_are_immediate_and_contributions_total():
    effects = pd.DataFrame({"estimand": ["slope", "contribution"]})
    assert wanted_horizon(effects).tolist() == ["immediate", "total"]
