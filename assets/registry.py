"""Group registry: the gate that turns a challenger into the champion.

Only model-level checks block. Row-level evidence (placebo, overlap) marks rows instead (assets/identification.py).
A check that was not evaluated blocks like one that failed (design, section 6).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.checks import FAILED, GATE_IS_PASSED, NOT_EVALUATED, PASSED, check_result, markdown
from assets.status import EVALUATED, Refresh, load_refresh, read_family, read_panel_status

if TYPE_CHECKING:
    import pandas as pd

    from orchestration.resources.settings import Settings

PROMOTED, KEPT, NO_CHAMPION = "promoted", "kept", "no_champion"
#: Reasons that say nothing about the quality of a delivery: rows left out by design, and files sent twice.
HARMLESS_REASONS = ("accepted", "out_of_scope", "exact_duplicate")


@dataclass(frozen=True)
class GateThresholds:
    """What a fit must reach. Convergence: Vehtari et al. (2021), 100 effective draws a chain for 4 chains."""

    r_hat_most: float = 1.01
    ess_least: float = 400.0
    divergences_most: float = 0.0
    baseline_deviation_most: float = 0.05
    quarantined_share_most: float = 0.10

    @classmethod
    def from_settings(cls, settings: "Settings") -> "GateThresholds":
        """The thresholds of a deployment; divergences are never allowed."""
        return cls(
            r_hat_most=settings.gate_r_hat_most,
            ess_least=settings.gate_ess_least,
            baseline_deviation_most=settings.gate_baseline_deviation_most,
            quarantined_share_most=settings.gate_quarantined_share_most,
        )


def gate_table(
    facts: Mapping[str, Any], quarantined_share: float | None, thresholds: GateThresholds
) -> list[dict[str, Any]]:
    """One row per model-level check: check_name, outcome, value, threshold, text.

    facts : of the fit: r_hat_max, ess_min, divergences_count, expected_gmv, observed_gmv. A missing or non-finite
        one is "not evaluated".
    """
    expected, observed = _number(facts.get("expected_gmv")), _number(facts.get("observed_gmv"))
    deviation = None if expected is None or not observed else abs(expected - observed) / abs(observed)
    limits = thresholds
    return [
        _row("convergence_r_hat", _number(facts.get("r_hat_max")), limits.r_hat_most, "largest R-hat"),
        _row(
            "convergence_ess",
            _number(facts.get("ess_min")),
            limits.ess_least,
            "smallest bulk effective sample size",
            at_least=True,
        ),
        _row(
            "convergence_divergences",
            _number(facts.get("divergences_count")),
            limits.divergences_most,
            "divergent transitions",
        ),
        _row(
            "baseline_sanity",
            deviation,
            limits.baseline_deviation_most,
            "relative distance of the GMV that the fit expects over the panel from the observed GMV",
        ),
        _row(
            "data_quality_quarantined_share",
            quarantined_share,
            limits.quarantined_share_most,
            "share of landed rows in quarantine (exact duplicates and rows out of scope aside)",
        ),
    ]


def decide(
    rows: list[dict[str, Any]], challenger: str | None, champion: str | None
) -> tuple[str, str | None, str]:
    """(decision, champion's version afterwards, reason)."""
    blocking = [row for row in rows if row["outcome"] in (FAILED, NOT_EVALUATED)]
    if challenger is not None and not blocking:
        if challenger == champion:
            return KEPT, champion, "this version is the champion already and passed again"
        return PROMOTED, challenger, "every model-level check passed or is not applicable"
    reason = "; ".join(f"{row['check_name']} {row['outcome']}: {row['text']}" for row in blocking)
    reason = reason or "there is no challenger"
    return (NO_CHAMPION if champion is None else KEPT), champion, reason


def quarantined_share(data_quality: "pd.DataFrame") -> float | None:
    """Rows quarantined for a fault over all landed rows; None if nothing landed."""
    total = float(data_quality["rows_count"].sum())
    faulty = data_quality.loc[~data_quality["reason_code"].isin(HARMLESS_REASONS), "rows_count"].sum()
    return float(faulty) / total if total else None


@dg.multi_asset(
    name="promotion_gate",
    specs=[
        dg.AssetSpec(
            keys.GATE_CHECKS,
            description="Model-level checks of the challenger, with outcome, value and threshold.",
            group_name=keys.REGISTRY,
            kinds={"python", "mlflow"},
            owners=list(keys.OWNERS),
            deps=[keys.HBMMM_POSTERIOR, keys.HBMMM_ESTIMATES, keys.DATA_QUALITY],
        ),
        dg.AssetSpec(
            keys.CHAMPIONS,
            description="Which version of each registered model is published, and why.",
            group_name=keys.REGISTRY,
            kinds={"python", "mlflow"},
            owners=list(keys.OWNERS),
            deps=[keys.GATE_CHECKS],
        ),
    ],
    check_specs=[GATE_IS_PASSED],
)
def promotion_gate(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Judge the challenger; alias ``champion`` moves only if no check failed or was left out."""
    import pandas as pd

    from orchestration.resources.artefacts import write_artefact
    from orchestration.resources.tracking import CHAMPION, Tracking

    refresh = load_refresh()
    panel = read_panel_status(refresh)
    status, _ = read_family(refresh, keys.FAMILY_HBMMM)
    tracking = Tracking.from_settings(refresh.settings)
    champion_before = tracking.alias_version(keys.REGISTERED_HBMMM, CHAMPION)
    challenger = status["facts"].get("model_version") if status["status"] == EVALUATED else None
    rows = gate_table(status["facts"], _share(refresh), GateThresholds.from_settings(refresh.settings))
    decision, champion, reason = decide(rows, challenger, champion_before)
    if challenger is None:
        reason = f"{status['status']}: {status['reason']}"
    if decision == PROMOTED:
        tracking.set_alias(keys.REGISTERED_HBMMM, CHAMPION, str(champion))
    identity = {"model_name": keys.REGISTERED_HBMMM, "model_version": challenger}
    checks = pd.DataFrame([identity | row for row in rows])
    champions = pd.DataFrame(
        [identity | {"model_version": champion, "decision": decision, "decided_reason": reason}]
    )
    as_of, folder = refresh.as_of_date, refresh.artefacts_dir
    write_artefact(folder, "gate_checks", keys.FAMILY_HBMMM, as_of, checks)
    write_artefact(folder, "champions", keys.FAMILY_HBMMM, as_of, champions)
    _log_decision(tracking, status["facts"].get("run_id"), checks, decision, reason)
    context.log.info(f"{decision}: {reason}")
    passed = decision != NO_CHAMPION and champion == challenger
    outcome = PASSED if passed else FAILED if panel.is_evaluated else NOT_EVALUATED
    yield dg.MaterializeResult(asset_key=keys.GATE_CHECKS, metadata={"checks": markdown(checks)})
    yield dg.MaterializeResult(
        asset_key=keys.CHAMPIONS,
        metadata={"decision": decision, "champion_version": str(champion or ""), "reason": reason},
    )
    yield check_result(
        GATE_IS_PASSED, outcome, reason, severity=dg.AssetCheckSeverity.ERROR, checks=markdown(checks)
    )


def _share(refresh: Refresh) -> float | None:
    from assets.status import read_parquet

    path = refresh.artefacts_dir / "reporting" / "data_quality.parquet"
    return quarantined_share(read_parquet(path, "it is exported by dbt; materialise reporting/data_quality"))


def _log_decision(
    tracking: Any, run_id: str | None, checks: "pd.DataFrame", decision: str, reason: str
) -> None:
    if run_id is None:
        return
    with tracking.run(keys.FAMILY_HBMMM, "gate", run_id=run_id) as mlflow:
        mlflow.log_text(checks.to_csv(index=False), "gate/gate_checks.csv")
        mlflow.set_tags({"gate.decision": decision, "gate.reason": reason[:5000]})


def _row(
    name: str, value: float | None, threshold: float, what: str, *, at_least: bool = False
) -> dict[str, Any]:
    passed = None if value is None else value >= threshold if at_least else value <= threshold
    shown = "no value" if value is None else f"{value:.4g}"
    bound = "at least" if at_least else "at most"
    return {
        "check_name": name,
        "outcome": NOT_EVALUATED if passed is None else PASSED if passed else FAILED,
        "value": value,
        "threshold": threshold,
        "text": f"{what}: {shown}, should be {bound} {threshold:g}",
    }


def _number(value: Any) -> float | None:
    """A finite float, or None: NaN is no value, and no value is no pass."""
    import math

    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
