"""Reporting tables: what fits left behind is published once, and what cannot be right stops the build."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from orchestration.resources.artefacts import ARTEFACT_SCHEMAS, EFFECT_TABLES, write_artefact

OUTCOMES = "market_id,period_start_date,gmv_amount\n" + "".join(
    f"m1,2024-{month:02d}-01,{100 * month}\n" for month in range(1, 7)
)
AS_OF_DATE = pd.Timestamp("2024-06-30").date()
EFFECT = {
    "channel_id": "tv",
    "estimand": "slope",
    "method": "posterior",
    "model_name": "hbmmm",
    "model_version": "1",
    "kpi": "gmv_net_amount",
    "horizon": "immediate",
    "exposure_distribution": "panel",
    "mean": 2.0,
    "standard_deviation": 0.5,
    "interval_lower": 1.0,
    "interval_upper": 3.0,
    "interval_level": 0.95,
    "unit": "EUR",
    "is_primary": True,
    "is_identified": True,
    "data_version": "d",
}


@pytest.fixture(scope="module")
def home(dbt_home_factory: Callable[..., Any]) -> Any:
    """A market-only home, of which only the reporting tables matter here."""
    made = dbt_home_factory({"market_outcomes": OUTCOMES}, period="month")
    made.land()
    return made


def write(home: Any, table: str, rows: list[dict[str, Any]], family: str = "hbmmm") -> None:
    write_artefact(home.settings.artefacts_dir, table, family, AS_OF_DATE, pd.DataFrame(rows))


def publish(home: Any, check: bool = True) -> Any:
    return home.build("--select", "source:artefacts+", check=check)


def published(home: Any, table: str) -> list[dict[str, Any]]:
    path: Path = home.settings.artefacts_dir / "reporting" / f"{table}.parquet"
    return pq.ParquetFile(path).read().to_pylist()


def test_tables_are_published_with_their_registered_columns(home: Any) -> None:
    champion = {"model_name": "hbmmm", "model_version": "1", "decision": "promoted"}
    write(home, "champions", [champion], family="registry")
    write(home, "channel_effects", [EFFECT, EFFECT | {"model_version": "2", "method": "challenger"}])
    other = EFFECT | {"model_name": "within_consumer", "method": "within", "model_version": None}
    write(home, "channel_effects", [other], family="within_consumer")
    write(home, "market_channel_effects", [EFFECT | {"market_id": "'; drop table x; --"}])
    segment = {"segment_name": "plan", "segment_value": "007", "consumers_count": 10}
    small = [segment | {"segment_value": value, "consumers_count": 9} for value in ("a", "b")]
    write(
        home,
        "segment_channel_effects",
        [EFFECT | one for one in (segment, *small, small[0] | {"method": "x"})],
    )
    write(home, "consumer_channel_effects", [EFFECT | {"consumer_id": "NULL", "learned_share": 0.1}])
    placebo = {"placebo_kind": "lead", "channel_id": "tv", "estimand": "slope", "data_version": "d"}
    write(home, "placebo_results", [placebo | {"reason": "not evaluated"}])
    write(home, "placebo_refits", [placebo | {"placebo_kind": "reassignment_hbmmm", "p_value": 0.02}])
    check = {"specification_kind": "prior", "specification": "row_sd halved", "model_name": "hbmmm"}
    check |= {"channel_id": "tv", "estimand": "slope", "data_version": "d", "sign_holds": True}
    write(
        home, "robustness_checks", [check, check | {"specification": "basis", "reason": "not evaluated: x"}]
    )
    score = {"split_kind": "rolling_origin", "split": "2024-05", "method": "ridge", "model_name": "hbmmm"}
    score |= {"metric": "rmse", "value": 2.5, "unit": "EUR", "data_version": "d"}
    unknown = score | {"method": "hbmmm", "value": None, "reason": "not evaluated: x"}
    write(home, "model_comparison", [score, unknown])
    edge = {
        "market_id": "m1",
        "source_id": "tv",
        "target_id": "gmv",
        "method": "classical",
        "data_version": "d",
    }
    edge |= {"model_name": "mediamix-causalmmm"}
    write(home, "causal_graph_edges", [edge | {"edge_probability": 0.9, "lag": 1.5, "structure": 1}])
    drawn = {"mean": 2.0, "interval_lower": 1.0, "interval_upper": 3.0, "interval_level": 0.95, "unit": "EUR"}
    drawn |= {
        "kpi": "gmv_net",
        "is_identified": False,
        "not_identified_reason": "no graph",
        "data_version": "d",
    }
    drawn |= {"model_name": "mediamix-response", "model_version": "7"}
    write(
        home, "champions", [{"model_name": "mediamix-response", "model_version": "7", "decision": "promoted"}]
    )
    curve = drawn | {"channel_id": "tv", "multiple": 1.0, "intensity": 30.0}
    others = [curve | {"market_id": "m1", "spend_amount": 4.0}, curve | {"model_version": "8"}]
    write(home, "response_curves", [curve, *others], family="response")
    period = drawn | {"period_start_date": AS_OF_DATE, "market_id": "m1"}
    parts = [period | {"component": "channel", "channel_id": "tv"}, period | {"component": "baseline"}]
    write(home, "channel_contributions", parts, family="response")
    gate = {
        "model_name": "hbmmm",
        "model_version": "1",
        "check_name": "converged",
        "outcome": "not_evaluated",
    }
    write(home, "gate_checks", [gate | {"text": "no finite R-hat"}])
    status = {"family": "causal_graph", "status": "not_evaluated", "reason": "2 periods", "rows_count": 0}
    write(home, "family_status", [status | {"data_version": "d"}], family="causal_graph")
    publish(home)
    for table in (
        *EFFECT_TABLES,
        "gate_checks",
        "family_status",
        "placebo_results",
        "robustness_checks",
        "model_comparison",
        "causal_graph_edges",
        "response_curves",
        "channel_contributions",
    ):
        schema = pq.read_schema(home.settings.artefacts_dir / "reporting" / f"{table}.parquet")
        assert schema.names == list(ARTEFACT_SCHEMAS[table])
    assert [row["method"] for row in published(home, "channel_effects")] == ["posterior", "within"]
    assert published(home, "market_channel_effects")[0]["market_id"] == "'; drop table x; --"
    assert [row["segment_value"] for row in published(home, "segment_channel_effects")] == ["007"]
    assert published(home, "suppressed_segments") == [
        {
            "as_of_date": AS_OF_DATE,
            "segment_name": "plan",
            "consumers_least": 10,
            "cells_count": 2,
            "rows_count": 3,
        }
    ]
    assert published(home, "consumer_channel_effects")[0]["consumer_id"] == "NULL"
    placebos = published(home, "placebo_results")
    assert [(row["placebo_kind"], row["passed"], row["p_value"]) for row in placebos] == [
        ("lead", None, None),
        ("reassignment_hbmmm", None, 0.02),
    ]
    checks = published(home, "robustness_checks")
    assert [(row["specification"], row["sign_holds"]) for row in checks] == [
        ("basis", True),
        ("row_sd halved", True),
    ]
    (edge,) = published(home, "causal_graph_edges")
    assert (edge["edge_probability"], edge["lag"], edge["sign"], edge["structure"]) == (0.9, 1.5, None, 1)
    curves = [(row["market_id"], row["spend_amount"]) for row in published(home, "response_curves")]
    assert sorted(curves, key=str) == [("m1", 4.0), (None, None)]  # version 8 is no champion
    components = [(row["component"], row["channel_id"]) for row in published(home, "channel_contributions")]
    assert components == [("baseline", None), ("channel", "tv")]
    (status,) = published(home, "family_status")
    assert (status["family"], status["reason"]) == ("causal_graph", "2 periods")
    compared = published(home, "model_comparison")
    assert [(row["method"], row["value"], row["reason"]) for row in compared] == [
        ("hbmmm", None, "not evaluated: x"),
        ("ridge", 2.5, None),
    ]


def test_effects_that_cannot_be_right_fail_the_build(home: Any) -> None:
    spoilt = [
        EFFECT | {"interval_lower": 2.5},
        EFFECT | {"estimand": "uplift", "method": "posterior"},
        EFFECT | {"method": "twice"},
        EFFECT | {"method": "twice"},
    ]
    write(home, "channel_effects", spoilt)
    write(home, "market_channel_effects", [EFFECT | {"market_id": "m1", "unit": None}])
    score = {"split_kind": "by_consumer", "split": "1", "method": "ridge", "metric": "mae", "model_name": "m"}
    write(home, "model_comparison", [score | {"data_version": "d", "value": None, "reason": None}])
    silent = {"family": "hbmmm", "status": "skipped", "rows_count": 0, "data_version": "d"}
    write(home, "family_status", [silent])
    output = publish(home, check=False)
    assert output.returncode == 1
    for failed in (
        "accepted_values_family_status_status",
        "value_or_reason",
        "interval_holds_mean",
        "accepted_values_channel_effects_estimand",
        "unique_key_columns",
    ):
        assert any(f"FAIL 1 {failed}" in line for line in output.stdout.splitlines()), output.stdout[-3000:]
    assert "NOT NULL constraint failed: market_channel_effects" in output.stdout
