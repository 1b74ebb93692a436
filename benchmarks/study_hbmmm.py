"""Tables 5 to 8, Figures 3 to 6 of Ni et al. 2023: simulated worlds, Complete Journey (`make study-hbmmm`)."""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, provenance
from benchmarks.paper_page import page
from benchmarks.paper_published import contradictions
from benchmarks.paper_world import plain
from models.simulate.study_worlds import SEED

NAME = "hbmmm_paper"
MODEL = {"basis": "linear", "include_period_effects": "none", "inference": "nuts", "seed": SEED}


def main() -> None:
    """Run the parts and write docs/studies/hbmmm_paper.md, .json and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consumers", type=int, default=2000, help="consumers of the bulk world")
    parser.add_argument("--people", type=int, default=6000, help="consumers of the world with segments")
    parser.add_argument("--draws", type=int, default=1000, help="kept draws a chain of every fit")
    parser.add_argument("--replicates", type=int, default=200, help="reassignments behind Table 8")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--home", default="", help="a home with a refresh of Complete Journey; empty: left out"
    )
    parser.add_argument(
        "--part",
        choices=("all", "simulated", "complete_journey"),
        default="all",
        help="complete_journey: added to the page of an earlier run",
    )
    parser.add_argument("--households", type=int, default=600, help="households of its Tables 7 and 8")
    parser.add_argument(
        "--output", default="docs/studies", help="folder of the page, from the repository's root"
    )
    options = parser.parse_args()
    folder = ROOT / options.output
    if options.part == "complete_journey" and not options.home:
        parser.error("--part complete_journey needs --home: a home that make run has filled")
    begun = time.perf_counter()

    def tell(text: str) -> None:
        print(f"[{time.perf_counter() - begun:6.0f} s] {text}", flush=True)

    if options.part == "complete_journey":
        content, pictures = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8")), {}
    else:
        content = {"command": command(options), "provenance": provenance(), "seed": SEED}
        content |= {k: getattr(options, k) for k in ("consumers", "people", "draws", "replicates")}
        content["contradictions"] = [plain(asdict(one)) for one in contradictions()]
        found, pictures = simulated(options, tell)
        content |= found
        if (
            not options.home and (folder / f"{NAME}.json").exists()
        ):  # Complete Journey stays, with its own commit
            before = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))
            content |= {k: before[k] for k in ("complete_journey",) if k in before}
        content["simulated_seconds"] = round(time.perf_counter() - begun, 1)
        write(folder, content, pictures)
    if options.part != "simulated" and options.home:
        from benchmarks.paper_complete_journey import run

        start = time.perf_counter()
        journey = {"provenance": provenance(), "command": command(options)}
        found, more = run(
            options.home, options.households, options.replicates, options.draws, options.processes, tell
        )
        journey |= found
        journey["seconds"] = round(time.perf_counter() - start, 1)
        content["complete_journey"] = journey
        write(folder, content, pictures | more)
    tell(f"written to {folder}")


def write(folder: Path, content: dict[str, Any], pictures: dict[str, bytes]) -> None:
    """The study so far: a page, its figures and the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (folder / f"{NAME}_{name}.png").write_bytes(png)
    (folder / f"{NAME}.json").write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")
    (folder / f"{NAME}.md").write_text(page(plain(content)), encoding="utf-8")


def command(options: argparse.Namespace) -> str:
    """What repeats this run, without the place of the home."""
    home = " HOME_DIR=<home of a Complete Journey run>" if options.home else ""
    part = "" if options.part == "all" else f' folder="--part {options.part}"'
    return f"make study-hbmmm REPLICATES={options.replicates}{home}{part}"


def simulated(options: argparse.Namespace, tell: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Everything on the two simulated worlds: results by name, pictures by name."""
    from benchmarks import paper_people as people
    from benchmarks import paper_world as world
    from models.evaluation.paper_panel import paper_panel
    from models.evaluation.splits import rolling_origin_splits

    config, months = world.world(options.consumers, SEED)
    panel = paper_panel(months)
    split = rolling_origin_splits(panel, horizon=world.HELD_OUT)[0]
    drawn, fitted = people.people(options.people, SEED)
    tell(f"three fits: {options.consumers:,} consumers, their first months, {options.people:,} people")
    jobs = [
        (panel, MODEL | {"draws": options.draws, "effect_draws": 1000}),
        (fitted, MODEL | {"draws": options.draws, "effect_draws": 400}),
        (split.train, MODEL | {"draws": options.draws, "effect_draws": 400}),
    ]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        fit, of_people, trained = pool.map(world.fit_panel, *zip(*jobs, strict=True))
    tell("Tables 5 and 6, Figures 3 to 5")
    found: dict[str, Any] = {
        "table_5": people.table_5(months, drawn),
        "table_6": world.table_6(fit),
        "sampler": world.diagnostics_of(fit),
        "segments": people.segments(of_people, fitted, drawn),
        "learned_share": dict(
            zip(of_people.design.modelled_channels, of_people.learned_share[:, 1:].mean(axis=0), strict=True)
        ),
        "segments_sampler": world.diagnostics_of(of_people),
    }
    pictures = {
        "figure_3": world.figure_3(fit, panel, months),
        "figure_4": people.figure_4(drawn),
        "figure_5": people.figure_5(of_people, fitted, drawn),
    }
    found["table_7"] = world.table_7(split, trained, config, months, tell)
    found["figure_6"], pictures["figure_6"] = world.robustness(
        fit, panel, tell, world.SDS, "log points per sd of exposures"
    )
    found["table_8"] = world.table_8(fit, panel, options.replicates, options.processes, tell, world.SDS)
    return found, pictures


if __name__ == "__main__":
    main()
