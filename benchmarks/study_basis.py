"""Which exposure columns recover effects from curves that bend elsewhere (`make study-basis`): bias, standard error.

The response of a simulated world is known row by row. Each basis is fitted within consumers to that response alone,
which gives its bias, and to purchases, whose consumer-clustered errors give its standard error. Own: which columns also
have an interaction with the consumer's own mean exposure.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import ROOT, provenance
from models.simulate.study_worlds import SEED

BENDS = (None, 3.0, 1.0, 0.5)  # of the world's curves, in mean exposures of a channel; None: linear
BASES = {"x": (0,), "log1p(x / bend)": (2,), "x, log1p(x)": (0, 1), "x, log1p(x / bend)": (0, 2)}
OWN = ("none", "x", "all")


def errors_of_world(bend: float | None, seed: int, consumers_count: int) -> list[dict[str, Any]]:
    """One row per basis, own and channel: relative bias and standard error of contribution and slope."""
    from models.simulate.consumer_truth import panel_rows, row_effects
    from models.simulate.consumers import simulate_consumers
    from models.simulate.study_worlds import WORLD_KINDS
    from models.transforms.concave import concave

    config = replace(WORLD_KINDS["confounded"].config, saturation_scale=bend, consumers_count=consumers_count)
    world = simulate_consumers(config, np.random.default_rng(seed))
    panel = world.to_panel()
    added, response = row_effects(world, *panel_rows(world))
    x, who = np.array(panel.exposures), panel.consumer_index

    def within(values: np.ndarray) -> np.ndarray:
        return values - panel.consumer_means(values)[who]

    own = panel.consumer_means(x)[who] / x.mean(axis=0) - 1.0
    columns = [x, np.log1p(x), concave(x, panel.exposure_bends)]
    steps = [
        np.ones_like(x),
        np.log1p(x + 1) - np.log1p(x),
        concave(x + 1, panel.exposure_bends) - columns[2],
    ]
    known = np.flatnonzero(response.sum(axis=0) > 0)
    outcome = within(panel.gmv[:, None])[:, 0]
    out = []
    for (name, chosen), interacted in itertools.product(BASES.items(), OWN):
        if interacted == "x" and 0 not in chosen:
            continue
        values, gains = [], []
        for i in chosen:
            values.append(columns[i])
            gains.append(steps[i])
            if interacted == "all" or (interacted == "x" and i == 0):
                values.append(columns[i] * own)
                gains.append(steps[i] * own)
        design = within(np.concatenate(values, axis=1))
        inverse = np.linalg.inv(design.T @ design)
        residual = outcome - design @ (inverse @ (design.T @ outcome))
        scores = np.stack([np.bincount(who, weights=v * residual) for v in design.T])
        covariance = inverse @ (scores @ scores.T) @ inverse
        channel = np.tile(np.arange(x.shape[1]), len(values))
        for c in known:
            clean = inverse @ (design.T @ within(response[:, [c]])[:, 0])
            row = {"bend": "linear" if bend is None else bend, "basis": name, "own": interacted}
            row |= {"channel_id": panel.channel_ids[c], "seed": seed}
            for estimand, parts, truth in (
                ("contribution", values, response[:, c].sum()),
                ("slope", gains, added[:, c].sum()),
            ):
                weights = np.where(channel == c, np.concatenate([v.sum(axis=0) for v in parts]), 0.0)
                row[f"{estimand}_bias"] = float(weights @ clean / truth - 1.0)
                row[f"{estimand}_error"] = float(np.sqrt(weights @ covariance @ weights) / truth)
            out.append(row)
    return out


def main() -> None:
    """Run the worlds, write basis.json and basis.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=4, help="of each curve")
    parser.add_argument("--consumers", type=int, default=4_000)
    arguments = parser.parse_args()
    seeds = [int(s) for s in np.random.SeedSequence([SEED, 9]).generate_state(arguments.worlds)]
    rows = []
    for bend, seed in itertools.product(BENDS, seeds):
        rows += errors_of_world(bend, seed, arguments.consumers)
        print(f"curve bends at {bend}, seed {seed}", flush=True)
    measures = [f"{e}_{m}" for e in ("contribution", "slope") for m in ("bias", "error")]
    keys = ["bend", "basis", "own"]
    frame = pd.DataFrame(rows)
    by_channel = frame.groupby([*keys, "channel_id"], sort=False)[measures].mean()
    table = pd.concat(
        [
            by_channel[[c for c in measures if c.endswith("bias")]].abs().groupby(keys, sort=False).max(),
            by_channel[[c for c in measures if c.endswith("error")]].groupby(keys, sort=False).mean(),
        ],
        axis=1,
    )[measures].reset_index()
    where = provenance()
    content = {
        "command": "make study-basis",
        "provenance": where,
        "seeds": seeds,
        "consumers": arguments.consumers,
        "table": table.to_dict("records"),
        "by_channel": by_channel.reset_index().to_dict("records"),
    }
    folder = ROOT / "docs" / "studies"
    (folder / "basis.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    lines = [
        "# Exposure columns",
        "",
        f"`make study-basis`, {where['date']}, commit {where['commit'][:10]}"
        f"{'' if where['tree_is_clean'] else ' with changes'}, {where['cores']} cores, "
        f"{where['memory_gib']} GiB; {arguments.worlds} worlds of {arguments.consumers:,} consumers a curve, "
        "confounded, with returns, joiners and leavers (models/simulate/study_worlds.py, other seeds).",
        "",
        "Largest bias over the channels of a fit without noise, and mean standard error of one with noise, both "
        "relative to the truth; least squares within consumers. Bend: exposures at which the world's curves visibly "
        "bend, in mean exposures of a channel; the basis has its own (models/transforms/concave.py).",
        "",
        "| curve bends at | columns | times own mean | contribution: bias | error | one more exposure: bias | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.itertuples(index=False):
        shown = " | ".join(f"{100 * getattr(row, m):.0f} %" for m in measures)
        lines.append(f"| {row.bend} | {row.basis} | {row.own} | {shown} |")
    (folder / "basis.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
