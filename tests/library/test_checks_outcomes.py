"""Convergence, overlap and the result type: three outcomes, and nothing passes by default."""

import numpy as np
import pytest

from models.checks.base import CheckResult, combined
from models.checks.convergence import ConvergenceThresholds, check_convergence
from models.checks.overlap import check_overlap
from models.panel import ConsumerPanel
from models.simulate.consumer_config import ConsumerWorldConfig
from models.simulate.consumers import simulate_consumers

GOOD = {"r_hat": {"mu": 1.001, "tau": 1.003}, "ess": {"mu": 900.0, "tau": 700.0}}


def converged(
    divergences: int | None = 0, e_bfmi: float | None = 0.8, **changes: dict[str, float]
) -> CheckResult:
    values = {**GOOD, **changes}
    return check_convergence(values["r_hat"], values["ess"], divergences, e_bfmi)


def test_convergence_passes_only_with_every_number_in_hand():
    assert converged().outcome == "passed"
    assert converged(divergences=None).passed is None
    assert converged(e_bfmi=None).passed is None and converged(e_bfmi=float("nan")).passed is None
    nan = float("nan")
    assert converged(r_hat={"mu": nan, "tau": nan}, ess={"mu": nan, "tau": nan}).passed is None
    assert converged(r_hat={}, ess={}).passed is None
    assert converged(r_hat={"mu": 1.001}).passed is None  # tau has no R-hat
    assert converged(r_hat={"mu": 1.001, "tau": nan}).passed is None


def test_convergence_fails_by_each_rule_and_names_the_offender():
    result = converged(r_hat={"mu": 1.001, "tau": 1.02})
    assert result.passed is False
    assert "tau" in result.text
    assert result.table.set_index("parameter")["passed"].to_dict() == {"mu": True, "tau": False}
    assert converged(ess={"mu": 900.0, "tau": 399.0}).passed is False
    assert converged(divergences=1).passed is False
    assert converged(e_bfmi=0.3).passed is False
    nan = float("nan")
    assert converged(r_hat={"mu": 1.5, "tau": nan}).passed is False  # a known failure outweighs a gap
    loose = ConvergenceThresholds(r_hat=1.05)
    assert check_convergence({"tau": 1.02}, {"tau": 500.0}, 0, 0.8, loose).passed is True


def test_boundaries_count_as_failures():
    assert converged(r_hat={"mu": 1.01, "tau": 1.0}).passed is False
    assert converged(ess={"mu": 400.0, "tau": 900.0}).passed is False


def test_a_result_is_neither_true_nor_false():
    result = CheckResult("converged", None, "no draws")
    with pytest.raises(TypeError, match="three outcomes"):
        bool(result)
    with pytest.raises(TypeError, match="must be True, False or None"):
        CheckResult("converged", np.bool_(True), "numpy boolean")
    assert combined([True, True]) is True
    assert combined([True, None]) is None
    assert combined([None, False]) is False
    assert combined([]) is None


@pytest.fixture(scope="module")
def panel() -> ConsumerPanel:
    config = ConsumerWorldConfig(consumers_count=500, markets_count=4, periods_count=15, confounding=0.5)
    return simulate_consumers(config, np.random.default_rng(8)).to_panel()


def with_channel(panel: ConsumerPanel, values: np.ndarray) -> ConsumerPanel:
    exposures = panel.exposures.copy()
    exposures[:, panel.channel_ids.tolist().index("retargeting")] = values
    return panel.with_exposures(exposures)


def test_overlap_has_three_outcomes(panel: ConsumerPanel):
    good = check_overlap(panel, "retargeting")
    assert good.passed is True
    assert good.table.loc[0, "ess_share"] == good.value
    assert set(good.coefficients["channel_id"]) == {"retargeting"}
    assert good.coefficients["feature_name"].tolist()[0] == "intercept" and len(good.coefficients) > 1
    rows = np.arange(panel.rows_count)
    everyone = check_overlap(with_channel(panel, np.ones(panel.rows_count)), "retargeting")
    assert everyone.passed is False
    assert "nobody shows the other state" in everyone.text
    nobody = check_overlap(with_channel(panel, np.zeros(panel.rows_count)), "retargeting")
    assert nobody.passed is None and nobody.coefficients.empty
    few = check_overlap(with_channel(panel, (rows < 10) * 1.0), "retargeting")
    assert few.passed is None
    assert "not evaluated" in few.text
    determined = (panel.market_index == 1) * 1.0  # who is exposed follows from the market alone
    separate = check_overlap(with_channel(panel, determined), "retargeting")
    assert separate.passed is False
    assert separate.table.loc[0, "clipped_share"] > 0.5
