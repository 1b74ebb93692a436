"""Real sales calls on physicians: the HBMMM beside simpler estimators (`make study-detailing`).

Manchanda, Rossi and Chintagunta (2004): 1,000 physicians, 23 months, calls of a sales force and new prescriptions. The
force calls on whom it thinks worth calling, so that estimators which compare physicians find more than those which
compare a physician with itself. No truth is known; the lead placebo says whether calls come before or after.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.hbmmm_page import number
from benchmarks.machine import ROOT, provenance
from models.panel import ConsumerPanel
from models.simulate.study_worlds import SEED

FIRST_MONTH = "2000-01-01"  # the months are numbered, not dated; any start gives the same figures
PRE_MONTHS = 3
NO_CURRENCY = "XXX"  # the code of ISO 4217: outcomes are prescriptions
LABELS = {
    "pooled_ols": "OLS on calls and months",
    "pooled_ols_covariates": "OLS with specialty besides",
    "random_effects": "random effects without Mundlak",
    "within_consumer": "within physician",
    "hbmmm": "HBMMM",
}


def main() -> None:
    """Estimate, and write detailing.json and detailing.md."""
    from models.checks.placebo import history_swap_placebo, lead_placebo

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the CSV files")
    parser.add_argument("--output", default="docs/studies")
    arguments = parser.parse_args()
    if not (arguments.data / "detailing_counts.csv").exists():
        parser.error(
            f"{arguments.data} has no detailing_counts.csv: write `detailing` of the R package bayesm as CSV, and give "
            'its folder, STUDY="--data FOLDER".'
        )
    begun = time.perf_counter()
    panel = read_panel(arguments.data)
    slopes, hbmmm = estimate(panel)
    placebos = pd.concat(
        [lead_placebo(panel, 1), history_swap_placebo(panel, np.random.default_rng(SEED))], ignore_index=True
    )
    content = {
        "command": 'make study-detailing STUDY="--data FOLDER"',
        "provenance": provenance(),
        "seconds": round(time.perf_counter() - begun, 1),
        "seed": SEED,
        "consumers": panel.consumers_count,
        "rows": panel.rows_count,
        "calls_a_month": number(panel.exposures.mean()),
        "prescriptions_a_month": number(panel.gmv.mean()),
        "slopes": slopes.to_dict("records"),
        "hbmmm": hbmmm,
        "placebos": json.loads(placebos.to_json(orient="records")),
    }
    folder = ROOT / arguments.output
    (folder / "detailing.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "detailing.md").write_text(page(content), encoding="utf-8")
    print(page(content))


def read_panel(folder: Path) -> ConsumerPanel:
    """Months after the first PRE_MONTHS, which give the spend stratum; specialty is known of everybody.

    Mean samples handed out are left out: they are of the same months as the calls.
    """
    counts = pd.read_csv(folder / "detailing_counts.csv")
    people = pd.read_csv(folder / "detailing_demo.csv")
    counts["consumer_id"] = "p" + counts["id"].astype(str).str.zfill(4)
    counts["month"] = counts.groupby("id").cumcount()
    starts = pd.date_range(FIRST_MONTH, periods=int(counts["month"].max()) + 1, freq="MS")
    counts["period_start_date"] = starts[counts["month"]].date
    before = counts[counts["month"] < PRE_MONTHS].groupby("consumer_id")["scripts"].mean()
    stratum = pd.qcut(before.rank(method="first"), 3, labels=["low", "middle", "high"]).astype(str)
    specialty = np.select(
        [people["generalphys"] == 1, people["specialist"] == 1], ["general", "specialist"], "other"
    )
    ids = "p" + people["id"].astype(str).str.zfill(4)
    characteristics = pd.concat(
        [
            pd.DataFrame({"consumer_id": ids, "characteristic_name": "specialty", "value_text": specialty}),
            pd.DataFrame(
                {
                    "consumer_id": stratum.index,
                    "characteristic_name": "pre_period_spend_stratum",
                    "value_text": stratum.to_numpy(),
                }
            ),
        ]
    ).assign(characteristic_kind="categorical", characteristic_origin="declared", value_numeric=np.nan)
    rows = counts.assign(
        market_id="all",
        is_in_panel=counts["month"] >= PRE_MONTHS,
        gmv_net_amount=counts["scripts"].astype(float),
    )
    calls = counts[counts["detailing"] > 0].assign(channel_id="calls", exposures_count=counts["detailing"])
    no_covariates = pd.DataFrame(
        columns=["market_id", "covariate_name", "period_start_date", "covariate_value"]
    )
    return ConsumerPanel.from_frames(
        rows, calls, characteristics, no_covariates, currency_code=NO_CURRENCY, period="month"
    )


def estimate(panel: ConsumerPanel) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Slopes by method; of the HBMMM how its chains went and how physicians differ."""
    from models.baselines.ols import pooled_ols_effects
    from models.effects.random_effects import random_effects
    from models.effects.within import within_effects
    from models.hbmmm.config import HBMMMConfig
    from models.hbmmm.effects import compute_effects
    from models.hbmmm.fit import fit_hbmmm
    from models.hbmmm.statistics import SufficientStatistics

    fit = fit_hbmmm(
        SufficientStatistics.from_panel(panel),
        panel.characteristics,
        HBMMMConfig(seed=SEED),
        lambda text, share: print(f"{share:4.0%} {text}", flush=True),
    )
    tables = compute_effects(fit, panel)
    found = {
        "pooled_ols": pooled_ols_effects(panel),
        "pooled_ols_covariates": pooled_ols_effects(panel, with_covariates=True),
        "random_effects": random_effects(panel),
        "within_consumer": within_effects(panel),
        "hbmmm": tables.channel,
    }
    shown = ["mean", "standard_deviation", "interval_lower", "interval_upper"]
    rows = [
        {"method": name} | {column: number(one[column]) for column in shown}
        for name, table in found.items()
        for one in [_slope(table).iloc[0]]
    ]
    people = tables.consumer[tables.consumer["estimand"] == "slope"]
    segments = _slope(tables.segment)
    return pd.DataFrame(rows), {
        "inference": str(fit.sampler["method"].iloc[0]),
        "r_hat_max": number(fit.diagnostics["r_hat"].max()),
        "ess_bulk_min": number(fit.diagnostics["ess_bulk"].min()),
        "ess_tail_min": number(fit.diagnostics["ess_tail"].min()),
        "divergences": fit.divergences_count,
        "sd_between_physicians": number(people["mean"].std()),
        "share_clearly_positive": number((people["interval_lower"] > 0).mean()),
        "share_clearly_negative": number((people["interval_upper"] < 0).mean()),
        "learned_share": number(people["learned_share"].mean()),
        "segments": [
            {name: one[name] for name in ("segment_name", "segment_value")}
            | {column: number(one[column]) for column in shown}
            for one in segments.to_dict("records")
        ],
    }


def _slope(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["estimand"] == "slope") & (table["exposure_distribution"] == "panel_rows")]


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where, hbmmm = content["provenance"], content["hbmmm"]
    lines = [
        "# Real sales calls on physicians",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, {where['memory_gib']} GiB, "
        f"{content['seconds']} s, seed {content['seed']}. Data: `detailing` of the R package bayesm (Manchanda, Rossi "
        "and Chintagunta 2004), which is no part of this project; months are numbered there.",
        "",
        f"{content['consumers']:,} physicians, {content['rows']:,} physician-months after {PRE_MONTHS} months that "
        f"give the stratum; {_short(content['calls_a_month'])} calls and "
        f"{_short(content['prescriptions_a_month'])} new prescriptions a month. No truth is known.",
        "",
        "New prescriptions a month by one more call a month:",
        "",
        "| method | effect | standard error | 95 % interval |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {LABELS[row['method']]} | {_short(row['mean'])} | {_short(row['standard_deviation'])} "
        f"| {_short(row['interval_lower'])} to {_short(row['interval_upper'])} |"
        for row in content["slopes"]
    ]
    lines += [
        "",
        f"HBMMM by {hbmmm['inference']}: largest R-hat {_short(hbmmm['r_hat_max'], 4)}, least bulk and tail "
        f"effective size {_short(hbmmm['ess_bulk_min'], 4)} and {_short(hbmmm['ess_tail_min'], 4)}, "
        f"{hbmmm['divergences']} divergences. Posterior means of "
        f"physicians' slopes have a standard deviation of {_short(hbmmm['sd_between_physicians'], 4)}; "
        f"{100 * hbmmm['share_clearly_positive']:.1f} % have an interval above zero, "
        f"{100 * hbmmm['share_clearly_negative']:.1f} % below; {100 * hbmmm['learned_share']:.0f} % of what is known "
        "about one physician's slope was learned from that physician (1 - (posterior sd / prior sd)^2).",
        "",
        "| segment | effect | 95 % interval |",
        "|---|---|---|",
    ]
    lines += [
        f"| {one['segment_name']} {one['segment_value']} | {_short(one['mean'])} "
        f"| {_short(one['interval_lower'])} to {_short(one['interval_upper'])} |"
        for one in hbmmm["segments"]
    ]
    lines += [
        "",
        "Placebos (truth zero by construction; a failed lead placebo means that calls follow, or come with, passing "
        "changes in prescribing, so that no within-physician effect above is identified):",
        "",
        "| placebo | estimate | standard error | p | passed |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['placebo_kind']} | {_short(one['estimate'])} | {_short(one['standard_error'])} "
        f"| {_short(one['p_value'])} | {one['passed']} |"
        for one in content["placebos"]
    ]
    return "\n".join(lines) + "\n"


def _short(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}g}"


if __name__ == "__main__":
    main()
