"""The study of the paper's tables: its arithmetic on printed numbers, and its figures from tables alone."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.paper_journey_figures import exposure_sds, figure_3, figure_5, known_of
from benchmarks.paper_parts_page import criteria_lines, placebo_section, robustness_section, shown, table
from benchmarks.paper_published import TABLE_8, contradictions
from benchmarks.paper_world import CRITERIA, all_criteria, fit_panel
from models.baselines.market_bayes import MarketBayes
from models.figures.amounts_by_group import amounts_by_group
from models.figures.individual_effects import individual_effects
from models.figures.posterior_grid import posterior_grid
from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def found() -> dict:
    return {one.title: one.figures for one in contradictions()}


def test_what_the_printed_numbers_imply(found: dict):
    """Worked out by hand from Tables 5 to 8."""
    dollars = found["Intercept 2.487 and a mean of $127.84"]
    at_means = 2.487 + 0.042 * 12.37 + 0.035 * 45.63 + 0.058 * 3.82 + 0.029 * 6.41
    assert dollars["predictor at mean exposures"] == pytest.approx(at_means)
    assert dollars["variance of log amounts without noise"] == pytest.approx(4.97, abs=0.005)
    table_7 = found["RMSE and R2 of Table 7"]
    assert table_7["sd of the outcome implied by hbmmm"] == pytest.approx(78.24 / np.sqrt(0.316))
    assert table_7["cut in RMSE by the R2s"] == pytest.approx(1 - np.sqrt(0.316 / 0.479))
    assert table_7["cut in RMSE by the RMSEs"] == pytest.approx(1 - 78.24 / 112.36)
    rows = found["DIC and the size of the data"]["rows implied by the DIC of hbmmm"]
    assert rows * (np.log(2 * np.pi) + 2 * np.log(78.24) + 1) == pytest.approx(1_253_872)
    units = found["How precisely sigma_beta is known"]["units behind sigma_beta[tv]"]
    relative = (0.038 - 0.024) / (2 * 1.959964) / 0.031
    assert 1 / np.sqrt(2 * units) == pytest.approx(relative, rel=1e-6)
    assert found["The true ATE of Table 8"]["largest difference"] == 0
    assert {c: v[0] for c, v in TABLE_8.items()}["email"] == 0.058


def test_the_zero_inflated_log_normal_has_the_moments_it_was_solved_for(found: dict):
    figures = found["What distribution Tables 5 and 6 share"]
    zero = figures["share of months without a purchase"]
    mean, sd = figures["mean of log amounts when buying"], figures["their sd"]
    rng = np.random.default_rng(0)
    amounts = np.exp(mean + sd * rng.standard_normal(2_000_000)) * (rng.random(2_000_000) >= zero)
    assert amounts.mean() == pytest.approx(127.84, rel=0.005)
    assert amounts.std() == pytest.approx(215.63, rel=0.02)
    assert np.log1p(amounts).mean() == pytest.approx(2.487, rel=0.005)
    assert np.log1p(amounts).std() == pytest.approx(figures["sd of log1p amounts it implies"], rel=0.005)


def test_numbers_and_tables_of_the_page():
    assert [shown(v) for v in (None, 0.0412345, 12345.6, -0.5)] == ["-", "0.04123", "12,346", "-0.5"]
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |", "|---|---|", "| 1 | 2 |", ""]


def test_figures_are_drawn_from_tables_alone():
    rng = np.random.default_rng(3)
    draws = {"mu": rng.normal(size=(4, 50)), "sigma": np.abs(rng.normal(size=(4, 50)))}
    grid = posterior_grid(
        {"population": draws}, {"tv": draws["mu"], "email": draws["mu"] + 1}, {"mu": 0.0}, "USD"
    )
    ids = [f"c{i}" for i in range(40)]
    effects = pd.DataFrame(rng.normal(size=(40, 2)), index=ids, columns=["tv", "email"])
    known = pd.DataFrame({"age": np.append(rng.uniform(18, 80, 39), np.nan), "flat": 1.0}, index=ids)
    own = individual_effects(effects, known, "USD per exposure")
    amounts = pd.DataFrame({"group": ["old", "young"] * 30, "amount": rng.gamma(1.0, 50.0, 60) - 5.0})
    exposures = pd.DataFrame({"tv": [3.0, 2.0], "email": [1.0, 4.0]}, index=["young", "old"])
    by_group = amounts_by_group(amounts, exposures, "age group", "USD")
    for png in (grid, own, by_group):
        assert png.startswith(PNG) and 5_000 < len(png) < 300_000
    assert own == individual_effects(effects, known, "USD per exposure")


@pytest.fixture(scope="module")
def of_money():
    """A small panel in dollars and its fit, as a home has one: concave columns, strata of spend, gaps imputed."""
    config = ConsumerWorldConfig(
        consumers_count=150, markets_count=4, periods_count=10, pre_periods_count=2,
        channels=tuple(c for c in PAPER_CHANNELS if c.name in ("tv", "email")),
    )  # fmt: skip
    panel = simulate_consumers(config, np.random.default_rng(5)).to_panel()
    options = {"inference": "laplace", "chains": 2, "draws": 60, "effect_draws": 60, "imputations_count": 2}
    return panel, fit_panel(panel, options)


def test_figures_3_and_5_of_a_fit_in_money(of_money):
    panel, fit = of_money
    for png in (figure_3(fit, panel), figure_5(fit, panel)):
        assert png.startswith(PNG) and 5_000 < len(png) < 300_000
    tv = list(panel.channel_ids).index("tv")
    assert exposure_sds(panel)["tv"] == pytest.approx(panel.exposures[:, tv].std())
    assert len(known_of(panel)) == panel.consumers_count


def test_both_bayesian_models_have_criteria_or_a_reason(of_money):
    panel, fit = of_money
    found, missing = all_criteria(fit, MarketBayes().fit(panel), panel)
    assert set(found) | set(missing) == {"hbmmm", "market_bayes"} and not set(found) & set(missing)
    assert set(found["hbmmm"]) == set(CRITERIA)
    lines = criteria_lines({"criteria": {}, "criteria_missing": {"hbmmm": "other rows"}}, "rows")
    assert any("has none here: other rows" in line for line in lines)


def test_a_placebo_of_the_wrong_size_says_what_that_means():
    row = {
        "channel_id": "social", "actual_estimate": 0.02, "estimate": 0.003, "p_value": 0.005,
        "false_positive_rate": 0.1, "false_positive_rate_lower": 0.062, "false_positive_rate_upper": 0.15,
        "smallest_detectable_effect": 0.015, "passed": False, "replicates_count": 200,
    }  # fmt: skip
    text = "\n".join(placebo_section([row, row | {"channel_id": "tv", "passed": True}], "USD"))
    (social,) = [line for line in text.splitlines() if line.startswith("| social")]
    (tv,) = [line for line in text.splitlines() if line.startswith("| tv")]
    assert "in 10.0% of the refits instead of 5 %" in social and tv.endswith("| yes |")


def test_figure_6_names_the_channel_it_counts():
    facts = {
        "specifications": 9, "not_run": 1, "unit": "USD", "largest_channel": "tv", "largest_channel_in": 7,
        "same_order_in": 5, "all_positive_in": 9, "largest_shift_in_baseline_sds": {"tv": 1.0, "email": 0.5},
    }  # fmt: skip
    text = "\n".join(robustness_section(facts, "figure_6", ", here"))
    assert "tv, largest in the baseline, is largest in 7" in text and "order of all 2 channels" in text
