"""Interactions of characteristics, and gaps in them: known truths, columns by hand, early refusals."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.checks.interactions import strongest_pairs, with_interaction
from models.errors import PanelError
from models.evaluation.group_slopes import group_slope_draws
from models.hbmmm.characteristics import Characteristic, characteristic_features, learn_characteristics
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.fit import fit_hbmmm
from models.hbmmm.statistics import SufficientStatistics

FAST = {"inference": "laplace", "basis": "linear", "draws": 100, "effect_draws": 200, "imputations_count": 2}
AGE_PLAN = {"interactions": (("age", "plan"),)}


def group_slopes(panel, members, **options):
    """Draws (S, G) of the first channel's mean slope in each group, and the fit."""
    statistics = SufficientStatistics.from_panel(panel)
    fit = fit_hbmmm(statistics, panel.characteristics, HBMMMConfig(**FAST, **options))
    return group_slope_draws(fit, statistics, np.stack(members))[..., 0], fit


# ------------------------------------------------------------------------------ interactions
@pytest.fixture(scope="module")
def crossed(money_panel):
    """Panel whose first channel gains with age on plan plus and loses with it on basic; (4, N) groups; true slopes."""
    panel = money_panel(400, 10, 4, seed=11, noise_sd=5.0, targeting=0.3)[0]
    age, plus = panel.characteristics["age"].to_numpy(), panel.characteristics["plan"].to_numpy() == "plus"
    extra = 0.1 * (age - 40) * np.where(plus, 1.0, -1.0)
    gmv = panel.gmv + extra[panel.consumer_index] * panel.exposures[:, 0]
    members = [(age > 40) & plus, (age > 40) & ~plus, (age <= 40) & plus, (age <= 40) & ~plus]
    slopes = 3.0 + 0.02 * (age - 40) + extra
    return replace(panel, gmv=gmv), members, np.array([slopes[m].mean() for m in members])


def test_a_slope_that_depends_on_two_characteristics_together_is_found(crossed):
    panel, members, truth = crossed
    assert (
        truth[0] - truth[1] > 1 and truth[3] - truth[2] > 1
    )  # plus above basic for the old, below for the young
    draws, fit = group_slopes(panel, members, **AGE_PLAN)
    z = (draws.mean(axis=0) - truth) / draws.std(axis=0)
    blind = group_slopes(panel, members)[0].mean(axis=0)
    print(
        "z",
        z.round(2),
        "found",
        draws.mean(axis=0).round(2),
        "blind",
        blind.round(2),
        "truth",
        truth.round(2),
    )
    assert np.abs(z).max() < 3
    gaps = {"with": np.abs(draws.mean(axis=0) - truth).mean(), "without": np.abs(blind - truth).mean()}
    assert (
        gaps["with"] < 0.5 * gaps["without"]
    )  # negative control: age and plan each on their own do not do it
    name = next(n for n in fit.parameter_names if n.startswith("exposure[channel0]:age x plan="))
    own = fit.draws[..., fit.parameter_names.index(name)]
    assert abs(own.mean()) > 4 * own.std()
    null = fit.draws[..., fit.parameter_names.index(name.replace("channel0", "channel1"))]
    assert abs(null.mean()) < 3 * null.std()


def test_products_by_hand_and_through_json():
    frame = pd.DataFrame(
        {
            "age": [20.0, 30.0, 40.0, 50.0] * 10,
            "plan": np.array(["a", "b"] * 20, dtype=object),
            "town": np.array((["x"] * 19 + ["y"]) * 2, dtype=object),
        }
    )
    config = HBMMMConfig(interactions=[["age", "plan"]], min_level_consumers=2)
    assert config.interactions == (("age", "plan"),) and HBMMMConfig(**config.as_dict()) == config
    features = learn_characteristics(frame, config)
    product = features[-1]
    assert [f.name for f in features] == ["age", "plan=b", "town=y", "age x plan=b"]
    assert (product.kind, product.parts, product.source) == ("product", ("age", "plan=b"), "age x plan")
    values = characteristic_features(features, frame)
    raw = values[:, 0] * values[:, 1]
    np.testing.assert_allclose(values[:, 3], (raw - raw.mean()) / raw.std())
    gap = characteristic_features(features, frame.assign(age=np.nan))
    assert (gap[:, [0, 3]] == 0).all()  # what is not known is average
    again = tuple(Characteristic(**json.loads(json.dumps(vars_of(f)))) for f in features)
    assert again == features


def vars_of(feature: Characteristic) -> dict:
    return {name: getattr(feature, name) for name in feature.__dataclass_fields__}


def test_levels_that_hardly_meet_give_no_column():
    frame = pd.DataFrame(
        {
            "plan": np.array(["a"] * 50 + ["b"] * 30, dtype=object),
            "town": np.array(["x"] * 49 + ["y"] + ["x"] * 10 + ["y"] * 20, dtype=object),
            "region": np.array(["n"] * 55 + ["s"] * 25, dtype=object),
        }
    )
    config = HBMMMConfig(interactions=(("plan", "town"),), min_level_consumers=20)
    assert "plan=b x town=y" in [f.name for f in learn_characteristics(frame, config)]
    with pytest.raises(PanelError, match="no two levels have 21 consumers together"):
        learn_characteristics(frame, replace(config, min_level_consumers=21))


@pytest.mark.parametrize(
    "pairs, message",
    [
        ((("age", "plan"), ("plan", "age")), "names 'plan' and 'age' twice"),
        ((("age", "age"),), "pairs 'age' with itself"),
        ((("age", "plan", "town"),), "each interaction is a pair"),
        (("age",), "each interaction is a pair"),
    ],
)
def test_pairs_that_are_none_are_refused_at_construction(pairs, message):
    with pytest.raises(ValueError, match=message):
        HBMMMConfig(interactions=pairs)


def test_a_characteristic_that_the_data_lack_is_refused_before_anything_is_fitted(crossed):
    panel = crossed[0]
    told = []
    config = HBMMMConfig(**FAST, interactions=(("age", "shoe size"),))
    with pytest.raises(PanelError, match=r"needs the characteristic shoe size.*it has age, plan"):
        fit_hbmmm(
            SufficientStatistics.from_panel(panel), panel.characteristics, config, lambda *a: told.append(a)
        )
    assert not told


def test_the_robustness_suite_adds_the_same_columns_and_none_twice(crossed):
    panel, members, _ = crossed
    with_pair, without = (group_slopes(panel, members, **o)[1] for o in (AGE_PLAN, {}))
    assert with_interaction(without, "age", "plan") == with_pair.design.characteristics
    assert strongest_pairs(with_pair, 3) == () and len(strongest_pairs(without, 3)) == 1


# --------------------------------------------------------------------------------- gaps
@pytest.fixture(scope="module")
def gappy(money_panel):
    """Panel with strong slopes by age, two fifths of the ages unknown; groups old, young (known ages); true slopes."""
    panel = money_panel(600, 10, 4, seed=21, noise_sd=5.0, targeting=0.3)[0]
    age = panel.characteristics["age"].to_numpy()
    extra = 0.15 * (age - 40)
    hidden = np.random.default_rng(4).random(len(age)) < 0.4
    gmv = panel.gmv + extra[panel.consumer_index] * panel.exposures[:, 0]
    known = panel.characteristics.assign(age=np.where(hidden, np.nan, age))
    members = [~hidden & (age > 40), ~hidden & (age <= 40)]
    slopes = 3.0 + 0.02 * (age - 40) + extra
    return (
        replace(panel, gmv=gmv, characteristics=known),
        members,
        np.array([slopes[m].mean() for m in members]),
    )


def test_imputed_values_do_not_pull_known_groups_together(gappy):
    """An imputed age says little about its consumer's slope: taken for a known one, known groups pay for it."""
    panel, members, truth = gappy
    drawn, average = (group_slopes(panel, members, imputed_moderators=v)[0] for v in ("drawn", "average"))
    share = [float((d[:, 0] - d[:, 1]).mean() / (truth[0] - truth[1])) for d in (drawn, average)]
    print("gap of old and young, share of the truth: drawn", share[0], "average", share[1])
    assert share[0] < 0.85 < 0.93 < share[1] < 1.07
    assert (np.abs(average.mean(axis=0) - truth) < 3 * average.std(axis=0)).all()


def test_columns_of_gaps_by_hand():
    frame = pd.DataFrame(
        {
            "age": [20.0, 30.0, np.nan, np.nan] * 20,
            "kids": [1.0, 3.0, 2.0, 2.0] * 20,
            "plan": np.array(["a", "b", "b", None] * 20, dtype=object),
        }
    )
    config = HBMMMConfig(interactions=(("age", "plan"), ("kids", "plan")))
    features = learn_characteristics(frame, config)
    products = ["age x plan=b", "kids x plan=b"]
    reference = features[2].name
    products = [name.replace("plan=b", reference) for name in products]
    base = ["age", "kids", reference, *products]
    gappy = ["age", reference, *products]
    assert [f.name for f in features] == [*base, *(f"{name} where known" for name in gappy)]
    completed = frame.assign(age=[20.0, 30.0, 40.0, 50.0] * 20, plan=["a", "b", "b", "a"] * 20)
    for name in ("age", "plan"):
        completed[f"{name} is missing"] = frame[name].isna().astype(float)
    values = dict(
        zip([f.name for f in features], characteristic_features(features, completed).T, strict=True)
    )
    known = values["age where known"]
    np.testing.assert_allclose(known[:2], values["age"][:2])
    np.testing.assert_allclose(
        known[2:4], values["age"][2:4].mean()
    )  # both unknown: what imputations average to
    crossed = values[f"{products[0]} where known"]
    np.testing.assert_allclose(crossed[:2], values[products[0]][:2])
    np.testing.assert_allclose(crossed[2:4], values[products[0]][2:4].mean())
    np.testing.assert_allclose(values[f"{products[1]} where known"][:3], values[products[1]][:3])
    drawn = learn_characteristics(frame, replace(config, imputed_moderators="drawn"))
    assert [f.name for f in drawn] == base


def test_slopes_see_the_average_and_the_intercept_each_value(gappy):
    design = group_slopes(gappy[0], gappy[1])[1].design
    names = [n for n in design.fixed_names if ":age" in n]
    assert names == [
        "intercept:age",
        "exposure[channel0]:age where known",
        "exposure[channel1]:age where known",
    ]
