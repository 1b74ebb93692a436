"""The causal layer over a panel: three worlds with known effects, what each method makes of them, rows that fit."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.effects.causal_effects import DIAGNOSTICS, CausalConfig, CausalEffects, causal_effects
from models.effects.within import within_effects
from models.panel import ConsumerPanel
from models.simulate.wave_worlds import WaveWorldConfig, simulate_wave_world

CONSUMERS, MONTHS = 330, 10
EFFECT, CARRY_OVER = 20.0, 15.0


def build_panel(exposures: np.ndarray, gmv: np.ndarray, age: np.ndarray | None = None) -> ConsumerPanel:
    """(N, T, C) exposures, channels named a, b, c; (N, T) GMV; two markets; (N,) age."""
    consumers, months, channels = exposures.shape
    age = np.random.default_rng(0).normal(40, 10, consumers) if age is None else age
    ids = np.array([f"c{i:04d}" for i in range(consumers)], dtype=object)
    starts = pd.date_range("2024-01-01", periods=months, freq="MS")
    who, when = np.divmod(np.arange(consumers * months), months)
    periods = pd.DataFrame(
        {
            "consumer_id": ids[who],
            "market_id": np.array(["m0", "m1"], dtype=object)[who % 2],
            "period_start_date": starts[when],
            "gmv_net_amount": gmv.ravel(),
            "is_in_panel": True,
        }
    )
    i, t, c = np.nonzero(exposures)
    cells = pd.DataFrame(
        {
            "consumer_id": ids[i],
            "channel_id": np.array(list("abcdef"[:channels]), dtype=object)[c],
            "period_start_date": starts[t],
            "exposures_count": exposures[i, t, c],
        }
    )
    traits = pd.DataFrame(
        {
            "consumer_id": ids,
            "characteristic_name": "age",
            "characteristic_kind": "numeric",
            "characteristic_origin": "declared",
            "value_numeric": age,
            "value_text": None,
        }
    )
    columns = ["market_id", "covariate_name", "period_start_date", "covariate_value"]
    covariates = pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    return ConsumerPanel.from_frames(periods, cells, traits, covariates, currency_code="USD", period="month")


def history_world(rng: np.random.Generator, effect: float) -> ConsumerPanel:
    """Channel a is shown to who bought or saw it last month; last month's showing still sells. b is noise."""
    bought = np.full(CONSUMERS, 3.9)
    shown = np.zeros(CONSUMERS)
    exposed, gmv = (np.zeros((CONSUMERS, MONTHS)) for _ in range(2))
    for t in range(MONTHS):
        pull = 3.0 * (bought - 3.9) * (t > 0)
        now = (rng.random(CONSUMERS) < expit(-0.8 + pull + shown)).astype(float)
        mean = 45 + 25 * (bought - 3.9) * (t > 0) + CARRY_OVER * shown + effect * now
        gmv[:, t] = mean + 10 * rng.normal(size=CONSUMERS)
        exposed[:, t] = shown = now
        bought = np.sign(gmv[:, t]) * np.log1p(np.abs(gmv[:, t]))
    other = rng.poisson(0.7, exposed.shape)
    return build_panel(np.stack([exposed, other], axis=2), gmv)


def latent_world(rng: np.random.Generator, effect: float) -> ConsumerPanel:
    """Channel a follows the season and a wish to buy that stays and is not recorded."""
    wish, season = rng.normal(size=(CONSUMERS, 1)), np.sin(np.arange(MONTHS))
    exposed = (rng.random((CONSUMERS, MONTHS)) < expit(1.2 * wish + 0.8 * season)).astype(float)
    gmv = 60 + 25 * wish + 15 * season + effect * exposed + 10 * rng.normal(size=exposed.shape)
    return build_panel(np.stack([exposed, rng.poisson(0.7, exposed.shape)], axis=2), gmv)


def rows(found: CausalEffects, channel_id: str = "a") -> pd.DataFrame:
    table = found.channel[found.channel["channel_id"] == channel_id]
    return table.set_index(["method", "estimand"])


def z_scores(table: pd.DataFrame, truth: float) -> pd.Series:
    return (table["mean"] - truth) / table["standard_deviation"]


@pytest.fixture(scope="module")
def found() -> CausalEffects:
    rng = np.random.default_rng(1)
    panel = history_world(rng, EFFECT)
    segments = {"half": np.where(np.arange(CONSUMERS) % 3 > 0, "most", "rest").astype(object)}
    return causal_effects(panel, rng, CausalConfig(bootstrap_draws=400), segments=segments)


def test_lagged_history_is_enough_where_it_is_all_there_is(found: CausalEffects):
    """3,300 rows: IPW, AIPW and the dose weights are right, the raw difference is 10 dollars off or more."""
    table = rows(found)
    z = z_scores(table, EFFECT)
    for method in ("ipw_lagged", "aipw_lagged"):
        for estimand in ("ate_exposed", "att_exposed"):
            assert abs(z[method, estimand]) < 3
            assert table.loc[(method, estimand), "standard_deviation"] < 2.0
    assert table.loc[("naive_difference", "ate_exposed"), "interval_lower"] > EFFECT + 5


@pytest.mark.parametrize("world", [history_world, latent_world])
def test_no_effect_is_found_where_there_is_none(world):
    """The method whose assumption holds clears a null channel that the raw difference convicts; b is clean."""
    rng = np.random.default_rng(2)
    found = causal_effects(world(rng, 0.0), rng, CausalConfig(bootstrap_draws=400))
    table = rows(found)
    assert table.loc[("naive_difference", "ate_exposed"), "interval_lower"] > 4
    method = "aipw_lagged" if world is history_world else "aipw_own_median"
    row = table.loc[(method, "ate_exposed")]
    assert row["interval_lower"] < 0 < row["interval_upper"]
    assert row["standard_deviation"] < 1.0
    assert z_scores(rows(found, "b"), 0.0).abs().max() < 3.5  # eight numbers on a channel that is noise


def test_a_latent_wish_fools_lagged_methods_and_not_the_own_median():
    """The documented limit, and agreement with the within-consumer regression that is primary."""
    rng = np.random.default_rng(3)
    panel = latent_world(rng, EFFECT)
    found = causal_effects(panel, rng, CausalConfig(bootstrap_draws=400))
    z = z_scores(rows(found), EFFECT)
    assert abs(z["aipw_own_median", "ate_exposed"]) < 3
    for method in ("naive_difference", "ipw_lagged", "aipw_lagged"):
        assert z[method, "ate_exposed"] > 3
    within = within_effects(panel).set_index(["channel_id", "estimand"]).loc[("a", "att_exposed"), "mean"]
    own = rows(found).loc[("aipw_own_median", "ate_exposed")]
    assert abs(own["mean"] - within) < 2 * own["standard_deviation"]


def test_rows_are_those_of_channel_effects(found: CausalEffects):
    columns = within_effects(history_world(np.random.default_rng(4), 0.0)).columns
    assert found.channel.columns.tolist() == columns.tolist()
    assert not found.channel["is_primary"].any()
    keys = ["channel_id", "estimand", "method", "exposure_distribution"]
    assert not found.channel.duplicated(keys).any()
    assert len(found.channel) == 2 * (4 * 2 + 1 + 1 + 1)
    diagnostic = found.channel["method"].isin(DIAGNOSTICS)
    assert diagnostic.sum() == 2 * 2 * 2
    reasons = found.channel["not_identified_reason"]
    assert reasons[diagnostic].str.startswith("a diagnostic: ").all()
    assert found.channel.loc[diagnostic, "mean"].notna().all()
    refused = reasons.notna() & ~diagnostic
    assert found.channel.loc[refused, ["channel_id", "method"]].to_numpy().tolist() == [
        ["a", "dose_weighted"]
    ]
    assert "0 or 1 only" in found.channel.loc[refused, "not_identified_reason"].item()
    known = found.channel[~refused]
    assert ((known["interval_lower"] < known["mean"]) & (known["mean"] < known["interval_upper"])).all()
    assert found.channel.loc[refused, "mean"].isna().all()


def test_what_stands_beside_the_rows(found: CausalEffects):
    """Overlap and sensitivity per method, segments that add up to the overlap rows' average effect."""
    overlap = found.overlap.set_index(["channel_id", "method"])
    both = {(c, m) for c in "ab" for m in ("aipw_lagged", "ipw_characteristics", "aipw_own_median")}
    assert set(overlap.index) == both | {("b", "dose_weighted")}
    assert overlap["correlation_after"].notna().sum() == 1
    assert overlap["ess_share"].between(0.2, 1).all()
    assert overlap.loc[("a", "aipw_lagged"), "ess_share"] < overlap.loc[("b", "aipw_lagged"), "ess_share"]
    robust = found.sensitivity.set_index(["channel_id", "estimand", "method"])["robustness_value"]
    known = found.channel[found.channel["mean"].notna() & ~found.channel["method"].isin(DIAGNOSTICS)]
    assert set(robust.index) == set(known.set_index(["channel_id", "estimand", "method"]).index)
    assert robust["a", "ate_exposed", "aipw_lagged"] > 0.3
    assert robust["b", "ate_exposed", "aipw_lagged"] < 0.1
    ate = rows(found).loc[("aipw_lagged", "ate_exposed"), "mean"]
    segments = found.segment[found.segment["channel_id"] == "a"]
    assert np.average(segments["mean"], weights=segments["rows_count"]) == pytest.approx(ate)
    assert (segments["mean"] - EFFECT).abs().max() < 3 * segments["standard_deviation"].max()


def test_later_months_change_nothing_of_the_lagged_scores_nuisances():
    """With the learners fixed beforehand, a changed last month leaves every earlier month's propensity alone."""

    class Fixed:
        """A propensity that reads its columns with weights decided before it sees any data."""

        def get_params(self, deep: bool = True) -> dict:
            return {}

        def fit(self, features, target):
            return self

        def predict_proba(self, features):
            e = expit(0.01 * features.sum(axis=1))
            return np.column_stack([1 - e, e])

        def predict(self, features):
            return features.sum(axis=1)

    rng = np.random.default_rng(5)
    exposures = rng.poisson(0.8, (60, 6, 2))
    gmv = rng.normal(50, 10, (60, 6))
    later, richer = exposures.copy(), gmv.copy()
    later[:, -1], richer[:, -1] = 1 - np.minimum(later[:, -1], 1), 500.0
    settings = CausalConfig(trimming_threshold=0.0, clipping_threshold=1e-6, bootstrap_draws=2)
    scores = [
        causal_effects(
            build_panel(x, y),
            np.random.default_rng(6),
            settings,
            propensity_learner=Fixed(),
            outcome_learner=Fixed(),
        ).scores["a", "aipw_lagged"]
        for x, y in ((exposures, gmv), (later, richer))
    ]
    early = np.tile(np.arange(6) < 5, 60)
    for name in ("propensity_raw", "outcome_unexposed", "outcome_exposed"):
        before, after = (getattr(s, name) for s in scores)
        np.testing.assert_allclose(before[early], after[early])
        assert np.abs(before[~early] - after[~early]).max() > 1e-4  # the present exposure of b did change


def test_dose_weights_that_leave_the_past_in_say_so():
    """Doses of 2 or 3 that follow the last purchase: the row has its number and the reason not to believe it."""
    rng = np.random.default_rng(9)
    doses, gmv = (np.zeros((CONSUMERS, MONTHS)) for _ in range(2))
    last = rng.normal(50, 15, CONSUMERS)
    for t in range(MONTHS):
        doses[:, t] = 2 + (rng.random(CONSUMERS) < expit(0.15 * (last - 50)))
        last = gmv[:, t] = 50 + 0.8 * (last - 50) + 9 * rng.normal(size=CONSUMERS)
    found = causal_effects(build_panel(doses[:, :, None], gmv), rng, CausalConfig(bootstrap_draws=50))
    row = rows(found).loc[("dose_weighted", "slope")]
    assert np.isfinite(row["mean"])
    assert "still correlate" in row["not_identified_reason"]


def test_a_channel_without_a_comparison_has_rows_with_reasons():
    rng = np.random.default_rng(7)
    exposures = np.stack([np.ones((40, 6)), rng.poisson(0.7, (40, 6))], axis=2)
    found = causal_effects(build_panel(exposures, rng.normal(50, 10, (40, 6))), rng)
    table = rows(found)
    assert table[["mean", "interval_lower"]].isna().all(axis=None)
    reasons = table["not_identified_reason"]
    assert "no other arm" in reasons["aipw_lagged", "ate_exposed"]
    assert reasons["aipw_own_median", "ate_exposed"] == "exposure does not vary within enough consumers"
    assert "no other dose" in reasons["dose_weighted", "slope"]
    assert rows(found, "b")["mean"].notna().all()


def test_without_trimming_the_rows_are_the_panels():
    rng = np.random.default_rng(8)
    panel = build_panel(rng.poisson(0.7, (40, 6, 1)), rng.normal(50, 10, (40, 6)))
    found = causal_effects(panel, rng, CausalConfig(trimming_threshold=0.0, bootstrap_draws=50))
    table = rows(found)["exposure_distribution"]
    assert table["aipw_lagged", "ate_exposed"] == "panel_rows"
    assert table["aipw_lagged", "att_exposed"] == "exposed_rows"
    trimmed = found.overlap.set_index("method")["trimmed_share"]
    assert trimmed["aipw_lagged"] == 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trimming_threshold", 0.5),
        ("clipping_threshold", 0.0),
        ("folds_count", 1),
        ("bootstrap_draws", 1),
        ("interval_level", 1.0),
    ],
)
def test_settings_are_checked_at_once(name: str, value: float):
    assert name in {f.name for f in fields(CausalConfig)}
    with pytest.raises(ValueError, match=name):
        CausalConfig(**{name: value})


def test_an_effect_that_rests_on_one_wave_says_so():
    """Exposure in one period: what it had in common cannot be told from the effect; within consumers none is left."""
    rng = np.random.default_rng(10)
    panel = simulate_wave_world(WaveWorldConfig(consumers_count=200, periods_count=8, waves_count=1), rng)
    found = causal_effects(panel, rng, CausalConfig(bootstrap_draws=50))
    table = found.channel.set_index(["method", "estimand"])
    row = table.loc[("aipw_lagged", "ate_exposed")]
    assert np.isfinite(row["mean"])
    assert row["not_identified_reason"].startswith("rests on 1.0 periods")
    robust = found.sensitivity.set_index(["method", "estimand"])["periods_effective"]
    assert robust["aipw_lagged", "ate_exposed"] < 1.1
    own = table.loc[("aipw_own_median", "ate_exposed")]
    assert np.isnan(own["mean"])
    assert "no two arms" in own["not_identified_reason"]
