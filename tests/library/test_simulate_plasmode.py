"""Plasmodes: the injected truth is what it says, and estimators find the difference it makes, nothing else."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.effects.within import within_effects
from models.errors import PanelError
from models.simulate.plasmode import InjectedEffect, PlasmodeConfig, consumer_groups, inject_effects

MULTIPLIERS = (("<= 40", 1.5), ("> 40", 0.5), ("missing", 1.0))
EFFECTS = (InjectedEffect("channel0", 6.0, bend=4.0), InjectedEffect("channel1", 3.0, bend=8.0))
BY_AGE = PlasmodeConfig(EFFECTS, "age", (40.0,), MULTIPLIERS)
CARRIED = PlasmodeConfig((InjectedEffect("channel0", 6.0, bend=4.0, decay=0.6), EFFECTS[1]))


@pytest.fixture(scope="module")
def panel(money_panel):
    """300 consumers, 10 months, 3 channels, ages missing for one in five."""
    return money_panel(300, 10, 4, 3, seed=11, missing_share=0.2, log_rate=-0.3)[0]


def inject(panel, config, seed=0):
    return inject_effects(panel, config, np.random.default_rng(seed))


def value(truth, channel, estimand="contribution", segment="all", horizon="total", distribution="panel_rows"):
    rows = truth.query(
        "channel_id == @channel and estimand == @estimand and segment_value == @segment and horizon == @horizon"
        " and exposure_distribution == @distribution"
    )
    assert len(rows) == 1
    return rows["value"].item()


def brute_dollars(panel, config, exposures_by_channel):
    """(R, C) expected dollars, row by row in plain Python, for (N, calendar) exposures of each channel."""
    out = np.zeros((panel.rows_count, len(panel.channel_ids)))
    effects = {e.channel_id: e for e in config.effects}
    factors, ages = dict(config.multipliers), panel.characteristics["age"].to_numpy()
    for row in range(panel.rows_count):
        i, t = panel.consumer_index[row], panel.calendar_index[row]
        group = "missing" if np.isnan(ages[i]) else "<= 40" if ages[i] <= 40 else "> 40"
        factor = factors[group] if config.characteristic else 1.0
        for c, channel in enumerate(panel.channel_ids):
            if channel in effects:
                e = effects[channel]
                a = sum(e.decay**lag * exposures_by_channel[c][i, t - lag] for lag in range(t + 1))
                out[row, c] = factor * e.amount * e.bend * np.log1p(a / e.bend)
    return out


@pytest.mark.parametrize("config", [BY_AGE, CARRIED], ids=["by age", "carried over"])
def test_expected_dollars_and_slopes_are_those_of_the_formula(panel, config):
    histories = [panel.exposures_by_calendar(c) for c in range(3)]
    plasmode = inject(panel, config)
    np.testing.assert_allclose(plasmode.expected, brute_dollars(panel, config, histories), atol=1e-10)
    for row in (0, 57, 1203):  # one more exposure in this row: the formula evaluated anew, everywhere
        i, t = panel.consumer_index[row], panel.calendar_index[row]
        for c in range(3):
            more = [h.copy() for h in histories]
            more[c][i, t] += 1
            change = brute_dollars(panel, config, more) - plasmode.expected
            assert plasmode.slope_immediate[row, c] == pytest.approx(change[row, c])
            assert plasmode.slope_total[row, c] == pytest.approx(change.sum())


def test_truth_is_sums_and_means_over_rows_of_each_group(panel):
    plasmode = inject(panel, BY_AGE)
    everybody, by_group = plasmode.truth(), plasmode.truth(plasmode.groups)
    inside = (plasmode.groups == "> 40")[panel.consumer_index]
    assert value(everybody, "channel0") == pytest.approx(plasmode.expected[:, 0].sum())
    assert value(by_group, "channel0", segment="> 40") == pytest.approx(plasmode.expected[inside, 0].sum())
    assert value(by_group, "channel1", "slope", "> 40") == pytest.approx(
        plasmode.slope_total[inside, 1].mean()
    )
    weighted = np.average(plasmode.slope_immediate[inside, 1], weights=panel.exposures[inside, 1])
    found = value(by_group, "channel1", "slope", "> 40", "immediate", "exposure_weighted")
    assert found == pytest.approx(weighted)
    parts = by_group.query("estimand == 'contribution'").groupby("channel_id")[["value", "realised"]].sum()
    whole = everybody.query("estimand == 'contribution'").set_index("channel_id")
    np.testing.assert_allclose(parts, whole.loc[parts.index, ["value", "realised"]])
    assert value(everybody, "channel2") == 0 and value(everybody, "channel2", "slope") == 0


def test_realised_purchases_average_to_the_expectation_and_are_the_households_own(panel):
    drawn = np.stack([inject(panel, BY_AGE, seed).realised for seed in range(200)])
    expected = inject(panel, BY_AGE).expected
    totals = drawn.sum(axis=1)
    error = totals.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    z = (totals.mean(axis=0) - expected.sum(axis=0))[:2] / error[:2]
    assert (np.abs(z) < 3.5).all() and (np.abs(z) > 0).all()
    assert (error[:2] < 0.01 * expected.sum(axis=0)[:2]).all()  # the test can see an error of 4 %
    assert (drawn[..., 2] == 0).all()
    amounts = panel.gmv
    row = int(np.argmax(amounts))  # one household bought once, so that this is the only amount there is
    extra = inject(replace(panel, gmv=np.where(amounts == amounts[row], amounts, 0.0)), BY_AGE).realised
    assert extra.any() and np.allclose(extra / amounts[row], np.round(extra / amounts[row]))


def test_without_an_amount_nothing_changes(panel):
    for config in (
        PlasmodeConfig(()),
        PlasmodeConfig((InjectedEffect("channel0", 0.0, decay=0.5),)),
        replace(BY_AGE, multipliers=tuple((g, 0.0) for g, _ in MULTIPLIERS)),
    ):
        plasmode = inject(panel, config)
        assert plasmode.panel.gmv.tobytes() == panel.gmv.tobytes()
        assert not plasmode.expected.any() and not plasmode.truth()["value"].any()


def test_only_gmv_changes_and_only_where_there_is_exposure(panel):
    plasmode = inject(panel, BY_AGE)
    for name in ("consumer_index", "period_index", "exposures", "covariates", "exposure_events"):
        assert getattr(plasmode.panel, name) is getattr(panel, name)
    changed = plasmode.panel.gmv != panel.gmv
    assert changed.any() and (panel.exposures[changed][:, :2].sum(axis=1) > 0).all()
    assert (plasmode.panel.gmv >= panel.gmv).all()


def within_difference(plasmode, panel):
    """With minus without, by (channel, estimand), on the adstock that the effects act on, and its error with."""
    tables = [
        within_effects(p.with_exposures(plasmode.adstock))
        .query("exposure_distribution == 'panel_rows'")
        .set_index(["channel_id", "estimand"])["mean"]
        for p in (plasmode.panel, panel)
    ]
    return tables[0] - tables[1]


def known_truth(plasmode, index):
    """Truth of a plasmode in the order of an index of (channel, estimand)."""
    truth = plasmode.truth().query("exposure_distribution == 'panel_rows'")
    truth = truth[(truth["estimand"] != "slope") | (truth["horizon"] == "immediate")]
    return truth.set_index(["channel_id", "estimand"])["value"].reindex(index)


def recovery(panel, config, truth_of=None, replicates=30):
    """z of the mean difference over replicates, by (channel, estimand), against the truth of `truth_of`."""
    differences = pd.DataFrame(
        [within_difference(inject(panel, config, seed), panel) for seed in range(replicates)]
    )
    truth = known_truth(inject(panel, truth_of or config), differences.columns)
    return (differences.mean() - truth) / (differences.std() / np.sqrt(replicates))


@pytest.mark.parametrize("config", [PlasmodeConfig(EFFECTS), CARRIED], ids=["same period", "carried over"])
def test_within_difference_is_the_injected_effect(panel, config):
    z = recovery(panel, config)
    print(z.round(2).to_dict())
    assert z.abs().max() < 4
    plasmode = inject(panel, config)
    exact = replace(plasmode, panel=replace(panel, gmv=panel.gmv + plasmode.expected.sum(axis=1)))
    difference = within_difference(
        exact, panel
    )  # no purchase is random here: what is left is the basis' own error
    for key, truth in known_truth(exact, difference.index).items():
        assert difference[key] == pytest.approx(truth, rel=0.03, abs=0.005 if key[1] == "slope" else 20)


def test_an_effect_given_to_the_wrong_channel_is_noticed(panel):
    """Negative control of the recovery: truth and injection name different channels."""
    swapped = PlasmodeConfig(
        tuple(replace(e, channel_id=c) for e, c in zip(EFFECTS, ("channel1", "channel2"), strict=True))
    )
    z = recovery(panel, PlasmodeConfig(EFFECTS), truth_of=swapped)
    assert min(abs(z["channel0", "slope"]), abs(z["channel2", "slope"])) > 8


def test_carry_over_that_is_ignored_is_noticed(panel):
    plasmode = inject(panel, CARRIED)
    blind = replace(plasmode, adstock=panel.exposures)
    truth = value(plasmode.truth(), "channel0")
    assert within_difference(blind, panel)["channel0", "contribution"] < 0.75 * truth
    assert within_difference(plasmode, panel)["channel0", "contribution"] == pytest.approx(truth, rel=0.2)


def test_groups_are_half_open_intervals_levels_and_missing(panel):
    ages = panel.characteristics["age"].to_numpy()
    first = float(np.nanmedian(ages))  # an age of the panel: the end of an interval belongs to it
    groups = consumer_groups(panel, "age", (first, first + 1))
    assert set(groups[ages == first]) == {f"<= {first:g}"}
    assert set(groups[(ages > first) & (ages <= first + 1)]) == {f"{first:g} to {first + 1:g}"}
    assert set(groups[ages > first + 1]) == {f"> {first + 1:g}"}
    assert set(groups[np.isnan(ages)]) == {"missing"}
    assert set(consumer_groups(panel, "plan")) == {"basic", "plus", "missing"}
    assert set(consumer_groups(panel, None)) == {"all"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InjectedEffect("a", -1.0), "amount is -1.0"),
        (lambda: InjectedEffect("a", 1.0, bend=0.0), "bend is 0.0"),
        (lambda: InjectedEffect("a", 1.0, decay=1.0), "decay is 1.0"),
        (lambda: PlasmodeConfig((EFFECTS[0], EFFECTS[0])), "name a channel twice"),
        (lambda: PlasmodeConfig((), "age", (40.0, 30.0)), "finite and ascending"),
        (lambda: PlasmodeConfig((), multipliers=MULTIPLIERS), "need a characteristic"),
        (lambda: PlasmodeConfig((), "age", (40.0,), (("<= 40", -1.0),)), "must be 0 or more"),
        (lambda: PlasmodeConfig((), "plan", (), (("basic", 1.0), ("basic", 2.0))), "name a group twice"),
    ],
)
def test_settings_that_mean_nothing_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PlasmodeConfig((InjectedEffect("radio", 1.0),)), r"\['radio'\], but the panel has"),
        (PlasmodeConfig(EFFECTS, "shoe_size"), "'shoe_size' is not in the panel"),
        (PlasmodeConfig(EFFECTS, "age", (), MULTIPLIERS), "'age' is numeric; give the cut points"),
        (PlasmodeConfig(EFFECTS, "plan", (1.0,), MULTIPLIERS), "'plan' is categorical and has no cut points"),
        (PlasmodeConfig(EFFECTS, "age", (40.0,), MULTIPLIERS[:2]), r"groups \['missing'\] of 'age' have no"),
    ],
)
def test_panels_that_do_not_fit_the_settings_are_refused(panel, config, message):
    with pytest.raises(PanelError, match=message):
        inject(panel, config)


def test_nobody_who_bought_leaves_nothing_to_draw(panel):
    with pytest.raises(PanelError, match="no panel row has a positive GMV"):
        inject(replace(panel, gmv=np.zeros(panel.rows_count)), BY_AGE)
