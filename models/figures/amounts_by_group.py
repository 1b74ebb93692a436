"""Purchase amounts and exposures by group of consumers (Ni et al. 2023, Figure 4)."""

import numpy as np
import pandas as pd

from models.figures.drawing import PALETTE, new_figure, to_png

TICKS = (0, 1, 10, 100, 1_000, 10_000, 100_000)


def amounts_by_group(amounts: pd.DataFrame, exposures: pd.DataFrame, group_name: str, currency: str) -> bytes:
    """Violins with boxes of the amount of a consumer-period, and stacked mean exposures, by group.

    amounts: columns group and amount, groups in the order they first occur in `exposures`. exposures: index group,
    a column for each channel: mean exposures of a consumer-period. Amounts are drawn on the scale log(1 + amount);
    negative ones are drawn at 0.
    """
    groups = list(exposures.index)
    values = [
        np.log1p(amounts.loc[amounts["group"] == g, "amount"].to_numpy(dtype=float).clip(min=0.0))
        for g in groups
    ]
    figure, axes = new_figure(7.5, 6.4, rows=2)
    top, bottom = axes[:, 0]
    positions = np.arange(len(groups))
    drawn = top.violinplot(values, positions, widths=0.85, showextrema=False, points=120)
    for number, body in enumerate(drawn["bodies"]):
        body.set_facecolor(PALETTE[number % len(PALETTE)])
        body.set_alpha(0.55)
    top.boxplot(
        values, positions=positions, widths=0.14, showfliers=False, patch_artist=True, manage_ticks=False,
        boxprops={"facecolor": "white", "linewidth": 0.8}, medianprops={"color": "black"},
        whiskerprops={"linewidth": 0.8}, capprops={"linewidth": 0.8},
    )  # fmt: skip
    most = max(v.max() for v in values if len(v))
    ticks = [t for t in TICKS if np.log1p(t) <= most * 1.05]
    top.set_yticks(np.log1p(ticks), [f"{t:,}" for t in ticks])
    top.set_ylabel(f"{currency} of a consumer-period", fontsize=8)
    labels = [f"{g}\n({len(v):,} rows)" for g, v in zip(groups, values, strict=True)]
    top.set_xticks(positions, labels, fontsize=8)
    channels = list(exposures.columns)
    bottom.stackplot(
        positions,
        exposures.to_numpy(dtype=float).T,
        labels=channels,
        colors=PALETTE[: len(channels)],
        alpha=0.85,
    )
    bottom.set_xticks(positions, groups, fontsize=8)
    bottom.set_ylabel("mean exposures of a consumer-period", fontsize=8)
    bottom.set_xlabel(group_name, fontsize=8)
    bottom.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(f"Amounts and exposures by {group_name}", fontsize=10, x=0.01, ha="left")
    return to_png(figure)
