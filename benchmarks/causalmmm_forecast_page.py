"""The page of study_causalmmm_forecast."""

from __future__ import annotations

from typing import Any

import numpy as np

# Gong et al. (2024), Table 7, MSE at M = 1, 7, 30 on data that nobody else has; levels are not comparable.
PUBLISHED = {
    "CausalMMM": (0.29, 1.80, 9.55),
    "CM-full": (0.37, 2.65, 14.63),
    "CM-markov": (0.32, 2.85, 12.92),
    "CM-rw": (0.38, 3.09, 12.74),
    "linear autoregression": (0.60, 5.96, 21.65),
    "NGC (cMLP)": (0.55, None, None),
    "GVAR": (0.37, 1.91, 12.41),
    "BTVC": (0.47, 2.07, 9.43),
    "LSTM": (0.58, 3.31, 15.78),
    "Wide & Deep": (0.25, None, None),
}
RIVALS = ("seasonal naive", "linear autoregression", "NGC (cMLP)", "GVAR", "BTVC", "LSTM", "Wide & Deep")


def by_method(content: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Results of the worlds by method, in the order in which they were asked for."""
    found: dict[str, list[dict[str, Any]]] = {}
    for result in content["worlds"].values():
        for method, one in result.items():
            found.setdefault(method, []).append(one)
    return found


def page(content: dict[str, Any]) -> str:
    """The study for people."""
    where, results = content["provenance"], by_method(content)
    horizons = [str(m) for m in content["horizons"]]
    lines = [
        "# Forecasts of GMV on simulated funnel shops",
        "",
        f"`{content['command']}`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}; {len(content['seeds'])} worlds, seeds "
        f"{', '.join(map(str, content['seeds']))}.",
        "",
        "Simulated data shaped like AirMMM (50 shops, 676 days); no AirMMM data are in them. Squared error of GMV, "
        "standardised per shop by the sd before the first test origin, mean over shops and "
        f"{len(content['test_origins'])} origins; mean and sd over worlds. Every method tried {content['budget']} "
        "settings (seasonal naive has no more) on the validation origins; the log of every try is in the JSON. "
        "Forecasters know the context and the planned spend of the days to come. The ablations have CausalMMM's "
        "settings. Published figures are of other data; the paper's linear Granger stands beside linear "
        "autoregression. InGRA (paper: .48 at M=1) has no forecast here.",
        "",
        "## Squared error",
        "",
        "| method | " + " | ".join(f"M={m}: mean | sum over M | published" for m in horizons) + " |",
        "|---" * (1 + 3 * len(horizons)) + "|",
    ]
    for method, worlds in results.items():
        cells = []
        for place, m in enumerate(horizons):
            for figure in ("mse_mean", "mse_sum"):
                cells.append(_mean_sd([w["figures"][m][figure] for w in worlds]))
            published = PUBLISHED.get(method, (None,) * 3)[place]
            cells.append("-" if published is None else f"{published:.2f}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines += ["", _verdict(results, horizons), "", "## Intervals of 90 %, and seconds", ""]
    lines += [
        "| method | "
        + " | ".join(f"M={m}: coverage | width" for m in horizons)
        + " | fit, CPU s | search, CPU s |",
        "|---" * (3 + 2 * len(horizons)) + "|",
    ]
    for method, worlds in results.items():
        if method == "oracle":
            continue
        cells = [
            _mean_sd([w["figures"][m][f] for w in worlds]) for m in horizons for f in ("coverage", "width")
        ]
        cells.append(f"{np.mean([w['fit_seconds'] for w in worlds]):.1f}")
        searched = [w["search_seconds"] for w in worlds if "search_seconds" in w]
        cells.append(f"{np.mean(searched):.0f}" if searched else "-")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _mean_sd(values: list[float]) -> str:
    spread = f" +- {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _verdict(results: dict[str, list[dict[str, Any]]], horizons: list[str]) -> str:
    """Who has the lowest error at each horizon, and in how many worlds CausalMMM is below its best rival."""
    said = []
    for m in horizons:
        mean = {k: np.mean([w["figures"][m]["mse_mean"] for w in v]) for k, v in results.items()}
        best = min((k for k in RIVALS if k in mean), key=mean.get)
        pairs = zip(results["CausalMMM"], results[best], strict=True)
        below = sum(a["figures"][m]["mse_mean"] < b["figures"][m]["mse_mean"] for a, b in pairs)
        said.append(
            f"M={m}: the best baseline is {best} ({mean[best]:.3f}), CausalMMM has {mean['CausalMMM']:.3f} and is "
            f"lower in {below} of {len(results[best])} worlds."
        )
    return " ".join(said)
