"""What graph models must show on worlds whose graphs are known: bounds of means over worlds, as verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.evaluation.acceptance import Verdict

WORLDS_LEAST = 5
ECE_MOST = 0.03
SECONDS_MOST = 60.0
GROWTH_MOST = (
    1.1  # power of the size; one is linear, and a tenth is what logarithms of a few timings leave open
)
LARGE_SECONDS_MOST = 900.0
SHIPPED = "classical"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GraphBound:
    """kind, method: whose mean over worlds is judged. figure: its name in a row. least: False where `bound` is most."""

    kind: str
    method: str
    figure: str
    bound: float
    least: bool = True


_NAMES = {
    "auroc_pooled": "AUROC",
    "accuracy": "ACC",
    "seconds": "CPU seconds of a fit",
    "unseen_auroc_pooled": "AUROC of unseen shops",
    "structures_right": "number of structures right, share of worlds",
}
BOUNDS = (
    *(GraphBound(kind, SHIPPED, "auroc_pooled", 0.995) for kind in ("sim1", "sim2")),
    *(GraphBound(kind, SHIPPED, "accuracy", 0.985) for kind in ("sim1", "sim2")),
    *(GraphBound(kind, SHIPPED, "seconds", SECONDS_MOST, least=False) for kind in ("sim1", "sim2")),
    GraphBound("sim2_T30", SHIPPED, "auroc_pooled", 0.97),
    GraphBound("sim2_T30", SHIPPED, "accuracy", 0.92),
    GraphBound("sim2_T720", SHIPPED, "auroc_pooled", 0.999),
    GraphBound("sim2_d20", SHIPPED, "auroc_pooled", 0.98),
    GraphBound("sim2_R10", SHIPPED, "auroc_pooled", 0.99),
    GraphBound("sim2_R20", SHIPPED, "auroc_pooled", 0.99),
    GraphBound("sim2_unseen", SHIPPED, "unseen_auroc_pooled", 0.99),
    *(GraphBound(kind, "pure ELBO", "auroc_pooled", 0.975) for kind in ("sim1", "sim2")),
    GraphBound("sim1_sd30", SHIPPED, "auroc_pooled", 0.985),
    *(GraphBound(kind, SHIPPED, "structures_right", 1.0) for kind in ("sim1", "sim2")),
)


def graph_verdicts(rows: Iterable[Row]) -> list[Verdict]:
    """BOUNDS, and calibration of the shipped level over all kinds together and on the worst kind.

    rows: kind, method, worlds, reliability (bins), and {"mean", "sd"} of every figure. What was not measured, or on
    fewer than WORLDS_LEAST worlds, is not evaluated (passed None).
    """
    known = {(row["kind"], row["method"]): row for row in rows}
    return [_judged(known.get((one.kind, one.method)), one) for one in BOUNDS] + _calibration(
        [row for (_, method), row in known.items() if method == SHIPPED]
    )


def _judged(row: Row | None, wanted: GraphBound) -> Verdict:
    figure = (row or {}).get(wanted.figure) or {"mean": None, "sd": None}
    worlds = (row or {}).get("worlds", 0)
    value = np.nan if figure["mean"] is None else figure["mean"]
    error = np.nan if figure["sd"] is None else figure["sd"] / np.sqrt(worlds)
    holds = value >= wanted.bound if wanted.least else value <= wanted.bound
    passed = bool(holds) if worlds >= WORLDS_LEAST and np.isfinite(value) else None
    bound = (
        f"{'at least' if wanted.least else 'at most'} {wanted.bound:g}, mean of {WORLDS_LEAST} worlds or more"
    )
    return Verdict(_NAMES[wanted.figure], f"{wanted.method}, {wanted.kind}", value, error, bound, passed)


def summed_bins(rows: Iterable[Row]) -> list[dict[str, float]]:
    """Reliability bins of several rows together: lowest, stated, observed, pairs_count."""
    totals: dict[float, np.ndarray] = {}
    for row in rows:
        for one in row.get("reliability", ()):
            count = one["pairs_count"]
            sums = np.array([one["stated"] * count, one["observed"] * count, count], dtype=float)
            totals[one["lowest"]] = totals.get(one["lowest"], 0.0) + sums
    return [
        {"lowest": lowest, "stated": s / n, "observed": o / n, "pairs_count": n}
        for lowest, (s, o, n) in sorted(totals.items())
    ]


def calibration_error(bins: Iterable[Mapping[str, float]]) -> float:
    """ECE: mean distance of stated and observed frequency, weighted by pairs; NaN without any."""
    bins = list(bins)
    gaps = [abs(one["stated"] - one["observed"]) for one in bins]
    return float(np.average(gaps, weights=[one["pairs_count"] for one in bins])) if gaps else np.nan


def _calibration(rows: list[Row]) -> list[Verdict]:
    enough = [row for row in rows if row["worlds"] >= WORLDS_LEAST and row.get("reliability")]
    together = calibration_error(summed_bins(enough))
    bound = f"at most {ECE_MOST:g}"
    passed = bool(together <= ECE_MOST) if enough else None
    found = [
        Verdict(
            "calibration error (ECE), all pairs together", f"{len(enough)} kinds of worlds", together, np.nan, bound,
            passed,
        )
    ]  # fmt: skip
    worst = max(enough, key=lambda row: row["calibration_error"]["mean"], default=None)
    if worst is not None:
        figure = worst["calibration_error"]
        error = np.nan if figure["sd"] is None else figure["sd"] / np.sqrt(worst["worlds"])
        found.append(
            Verdict(
                "calibration error of the worst kind, mean over worlds", worst["kind"], figure["mean"], error, bound,
                bool(figure["mean"] <= ECE_MOST),
            )
        )  # fmt: skip
    return found


def growth(sizes: Iterable[float], seconds: Iterable[float]) -> float:
    """Power of the size with which seconds grow, by least squares in logarithms; NaN for fewer than two sizes."""
    sizes, seconds = np.asarray(list(sizes), dtype=float), np.asarray(list(seconds), dtype=float)
    if len(sizes) < 2:
        return np.nan
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def timing_verdicts(powers: Mapping[tuple[str, str], float], large: Mapping[str, float]) -> list[Verdict]:
    """powers: (method, shops or periods) -> growth. large: method -> wall seconds of the largest panel."""
    found = []
    for (method, size), power in powers.items():
        passed = bool(power <= GROWTH_MOST) if np.isfinite(power) else None
        bound = f"at most {GROWTH_MOST:g} (1 is linear)"
        found.append(Verdict(f"power of {size} in CPU seconds", method, power, np.nan, bound, passed))
    for method, seconds in large.items():
        found.append(
            Verdict(
                "wall seconds of 1,000 shops x 676 days", method, seconds, np.nan, f"at most {LARGE_SECONDS_MOST:g}",
                bool(seconds <= LARGE_SECONDS_MOST),
            )
        )  # fmt: skip
    return found
