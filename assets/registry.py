"""Group registry: the gate that turns a challenger into the champion.

Only model-level checks block. Row-level evidence (placebo, overlap) marks rows instead (assets/identification.py).
A check that was not evaluated blocks like one that failed (design, section 6).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import keys
from assets.champions import GATED
from assets.checks import GATE_IS_PASSED, RESPONSE_GATE_IS_PASSED, check_result, markdown
from assets.gate_comparisons import ComparisonLimits, held_out_rows, stability_row
from assets.held_out import read_held_out
from assets.status import EVALUATED, Refresh, load_refresh, read_family, read_parquet
from models.outcomes import FAILED, NOT_APPLICABLE, NOT_EVALUATED, PASSED, outcome_of
from orchestration.resources.alerts import send_alert
from orchestration.resources.artefacts import read_artefact, write_artefact
from orchestration.resources.tracking import AS_OF_DATE_TAG, CHAMPION, Tracking

if TYPE_CHECKING:
    import pandas as pd

    from orchestration.resources.settings import Settings

PROMOTED, KEPT, NO_CHAMPION = "promoted", "kept", "no_champion"
#: Promoted by a person, with a reason, although checks failed or were not evaluated.
OVERRIDDEN = "overridden"
#: Published for its own as-of date, while the alias stays with a model of later data.
BACKFILLED = "backfilled"
#: Reasons that say nothing about the quality of a delivery: rows left out by design, and files sent twice.
HARMLESS_REASONS = ("accepted", "out_of_scope", "exact_duplicate")


@dataclass(frozen=True)
class GateThresholds:
    """What a fit must reach. Convergence: Vehtari et al. (2021), 100 effective draws a chain for 4 chains.

    A value at its limit passes, save for R-hat and sample size (models.checks.convergence).
    """

    r_hat_most: float = 1.01
    ess_least: float = 400.0
    divergences_most: int = 0
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

    facts : of the fit: r_hat_max, ess_min, divergences_count, e_bfmi_min, expected_gmv, observed_gmv. A
        missing or non-finite one is "not evaluated".
    """
    from models.checks.convergence import ConvergenceThresholds, check_convergence, check_importance

    limits = thresholds
    divergences = _number(facts.get("divergences_count"))
    bounds = ConvergenceThresholds(limits.r_hat_most, limits.ess_least, limits.divergences_most)
    if "k_hat_max" in facts:
        k_hat, ess = _number(facts["k_hat_max"]), _number(facts.get("ess_min"))
        unknown = float("nan")
        converged = check_importance(
            unknown if k_hat is None else k_hat, unknown if ess is None else ess, bounds
        )
    else:
        converged = check_convergence(
            {"all": _number(facts.get("r_hat_max"))},
            {"all": _number(facts.get("ess_min"))},
            None if divergences is None else int(divergences),
            _number(facts.get("e_bfmi_min")),
            bounds,
        )
    expected, observed = _number(facts.get("expected_gmv")), _number(facts.get("observed_gmv"))
    deviation = None if expected is None or not observed else abs(expected - observed) / abs(observed)
    return [
        {
            "check_name": converged.name,
            "outcome": converged.outcome,
            "value": converged.value,
            "threshold": converged.threshold,
            "text": converged.text,
        },
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


def response_gate_table(
    facts: Mapping[str, Any], quarantined_share: float | None, thresholds: GateThresholds
) -> list[dict[str, Any]]:
    """The rows of `gate_table` for a response fit, and two of its own.

    facts : besides, identity_deviation (share of a market's mean GMV) and baseline_negative_probability.
    """
    from models.response.fit_checks import BASELINE_NEGATIVE_MOST, IDENTITY_MOST

    own = [
        _row(
            "contributions_add_up",
            _number(facts.get("identity_deviation")),
            IDENTITY_MOST,
            "largest distance of contributions and baseline from expected GMV, as a share of a market's mean",
        ),
        _row(
            "baseline_not_negative",
            _number(facts.get("baseline_negative_probability")),
            BASELINE_NEGATIVE_MOST,
            "probability that GMV without any channel is negative in all",
        ),
    ]
    return [*gate_table(facts, quarantined_share, thresholds), *own]


@dataclass(frozen=True)
class Champion:
    """The version that is read for an as-of date, or None.

    later_version, later_date: what alias champion names, where its data end after that date (a back-fill).
    """

    version: str | None
    later_version: str | None = None
    later_date: date | None = None


def find_champion(refresh: Refresh, family: str = keys.FAMILY_HBMMM) -> Champion:
    """The champion of this as-of date before the gate decides."""
    tracking = Tracking.from_settings(refresh.settings)
    version = tracking.alias_version(GATED[family], CHAMPION)
    if version is None:
        return Champion(None)
    tag = tracking.version_tag(GATED[family], version, AS_OF_DATE_TAG)
    later_date = date.fromisoformat(tag) if tag else refresh.as_of_date
    if later_date <= refresh.as_of_date:
        return Champion(version)
    decided = read_artefact(refresh.artefacts_dir, "champions", family, refresh.as_of_date)
    versions = decided["model_version"].dropna().tolist()
    return Champion(versions[0] if versions else None, version, later_date)


def decide(
    rows: list[dict[str, Any]], challenger: str | None, champion: Champion, override: str = ""
) -> tuple[str, str | None, str]:
    """(decision, version to read for this as-of date afterwards, reason).

    override : a person's reason to take the challenger although checks failed or were not evaluated; '' for none.
    """
    blocking = [row for row in rows if row["outcome"] not in (PASSED, NOT_APPLICABLE)]
    found = "; ".join(f"{row['check_name']} {row['outcome']}: {row['text']}" for row in blocking)
    if challenger is not None and (override or not blocking):
        passed = f"by hand: {override} (against {found})" if blocking else "every model-level check passed"
        if champion.later_version not in (None, challenger):
            stays = f"version {champion.later_version}, of data up to {champion.later_date}, stays champion"
            return BACKFILLED, challenger, f"{passed}; {stays}"
        if challenger in (champion.version, champion.later_version):
            return KEPT, challenger, "this version is the champion already and passed again"
        return (OVERRIDDEN if blocking else PROMOTED), challenger, passed
    reason = found or "there is no challenger"
    return (NO_CHAMPION if champion.version is None else KEPT), champion.version, reason


def quarantined_share(data_quality: "pd.DataFrame") -> float | None:
    """Rows quarantined for a fault over all landed rows; None if nothing landed."""
    total = float(data_quality["rows_count"].sum())
    faulty = data_quality.loc[~data_quality["reason_code"].isin(HARMLESS_REASONS), "rows_count"].sum()
    return float(faulty) / total if total else None


class GateRunConfig(dg.Config):
    """A person's decision: take the challenger of this registered model although the gate would not, and why."""

    override_model: str = ""
    override_reason: str = ""


@dg.multi_asset(
    name=keys.GATE_STEP,
    specs=[
        dg.AssetSpec(
            keys.GATE_CHECKS,
            description="Model-level checks of the challengers, with outcome, value and threshold.",
            group_name=keys.REGISTRY,
            kinds={"python", "mlflow"},
            owners=list(keys.OWNERS),
            deps=[
                keys.HBMMM_POSTERIOR,
                keys.HBMMM_ESTIMATES,
                keys.RESPONSE_POSTERIOR,
                keys.RESPONSE_ESTIMATES,
                keys.HELD_OUT_ACCURACY,
                keys.DATA_QUALITY,
            ],
        ),
        dg.AssetSpec(
            keys.CHAMPIONS,
            description="Which version of each registered model is published for its as-of date, and why.",
            group_name=keys.REGISTRY,
            kinds={"python", "mlflow"},
            owners=list(keys.OWNERS),
            deps=[keys.GATE_CHECKS],
        ),
    ],
    check_specs=[GATE_IS_PASSED, RESPONSE_GATE_IS_PASSED],
)
def promotion_gate(context: dg.AssetExecutionContext, config: GateRunConfig) -> Iterator[Any]:
    """Judge the challengers; alias ``champion`` moves only if every check passed, and never to older data."""
    import pandas as pd

    refresh = load_refresh()
    overrides = {config.override_model: config.override_reason}
    verdicts = [
        _judge(context, refresh, family, table, overrides.get(GATED[family], ""))
        for family, table in ((keys.FAMILY_HBMMM, gate_table), (keys.FAMILY_RESPONSE, response_gate_table))
    ]
    checks = pd.concat([one.checks for one in verdicts], ignore_index=True)
    decisions = {f"decision_{one.family}": one.decision for one in verdicts}
    versions = {f"champion_version_{one.family}": str(one.champion or "") for one in verdicts}
    yield dg.MaterializeResult(asset_key=keys.GATE_CHECKS, metadata={"checks": markdown(checks)})
    reasons = {f"reason_{one.family}": one.reason for one in verdicts}
    yield dg.MaterializeResult(asset_key=keys.CHAMPIONS, metadata={**decisions, **versions, **reasons})
    for one, spec in zip(verdicts, (GATE_IS_PASSED, RESPONSE_GATE_IS_PASSED), strict=True):
        yield check_result(
            spec,
            one.outcome,
            one.reason,
            severity=dg.AssetCheckSeverity.ERROR,
            checks=markdown(one.checks),
        )


@dataclass(frozen=True)
class Verdict:
    """What the gate said of one family's challenger."""

    family: str
    checks: "pd.DataFrame"
    decision: str
    champion: str | None
    reason: str
    outcome: str


def _judge(
    context: dg.AssetExecutionContext,
    refresh: Refresh,
    family: str,
    table: Callable[[Mapping[str, Any], float | None, GateThresholds], list[dict[str, Any]]],
    override: str,
) -> Verdict:
    """Check one challenger, move its alias if it passed, leave the rows for dbt and the decision in MLflow."""
    import pandas as pd

    registered = GATED[family]
    status, _ = read_family(refresh, family)
    is_evaluated = status["status"] == EVALUATED
    tracking = Tracking.from_settings(refresh.settings)
    challenger = status["facts"].get("model_version") if is_evaluated else None
    rows = table(status["facts"], _share(refresh), GateThresholds.from_settings(refresh.settings))
    served = find_champion(refresh, family)
    if family == keys.FAMILY_HBMMM and challenger is not None:
        rows += _comparisons(refresh)
    decision, champion, reason = decide(rows, challenger, served, override)
    if challenger is None:
        reason = f"{status['status']}: {status['reason']}"
    if decision in (PROMOTED, OVERRIDDEN):
        tracking.set_alias(registered, CHAMPION, str(champion))
    identity = {"model_name": registered, "model_version": challenger}
    checks = pd.DataFrame([identity | row for row in rows])
    champions = pd.DataFrame(
        [identity | {"model_version": champion, "decision": decision, "decided_reason": reason}]
    )
    as_of, folder = refresh.as_of_date, refresh.artefacts_dir
    write_artefact(folder, "gate_checks", family, as_of, checks)
    write_artefact(folder, "champions", family, as_of, champions)
    _log_decision(tracking, family, status["facts"].get("run_id"), checks, decision, reason)
    context.log.info(f"{registered}: {decision}: {reason}")
    passed = decision != NO_CHAMPION and champion == challenger
    if not passed and is_evaluated:
        text = gate_alert(challenger, champion, reason, registered)
        send_alert(refresh.settings, text, kind="gate_not_passed", as_of_date=as_of, decision=decision)
    outcome = PASSED if passed else FAILED if is_evaluated else NOT_EVALUATED
    return Verdict(family, checks, decision, champion, reason, outcome)


def _comparisons(refresh: Refresh) -> list[dict[str, Any]]:
    """Rows that compare the challenger with others: seasonal naive, the champion's settings, the champion's effects."""
    limits, found = ComparisonLimits.from_settings(refresh.settings), read_held_out(refresh)
    return [*held_out_rows(found, limits), stability_row(refresh, found.get("rival"), limits)]


def gate_alert(
    challenger: str | None, champion: str | None, reason: str, registered: str = keys.REGISTERED_HBMMM
) -> str:
    """What an alert says of a challenger that did not pass."""
    serving = f"version {champion} is still served" if champion else "no version is served"
    who = f"{registered} version {challenger or 'none'}"
    return f"mediamix: {who} did not pass the gate ({reason}); {serving}"


def _share(refresh: Refresh) -> float | None:
    path = refresh.artefacts_dir / "reporting" / "data_quality.parquet"
    return quarantined_share(read_parquet(path, "it is exported by dbt; materialise reporting/data_quality"))


def _log_decision(
    tracking: Any, family: str, run_id: str | None, checks: "pd.DataFrame", decision: str, reason: str
) -> None:
    if run_id is None:
        return
    with tracking.run(family, "gate", run_id=run_id) as mlflow:
        mlflow.log_text(checks.to_csv(index=False), "gate/gate_checks.csv")
        mlflow.set_tags({"gate.decision": decision, "gate.reason": reason[:5000]})


def _row(name: str, value: float | None, threshold: float, what: str) -> dict[str, Any]:
    shown = "no value" if value is None else f"{value:.4g}"
    return {
        "check_name": name,
        "outcome": outcome_of(None if value is None else value <= threshold),
        "value": value,
        "threshold": threshold,
        "text": f"{what}: {shown}, should be at most {threshold:g}",
    }


def _number(value: Any) -> float | None:
    """A finite float, or None: NaN is no value, and no value is no pass."""
    import math

    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
