"""Robustness suite: every specification has rows or a reason, shifts are those put in, weights agree with refits."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.checks.interactions import strongest_pairs, with_interaction
from models.checks.reweighting import K_HAT_MOST, reweight
from models.checks.robustness import COLUMNS, compare, robustness_checks, weighted_summary
from models.checks.specifications import alternative_priors, specifications
from models.errors import PanelError
from models.figures.robustness import robustness_heatmap
from models.hbmmm.refit_effects import refit_channel_effects

BASE = ("baseline", "posterior")


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def table(small_fit, told):
    return robustness_checks(
        small_fit[2],
        small_fit[0],
        interactions=(("age", "plan"), ("age", "shoe size")),
        markets_left_out=1,
        progress=lambda text, share: told.append((text, share)),
    )


def test_every_specification_has_a_row_a_channel_and_estimand(table, told):
    assert tuple(table.columns) == COLUMNS
    key = ["specification_kind", "specification", "channel_id", "estimand"]
    assert not table.duplicated(key).any()
    assert set(table.groupby(key[:2]).size()) == {4}  # two channels, two estimands
    assert {
        "baseline", "prior", "correlation", "subsample", "split", "market", "imputation", "covariate", "period",
        "basis", "interaction", "panel_end", "posterior", "prior_reweighted",
    } == set(table["specification_kind"])  # fmt: skip
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_numbers_or_a_reason_never_neither_and_never_both(table):
    assert (table["mean"].notna() == table["reason"].isna()).all()
    holds = table[["sign_holds", "order_holds", "interval_holds_baseline"]]
    assert (holds.notna().all(axis=1) == table["mean"].notna()).all()
    reasons = table[table["reason"].notna()].set_index("specification")["reason"].to_dict()
    assert reasons["padded panels"] == "not evaluated: no padded panel was given"
    assert reasons["age x shoe size"] == (
        "not evaluated: the model has no characteristic shoe size; it has age, plan."
    )


def test_the_baseline_is_compared_with_itself(table):
    base = table[table["specification_kind"].isin(BASE)]
    assert (base["difference"] == 0).all()
    assert base[["sign_holds", "order_holds", "interval_holds_baseline"]].all(axis=None)


def test_a_channel_with_an_effect_keeps_sign_and_order_everywhere(table):
    real = table[(table["channel_id"] == "channel0") & table["mean"].notna()]
    assert real["sign_holds"].all() and real["order_holds"].all()


def test_only_parts_of_the_data_have_a_chance_of_their_own(table):
    has_chance = table.groupby("specification_kind")["chance_standard_deviation"].apply(
        lambda s: s.notna().any()
    )
    assert set(has_chance[has_chance].index) == {"subsample", "split", "market"}


def test_halves_differ_from_the_whole_by_what_chance_gives(small_fit):
    """Known truth: random halves of one population. Their z-scores spread as their chance says, about 1."""
    panel, _, fit, _ = small_fit
    whole, scores = None, []
    for seed in range(20):
        reseeded = replace(fit, config=replace(fit.config, seed=seed))
        chosen = specifications(reseeded, panel)
        if whole is None:
            whole = _slopes(fit, chosen[0].build())
        for one in (s for s in chosen if s.kind == "subsample"):
            found = compare(_slopes(fit, one.build()), whole, is_part=True)
            scores.append(found["difference"] / found["chance_standard_deviation"])
    spread = float(np.sqrt(np.mean(np.square(scores))))
    print("root mean square of 80 z-scores:", round(spread, 2))
    assert 0.6 < spread < 1.5


def test_a_specification_that_matters_shows(small_fit):
    """Negative control: a prior that allows no effect moves the real channel by many standard deviations."""
    panel, _, fit, _ = small_fit
    baseline = specifications(fit, panel)[0].build()
    scales = ("row_sd", "slope_moderator_share", "market_slope_share", "consumer_slope_share")
    tight = replace(fit.config, **{f"prior_{name}": 1e-3 for name in scales})
    moved = compare(_slopes(fit, replace(baseline, config=tight)), _slopes(fit, baseline))
    real = moved.set_index("channel_id").loc["channel0"]
    assert real["difference"] < -2.0 and real["interval_holds_baseline"] is False


def _slopes(fit, given) -> pd.DataFrame:
    effects = refit_channel_effects(
        fit,
        given.statistics,
        given.panel,
        config=given.config,
        design=given.design,
        completed=given.completed,
    )
    chosen = (effects["estimand"] == "slope") & (effects["exposure_distribution"] == "panel_rows")
    return effects[chosen].reset_index(drop=True)


def test_weights_of_the_same_prior_are_equal_and_of_a_near_one_agree_with_its_refit(small_fit, table):
    fit = small_fit[2]
    same = reweight(fit, fit.config)
    assert same.is_reliable and np.ptp(same.weights) == 0 and same.weights.sum() == pytest.approx(1.0)
    rows = table[table["specification"] == "market_slope_share halved"].set_index(["channel_id", "estimand"])
    refit, weighed = (rows[rows["specification_kind"] == kind] for kind in ("prior", "prior_reweighted"))
    gap = (refit["difference"] - weighed["difference"]).abs()
    assert (gap < 0.3 * refit["standard_deviation"]).all()


def test_weights_that_cannot_carry_another_prior_say_so(small_fit, table):
    fit = small_fit[2]
    far = replace(fit.config, prior_intercept_sd=0.01, prior_intercept_moderator_sd=0.01, prior_row_sd=0.01)
    result = reweight(fit, far)
    assert result.k_hat > K_HAT_MOST and not result.is_reliable
    weighed = table[table["specification_kind"] == "prior_reweighted"]
    assert weighed["k_hat"].notna().all()
    assert (weighed["mean"].notna() == (weighed["k_hat"] < K_HAT_MOST)).all()
    refused = weighed[weighed["mean"].isna()]
    assert all(
        re.match(r"not evaluated: k-hat \d\.\d\d is not below 0\.7", text) for text in refused["reason"]
    )


def test_weighted_numbers_by_hand():
    values = np.array([[0.0], [1.0], [2.0]])
    found = weighted_summary(values, np.array([0.0, 0.5, 0.5]), np.array([2.0]), 0.5)
    assert found["mean"] == 1.5 and found["standard_deviation"] == pytest.approx(
        1.0
    )  # sd 0.5, stretched by 2
    assert found["interval_lower"] == pytest.approx(0.5) and found["interval_upper"] == pytest.approx(2.5)


def test_interactions_are_products_of_what_each_makes_of_the_level(small_fit):
    fit = small_fit[2]
    assert strongest_pairs(fit, 3) == (("age", "plan"),) or strongest_pairs(fit, 3) == (("plan", "age"),)
    characteristics, completed = with_interaction(fit, "age", "plan")
    assert [c.name for c in characteristics[-1:]] == ["age x plan"]
    product = completed[0]["age x plan"]
    by_plan = {plan: np.corrcoef(product[rows], completed[0]["age"][rows])[0, 1] for plan, rows in
               completed[0].groupby("plan").groups.items()}  # fmt: skip
    assert all(abs(r) > 0.999 for r in by_plan.values()) and np.prod(list(by_plan.values())) < 0
    with pytest.raises(PanelError, match="has no characteristic income"):
        with_interaction(fit, "age", "income")


def test_priors_are_changed_one_at_a_time(small_fit):
    config = small_fit[2].config
    for name, other in alternative_priors(config).items():
        changed = {f for f in config.as_dict() if getattr(config, f) != getattr(other, f)}
        assert (len(changed) == 1) == (not name.startswith("all")), name
        factors = {getattr(other, f) / getattr(config, f) for f in changed}
        assert factors == ({0.5} if name.endswith("halved") else {2.0})


def test_a_padded_panel_without_further_rows_is_not_a_specification(small_fit):
    panel, _, fit, _ = small_fit
    padded = specifications(fit, panel, padded_panel=panel)[-1]
    with pytest.raises(PanelError, match="nothing to pad"):
        padded.build()


def test_the_heatmap_is_a_picture_of_the_rows(table):
    png = robustness_heatmap(table)
    assert png.startswith(b"\x89PNG") and len(png) < 300_000
    assert robustness_heatmap(table) == png
    assert robustness_heatmap(table, "att_exposed") != png
    few = table[table["specification"].isin(["baseline", "padded panels", "linear exposure"])]
    assert robustness_heatmap(few).startswith(b"\x89PNG")  # too few for a tree
    odd = table.replace({"channel0": "$x^{", "second completed data set": "without market $\\frac$"})
    assert robustness_heatmap(odd).startswith(b"\x89PNG")
    nothing = table.assign(mean=np.nan)
    assert robustness_heatmap(nothing).startswith(b"\x89PNG")


def test_the_order_of_the_heatmap_puts_like_beside_like(table):
    from models.figures.robustness import _clustered

    shifts = pd.DataFrame({"a": [0.0, 5.0, 0.1, 5.1, np.nan]}, index=["w", "x", "y", "z", "none"])
    order, linkage = _clustered(shifts)
    assert order[0] == "none" and len(linkage) == 3
    assert {frozenset(order[1:3]), frozenset(order[3:5])} == {frozenset("wy"), frozenset("xz")}
