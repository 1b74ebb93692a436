"""Tables 5 to 8, Figures 3, 5 and 6 of Ni et al. 2023 on Complete Journey, from a home where `make run` has been.

Tables 5 and 6 and the figures take all households and the home's fit. Tables 7 and 8 take the households of the
largest markets, since they ask for more fits; the outcome is money, the household-week the row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.paper_journey_figures import exposure_sds, figure_3, figure_5, known_of
from benchmarks.paper_people import summary_rows
from benchmarks.paper_world import (
    all_criteria,
    diagnostics_of,
    fit_panel,
    plain,
    records,
    robustness,
    table_8,
)

HELD_OUT_WEEKS = 6


class Home:
    """The panel of a home's last refresh and its published fit; raises FileNotFoundError where there is none."""

    def __init__(self, home: str) -> None:
        from assets.hbmmm import read_fit_pointer
        from assets.status import load_refresh
        from models.hbmmm.fit import HBMMMFit

        os.environ["MEDIAMIX_HOME"] = home
        self.refresh = load_refresh()
        self.panel = self.refresh.read_panel()
        pointer = read_fit_pointer(self.refresh)
        if "folder" not in pointer:
            raise FileNotFoundError(f"{home} holds no fit of the HBMMM; make run there first.")
        folder = self.refresh.artefacts_dir / "fits" / "hbmmm" / pointer["folder"]
        self.fingerprint = pointer["folder"].removeprefix("fingerprint=")
        self.fit = HBMMMFit.load(folder / "fit")
        self.effects = pd.read_parquet(folder / "effects" / "channel_effects.parquet")

    def sample(self, households: int) -> Any:
        """The panel of the largest markets, whole ones, until there are so many households.

        Whole markets, because histories are exchanged within them. Stores pooled as one market are passed over.
        """
        from models.evaluation.splits import panel_subset

        panel = self.panel
        counts = np.bincount(panel.consumer_market_index, minlength=len(panel.market_ids))
        counts[[str(m).startswith("_") for m in panel.market_ids]] = 0
        order = np.argsort(-counts, kind="stable")
        needed = int(np.searchsorted(np.cumsum(counts[order]), households)) + 1
        return panel_subset(panel, np.isin(panel.market_index, order[:needed]))


def run(
    home: str, households: int, replicates: int, draws: int, processes: int, tell: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """All tables that the data define, and pictures by name."""
    from assets.robustness_fits import NO_LATER_ACTIVITY

    at = Home(home)
    panel, fit = at.panel, at.fit
    values = {f"Weekly purchase amount ({panel.currency_code})": panel.gmv}
    values |= {f"{c} exposures": panel.exposures[:, i] for i, c in enumerate(panel.channel_ids)}
    for name, kind in panel.characteristic_kinds.items():
        if kind == "numeric":
            known = panel.characteristics[name].to_numpy(dtype=float)
            values[name] = known[np.isfinite(known)]
    slopes = at.effects.query("estimand == 'slope' and exposure_distribution == 'panel_rows'")
    columns = ["channel_id", "mean", "interval_lower", "interval_upper", "r_hat", "ess", "unit"]
    tell("Complete Journey: Figures 3 and 5")
    pictures = {"journey_figure_3": figure_3(fit, panel), "journey_figure_5": figure_5(fit, panel)}
    unit = f"{panel.currency_code} per sd of exposures"
    facts, pictures["journey_figure_6"] = robustness(
        fit,
        panel,
        tell,
        exposure_sds(panel),
        unit,
        at.refresh.read_panel(with_excluded=NO_LATER_ACTIVITY),
    )
    tell("Complete Journey: fit on the first weeks")
    sample = at.sample(households)
    found = {
        "source": at.refresh.source_name,
        "households": panel.consumers_count,
        "rows": panel.rows_count,
        "as_of_date": at.refresh.as_of_date.isoformat(),
        "fit_fingerprint": at.fingerprint,
        "table_5": plain(summary_rows(values)),
        "table_6": records(slopes[columns].set_index("channel_id")),
        "own_spread": own_spread(fit),
        "sampler": plain(diagnostics_of(fit)),
        "sample_households": sample.consumers_count,
        "sample_markets": len(sample.market_ids),
        "households_known": int(known_of(panel).notna().all(axis=1).sum()),
        "learned_share": dict(
            zip(fit.design.modelled_channels, plain(list(fit.learned_share[:, 1:].mean(axis=0))), strict=True)
        ),
        "figure_6": facts,
        "table_7": comparison(sample, draws, tell),
        "table_8": table_8(fit, sample, replicates, processes, tell),
        "replicates": replicates,
    }
    return json.loads(json.dumps(plain(found), allow_nan=False)), pictures


def own_spread(fit: Any) -> list[dict[str, Any]]:
    """Posterior of the spread of households' own slopes on counts, money per exposure."""
    from models.hbmmm.problem import Layout

    layout, unit = Layout.of(fit.design, len(fit.strata)), fit.design.outcome_scale
    rows = []
    for k, column in enumerate(fit.design.slope_columns[1:], start=1):
        name = fit.design.row_columns[column]
        values = fit.draws[..., layout.consumer][..., k] * unit / name.scale
        low, high = np.quantile(values, [0.025, 0.975])
        rows.append({"channel_id": name.channel_id, "mean": values.mean(), "lower": low, "upper": high})
    return plain(rows)


def comparison(panel: Any, draws: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Table 7 on the last weeks of a sample of households, in money; draws: kept a chain of the HBMMM."""
    from models.baselines.market_bayes import MarketBayes
    from models.evaluation.comparison import compare_predictors, wide_table
    from models.evaluation.hbmmm_predictor import FittedHBMMM
    from models.evaluation.model_comparison import AlreadyFitted, rivals
    from models.evaluation.splits import rolling_origin_splits

    split = rolling_origin_splits(panel, horizon=HELD_OUT_WEEKS)[0]
    options = {"draws": draws, "imputations_count": 2, "effect_draws": 400}
    trained = fit_panel(split.train, options)
    tell("Complete Journey: held-out weeks")
    predictors = {"hbmmm": AlreadyFitted(FittedHBMMM(trained)), **rivals()}
    scores = wide_table(compare_predictors([split], predictors))
    tell("Complete Journey: information criteria")
    criteria, missing = all_criteria(trained, MarketBayes().fit(split.train), split.train)
    return {
        "split": split.name,
        "rows": len(split.test),
        "scores": records(scores),
        "criteria": criteria,
        "criteria_missing": missing,
        "sampler": plain(diagnostics_of(trained)),
    }
