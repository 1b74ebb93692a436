"""Pages of the CausalMMM study: rows measured anew replace their own kind alone, and what they say is in the tables."""

import json

import pytest

from benchmarks import causalmmm_graph_methods as methods
from benchmarks import study_causalmmm_sweeps
from benchmarks.causalmmm_graphs_page import RELIABILITY_PICTURE, SHOPS_PICTURE, page, pictures
from benchmarks.causalmmm_published import PAPER
from benchmarks.kept_rows import with_kept_rows, write_study
from benchmarks.study_causalmmm_funnel import summary as funnel_summary
from benchmarks.study_causalmmm_funnel import true_edges
from benchmarks.study_causalmmm_graphs import summary
from benchmarks.study_causalmmm_timing import sizes_of, verdicts
from benchmarks.study_causalmmm_training import mean_curve
from models.simulate.shop_studies import FUNNEL_KIND, SHOPS_KINDS

SCORES = {
    "auroc_pooled": 0.9, "auroc_per_shop": 0.91, "accuracy": 0.8, "all_absent": 0.7, "brier": 0.1,
    "calibration_error": 0.02,
}  # fmt: skip


@pytest.fixture(autouse=True)
def run(monkeypatch):
    where = {
        "date": "2026-11-22",
        "commit": "0123456789ab",
        "tree_is_clean": True,
        "cores": 2,
        "load_average": 1.0,
    }
    monkeypatch.setattr("benchmarks.kept_rows.provenance", lambda: where)
    monkeypatch.setattr("sys.argv", ["study", "--worlds", "2"])


def result(auroc: float = 0.9) -> dict:
    bins = [{"lowest": 0.9, "stated": 0.95, "observed": 0.9, "pairs_count": 10}]
    structures = {"structures_found": 5.0, "structures_true": 5.0, "adjusted_rand_index": 1.0}
    return {
        "scores": SCORES | {"auroc_pooled": auroc}, "seconds": 2.0, "reliability": bins, "structures": structures,
    }  # fmt: skip


def test_rows_are_replaced_by_their_keys_and_runs_nobody_refers_to_go(tmp_path):
    path = tmp_path / "study.json"

    def measured(*rows):
        content = with_kept_rows(path, rows, ("kind",), "study PARTS=x", 0.0)
        write_study(path, content, "page")
        return content

    measured({"kind": "a", "value": 1}, {"kind": "b", "value": 1})
    both = measured({"kind": "b", "value": 2})
    assert [(r["kind"], r["value"], r["run"]) for r in both["table"]] == [("a", 1, 0), ("b", 2, 1)]
    assert len(both["runs"]) == 2 and both["runs"][1]["command"] == 'make study PARTS=x STUDY="--worlds 2"'
    last = measured({"kind": "a", "value": 3}, {"kind": "b", "value": 3})
    assert len(last["runs"]) == 1 and {r["run"] for r in last["table"]} == {0}
    assert path.with_suffix(".md").read_text() == "page" and json.loads(path.read_text()) == last
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_graph_page_has_figures_of_each_row_the_papers_and_the_bounds(tmp_path):
    jobs = {
        f"{k} {s} {m}": (k, s, m) for k in ("sim2", "sim2_N10") for m in ("classical", "gvar") for s in (1, 2)
    }
    found = {key: result(0.9 if job[1] == 1 else 1.0) for key, job in jobs.items()}
    found["sim2 1 gvar"] = found["sim2 2 gvar"] = {"refused": "too few rows"}
    rows = summary(jobs, found)
    content = with_kept_rows(tmp_path / "none.json", rows, ("kind", "method"), "study PARTS=graphs", 0.0)
    content["kinds"] = {name: kind.description for name, kind in SHOPS_KINDS.items()}
    text = page(content)
    classical = methods.METHODS["classical"]
    assert f"| {classical} | 0.950 +- 0.071 | 0.910 +- 0.000 | 0.800 +- 0.000 | 0.700 |" in text
    assert "| GVAR | does not run: too few rows | | | | | | 0.784 / 0.859 | 0 | 1 |" in text
    assert "| level paper (the published network) | not measured | | | | | | 0.892 / 0.903 | | |" in text
    assert "number of structures right in 100% of the worlds" in text
    assert (
        "| AUROC | classical, sim2 | 0.95 +- 0.05 | at least 0.995, mean of 5 worlds or more | not evaluated |"
        in text
    )
    assert "ECE 0.0500" in text  # .95 stated, .9 observed
    shops = {name: kind.config.shops_count for name, kind in SHOPS_KINDS.items()}
    assert set(pictures(content["table"], shops)) == {SHOPS_PICTURE, RELIABILITY_PICTURE}


def test_every_method_and_published_row_has_a_place_and_every_kind_a_measurement():
    assert set(PAPER) == set(methods.TABLE_KINDS)
    assert all(name in methods.METHODS or name == "InGRA" for rows in PAPER.values() for name in rows)
    for kind in SHOPS_KINDS:
        assert methods.is_measured(kind, "classical") and methods.is_measured(kind, "mediamix")
    assert all(
        methods.is_measured(kind, name) for kind in PAPER for name in PAPER[kind] if name in methods.METHODS
    )
    assert not methods.is_measured("sim1_dense", "paper") and methods.is_measured("sim2_T30", "paper, CM-rw")
    assert set(methods.SHOPS_KINDS_OF_FIGURE_4) < set(SHOPS_KINDS)


def test_levels_are_asked_with_the_settings_of_their_names(monkeypatch):
    asked = {}
    for name, place in (("fit_mediamix", "mediamix"), ("fit_paper", "paper"), ("fit_classical", "classical")):
        monkeypatch.setattr(
            f"models.causalmmm.{place}.{name}", lambda panel, config, name=name: asked.update({name: config})
        )
    methods.fitted_level("paper, CM-markov", 5, None)
    assert asked["fit_paper"].variant == "markov"
    methods.fitted_level("pure ELBO", 5, None, all_epochs=True)
    free = asked["fit_mediamix"]
    assert (free.encoder, free.lags, free.variant, free.training.holdout_share) == (
        "free",
        5,
        "causalmmm",
        0.0,
    )
    methods.fitted_level("mediamix, CM-rw", 5, None)
    assert (asked["fit_mediamix"].encoder, asked["fit_mediamix"].variant) == ("evidence", "rw")
    assert asked["fit_mediamix"].training.holdout_share > 0
    methods.fitted_level("classical, shops alone", 5, None)
    assert not asked["fit_classical"].share_structures and asked["fit_classical"].lags_count == 5


def test_training_curves_average_the_worlds_that_still_trained():
    first = [{"epoch": e, "loss": 2.0, "holdout": None, "auroc": None} for e in (1, 2)]
    second = [{"epoch": 1, "loss": 4.0, "holdout": 1.0, "auroc": 0.7}]
    assert mean_curve([first, second]) == [
        {"epoch": 1.0, "loss": 3.0, "holdout": 1.0, "auroc": 0.7, "worlds": 2.0},
        {"epoch": 2.0, "loss": 2.0, "holdout": None, "auroc": None, "worlds": 1.0},
    ]


def test_sweeps_average_worlds_by_level_and_value(tmp_path):
    jobs = {
        f"{lv} {v} {s}": (lv, "lambda", v, s)
        for lv in study_causalmmm_sweeps.LEVELS
        for v in (1.0, 10.0)
        for s in (1, 2)
    }
    found = {
        key: {"auroc": 0.6 + 0.2 * (job[3] == 2), "accuracy": 0.9, "seconds": 3.0}
        for key, job in jobs.items()
    }
    rows = study_causalmmm_sweeps.summary(jobs, found)
    keys = ("method", "parameter", "value")
    content = with_kept_rows(tmp_path / "none.json", rows, keys, "study PARTS=sweeps", 0.0)
    text = study_causalmmm_sweeps.page(content)
    assert "| paper | lambda | 10 | 0.700 +- 0.141 | 0.900 +- 0.000 | 3.0 | 2 | 1 |" in text
    assert study_causalmmm_sweeps.picture(content["table"]).startswith(b"\x89PNG")


def test_growth_is_judged_of_our_levels_and_the_large_panel_by_the_wall():
    assert sizes_of("gvar", (25, 50), (60,)) == [("shops", 25, 120), ("shops", 50, 120)]
    assert sizes_of("classical", (25,), (60,)) == [("shops", 25, 120), ("periods", 50, 60)]
    table = [
        {
            "method": m,
            "parameter": "shops",
            "shops": n,
            "periods": 120,
            "cpu_seconds": n**p,
            "wall_seconds": 1.0,
        }
        for m, p in (("classical", 1.0), ("mediamix", 1.5), ("gvar", 2.0))
        for n in (25, 400)
    ]
    table.append({"method": "classical", "parameter": "large", "cpu_seconds": 2000.0, "wall_seconds": 800.0})
    found = {(one.criterion, one.subject): one.passed for one in verdicts(table)}
    assert found == {
        ("power of shops in CPU seconds", "classical"): True,
        ("power of shops in CPU seconds", "mediamix"): False,
        ("wall seconds of 1,000 shops x 676 days", "classical"): True,
    }


def test_the_drawn_shops_edges_are_those_of_its_graph():
    seed = FUNNEL_KIND.seeds(1)[0]
    world = FUNNEL_KIND.draw(seed).world
    edges = true_edges(seed)
    assert len(edges) == world.graph[0].sum() and all(weight == 1.0 for *_, weight in edges)
    row = funnel_summary("gvar", [{"refused": "too few rows"}])
    assert row == {"method": "gvar", "worlds": 0, "why": "too few rows"}
