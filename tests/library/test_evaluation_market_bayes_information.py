"""Information criteria of the market-by-market regressions: LOO against refitting, DIC and WAIC by their penalties."""

import numpy as np
import pytest
from scipy import stats

from models.baselines.base import Rows, rows_where
from models.baselines.market_bayes import MarketBayes, posterior
from models.errors import PanelError
from models.evaluation.market_bayes_information import market_bayes_information


@pytest.fixture(scope="module")
def found(money_panel) -> dict:
    rows = Rows.of_panel(money_panel(40, 8, 2, seed=3)[0])
    fitted = MarketBayes().fit(rows)
    criteria = {one.name: one for one in market_bayes_information(fitted, rows)}
    return {"rows": rows, "fitted": fitted, "criteria": criteria}


def left_out(found: dict, keep: np.ndarray, market: str) -> float:
    """Log density of one market's rows outside `keep`, from a fit on those inside, one row after the other."""
    rows, settings = found["rows"], MarketBayes()
    *_, level, spread = found["fitted"].posteriors[market]
    mine = rows.market_ids == market
    x, y = found["fitted"].design_map.matrix(rows), (rows.outcome - level) / spread
    known, total = mine & keep, 0.0
    for row in np.flatnonzero(mine & ~keep):  # chain rule: each row given the rest and those before it
        mean, inverse, shape, scale = posterior(x[known], y[known], settings)
        width = np.sqrt(scale / shape * (1.0 + x[row] @ inverse @ x[row]))
        total += stats.t.logpdf(y[row], 2 * shape, x[row] @ mean, width) - np.log(spread)
        known = known.copy()
        known[row] = True
    return total


def test_loo_is_what_refitting_without_the_rows_gives(found: dict):
    rows, criteria = found["rows"], found["criteria"]
    for row in (0, 17, len(rows) - 1):
        keep = np.arange(len(rows)) != row
        expected = left_out(found, keep, rows.market_ids[row])
        assert -0.5 * criteria["conditional LOO"].pointwise[row] == pytest.approx(expected, rel=1e-8)
    for number, consumer in enumerate(sorted(set(rows.consumer_ids))[:3]):
        keep = rows.consumer_ids != consumer
        expected = left_out(found, keep, rows.market_ids[~keep][0])
        assert -0.5 * criteria["marginal LOO"].pointwise[number] == pytest.approx(expected, rel=1e-8)


def test_the_levels_share_a_deviance_and_differ_in_their_points(found: dict):
    criteria, rows = found["criteria"], found["rows"]
    assert list(criteria) == [f"{k} {c}" for k in ("conditional", "marginal") for c in ("DIC", "WAIC", "LOO")]
    assert criteria["conditional DIC"].value == pytest.approx(criteria["marginal DIC"].value, rel=1e-12)
    assert criteria["conditional LOO"].points_count == len(rows)
    assert criteria["marginal LOO"].points_count == len(set(rows.consumer_ids))
    parameters = sum(len(p[0]) + 1 for p in found["fitted"].posteriors.values())
    assert criteria["conditional DIC"].effective_parameters == pytest.approx(parameters, rel=0.15)
    for level in ("conditional", "marginal"):
        waic, loo = criteria[f"{level} WAIC"], criteria[f"{level} LOO"]
        assert waic.value == pytest.approx(loo.value, abs=0.3 * waic.effective_parameters)


def test_rows_of_a_market_without_a_posterior_are_refused(found: dict):
    rows = found["rows"]
    fitted = MarketBayes().fit(rows_where(rows, rows.market_ids == rows.market_ids[0]))
    with pytest.raises(PanelError, match="have no posterior"):
        market_bayes_information(fitted, rows)
