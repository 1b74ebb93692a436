"""The normal approximation against NUTS, and refits of it: near, quick to tell apart, never mistaken for a fit."""

from dataclasses import replace

import numpy as np
import pytest

from models.checks.convergence import check_convergence
from models.errors import PanelError
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.effects import compute_effects
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.refit import refit_hbmmm
from models.hbmmm.statistics import SufficientStatistics
from models.simulate.plasmode import InjectedEffect, PlasmodeConfig, inject_effects


def slopes(fit, panel):
    rows = compute_effects(fit, panel).channel
    chosen = (rows["estimand"] == "slope") & (rows["exposure_distribution"] == "panel_rows")
    return rows[chosen].set_index("channel_id")


@pytest.fixture(scope="module")
def statistics(small_fit):
    return SufficientStatistics.from_panel(small_fit[0])


def test_slopes_are_those_of_nuts_within_a_third_of_a_standard_deviation(small_fit):
    panel, _, fit, _ = small_fit
    config = replace(fit.config, inference="laplace", draws=500, effect_draws=1000)
    approximate = fit_hbmmm(SufficientStatistics.from_panel(panel), panel.characteristics, config)
    full, near = slopes(fit, panel), slopes(approximate, panel)
    assert ((near["mean"] - full["mean"]).abs() < full["standard_deviation"] / 3).all()
    assert (near["standard_deviation"] / full["standard_deviation"]).between(0.75, 1.33).all()


def test_no_check_lets_an_approximation_through(small_fit, statistics):
    refit = refit_hbmmm(small_fit[2], statistics)
    assert refit.is_approximate and not small_fit[2].is_approximate
    table = refit.diagnostics.set_index("parameter")
    assert table[["r_hat", "ess_bulk", "ess_tail"]].isna().all(axis=None)
    verdict = check_convergence(table["r_hat"], table["ess_bulk"], refit.divergences_count, refit.e_bfmi)
    assert verdict.passed is None
    assert slopes(refit, small_fit[0])[["r_hat", "ess"]].isna().all(axis=None)


def test_a_refit_of_the_same_data_says_the_same_and_of_other_data_does_not(small_fit, statistics):
    panel, _, fit, _ = small_fit
    same = slopes(refit_hbmmm(fit, statistics, imputations_count=2), panel)
    full = slopes(fit, panel)
    assert ((same["mean"] - full["mean"]).abs() < full["standard_deviation"] / 3).all()
    none = panel.with_exposures(np.random.default_rng(0).permutation(panel.exposures))
    shuffled = slopes(refit_hbmmm(fit, SufficientStatistics.from_panel(none)), none)
    assert (shuffled["interval_lower"] < 0).all() and (shuffled["interval_upper"] > 0).all()
    assert (full["mean"] - shuffled["mean"]).abs().max() > 3 * full["standard_deviation"].max()


def test_some_consumers_and_other_priors(small_fit, statistics):
    panel, _, fit, _ = small_fit
    some = refit_hbmmm(fit, statistics.subset(np.arange(0, 120, 2)))
    assert some.consumer_ids.tolist() == fit.consumer_ids[::2].tolist()
    assert some.completed[0].index.tolist() == fit.completed[0].index[::2].tolist()
    scales = ("row_sd", "slope_moderator_share", "market_slope_share", "consumer_slope_share")
    priors = replace(fit.config, **{f"prior_{name}": 1e-3 for name in scales})
    tight = refit_hbmmm(fit, statistics, config=priors)
    assert (slopes(tight, panel)["mean"].abs() < 0.2 * slopes(fit, panel)["mean"].abs()).all()


def test_strangers_are_refused(small_fit, statistics):
    renamed = replace(statistics, consumer_ids=np.array([f"x{i}" for i in range(120)], dtype=object))
    with pytest.raises(PanelError, match=r"120 consumers .* are not in the fit"):
        refit_hbmmm(small_fit[2], renamed)


def test_the_name_of_the_approximation_is_a_choice():
    with pytest.raises(ValueError, match="inference must be one of"):
        HBMMMConfig(inference="normal")


def hbmmm_tables(fit, panel):
    config = replace(fit.config, robust_errors=False)
    return compute_effects(refit_hbmmm(fit, SufficientStatistics.from_panel(panel), config=config), panel)


def test_an_injected_effect_is_the_difference_of_two_refits_by_channel_and_age_group(small_fit):
    """120 consumers pull groups together (18 and 6 dollars a first exposure): order and direction are judged."""
    panel, _, fit, _ = small_fit
    effects = (InjectedEffect("channel1", 12.0, bend=10.0),)
    keys = ["channel_id", "estimand", "exposure_distribution"]
    without, gains = hbmmm_tables(fit, panel), []
    for young, old in ((1.5, 0.5), (0.5, 1.5)):
        factors = (("<= 40", young), ("> 40", old), ("missing", 1.0))
        plasmode = inject_effects(
            panel, PlasmodeConfig(effects, "age", (40.0,), factors), np.random.default_rng(0)
        )
        with_ = hbmmm_tables(fit, plasmode.panel)
        rows = with_.channel.set_index(keys)
        truth = (
            plasmode.truth()
            .query("horizon == 'immediate' or estimand == 'contribution'")
            .set_index(keys)["value"]
        )
        difference = (rows["mean"] - without.channel.set_index(keys)["mean"]).reindex(truth.index)
        error = rows["standard_deviation"].reindex(truth.index)
        print(((difference - truth) / error).round(2).to_dict(), difference.round(2).to_dict())
        assert ((difference - truth) / error).abs().max() < 3
        for key in (("channel1", "slope", "panel_rows"), ("channel1", "contribution", "panel_rows")):
            assert truth[key] > 5 * error[key]  # given to the wrong channel, the effect would be noticed
        gains.append(age_slopes(with_) - age_slopes(without))
    print([g.round(2).to_dict() for g in gains])
    low, high = (next(g for g in gains[0].index if g.startswith(name)) for name in ("low", "high"))
    assert gains[0][low] > 1.25 * gains[0][high] and gains[1][high] > 1.25 * gains[1][low]


def age_slopes(tables):
    """Slope of channel1 by age segment of the model's table."""
    return tables.segment.query(
        "segment_name == 'age' and channel_id == 'channel1' and estimand == 'slope'"
        " and exposure_distribution == 'panel_rows'"
    ).set_index("segment_value")["mean"]
