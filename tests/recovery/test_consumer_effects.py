"""Do the consumer-level estimators find effects that are known, in worlds with leavers whose end is not?

Worlds: 400 consumers, 5 markets, 3 + 15 months; tv and email with the paper's effects, and a null channel that is
targeted most. Unconfounded worlds have nothing missing (one fit); confounded ones have the strongest latent
targeting (0.6 of the variance of the null channel's log rates follows the unrecorded wish to buy), joiners without
pre-period and missing characteristics (multiple imputation). A quarter leaves, most of them unannounced.
Truth: slope over the panel's rows, exact.

Bounds. Coverage of 95 % intervals within [80, 100] %; |mean error| within 3 Monte-Carlo errors; the null channel
not significantly (one-sided, 5 %) below 93 %. Width is printed beside coverage: a wide enough interval covers
anything. Twenty worlds are few: 3 Monte-Carlo errors are passed by chance in 0.7 % of the cells, and an honest
interval covers fewer than 16 of 20 once in 390.
"""

from dataclasses import replace

import pandas as pd
import pytest
from scipy.stats import binom

from models.evaluation.recovery import recovery_table, score_worlds
from models.simulate.consumer_config import PAPER_CHANNELS, ConsumerWorldConfig

WORLDS = 20
PROCESSES = 2
NULL = "retargeting"
# 12 coverages and 4 tests are looked at: one of honest 95 % intervals covers fewer than 16 of 20 worlds once in 390.
COVERAGE_LEAST = 0.80
MONTE_CARLO_ERRORS = 3.0
NULL_COVERAGE, SIGNIFICANCE = 0.93, 0.05 / 4
HONEST = ("hbmmm", "within_consumer")
# Short chains: 400 draws in all, nearly independent in the Laplace metric; enough for a mean and a 95 % interval.
METHODS = {
    "hbmmm": {"chains": 2, "tune": 80, "draws": 100, "imputations_count": 2, "effect_draws": 400},
    "within_consumer": {},
    "pooled_ols": {},
    "pooled_ols_covariates": {},
}
CONFOUNDED = ConsumerWorldConfig(
    consumers_count=400,
    markets_count=5,
    periods_count=18,
    channels=tuple(c for c in PAPER_CHANNELS if c.name in ("tv", "email")),
    null_channel_name=NULL,
    confounding=1.0,
    leavers_share=0.25,
    leavers_unknown_share=0.7,
)
WORLD_KINDS = {
    "unconfounded": (replace(CONFOUNDED, confounding=0.0, joiners_share=0.0, missing_share=0.0), 100),
    "confounded": (CONFOUNDED, 200),
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Recovery of slopes over all panel rows by kind of world: rows (method, channel_id)."""
    kinds = {name: (config, range(seed, seed + WORLDS)) for name, (config, seed) in WORLD_KINDS.items()}
    table = recovery_table(score_worlds(kinds, METHODS, PROCESSES))
    print("", table.round(3).to_string(index=False), sep="\n")
    chosen = (table["estimand"] == "slope") & (table["exposure_distribution"] == "panel_rows")
    slopes = table[chosen].set_index(["method", "channel_id"])
    return {name: slopes[slopes["world"] == name] for name in kinds}


@pytest.mark.parametrize("world", WORLD_KINDS)
@pytest.mark.parametrize("method", HONEST)
def test_intervals_cover_and_errors_average_zero(tables: dict[str, pd.DataFrame], world: str, method: str):
    found = tables[world].loc[method]
    print(found[["coverage", "mean_width", "bias", "bias_z"]].round(3).to_string())
    assert (found["worlds"] == WORLDS).all()
    assert found["coverage"].between(COVERAGE_LEAST, 1.0).all()
    assert (found["bias_z"].abs() <= MONTE_CARLO_ERRORS).all()


@pytest.mark.parametrize("world", WORLD_KINDS)
@pytest.mark.parametrize("method", HONEST)
def test_the_targeted_channel_without_effect_is_cleared(
    tables: dict[str, pd.DataFrame], world: str, method: str
):
    row = tables[world].loc[(method, NULL)]
    covered = round(row["coverage"] * row["worlds"])
    p_value = binom.cdf(covered, int(row["worlds"]), NULL_COVERAGE)
    print(
        f"{world}: {covered} of {row['worlds']:.0f} intervals of {NULL} cover 0, width {row['mean_width']:.2f}"
    )
    assert p_value >= SIGNIFICANCE


def test_pooled_ols_fails_under_confounding(tables: dict[str, pd.DataFrame]):
    """Negative control: the same worlds, the same bounds, and OLS breaks them for every channel."""
    found = tables["confounded"].loc["pooled_ols"]
    print(found[["coverage", "mean_width", "bias", "bias_z"]].round(3).to_string())
    assert (found["coverage"] < 0.5).all()
    assert (found["bias_z"] > MONTE_CARLO_ERRORS).all()
    helped = tables["confounded"].loc[
        "pooled_ols_covariates"
    ]  # what is recorded does not carry the wish to buy
    assert (helped["bias_z"] > MONTE_CARLO_ERRORS).all()
    assert helped.loc[NULL, "coverage"] < COVERAGE_LEAST
