"""What Dagster asks of dbt, and what it says about landed files: plain functions, no run needed."""

import json

import pytest

from assets import keys
from orchestration.resources.settings import Settings


def test_dbt_gets_the_variables_of_the_settings_and_runs_no_unit_tests(manifest, tmp_path):
    from assets.warehouse import dbt_arguments

    arguments = dbt_arguments(
        Settings(home=tmp_path, source="simulated", period="month", week_start="sunday")
    )
    assert arguments[:3] == ["build", "--exclude-resource-type", "unit_test"]
    variables = json.loads(arguments[arguments.index("--vars") + 1])
    assert variables["source_name"] == "simulated"
    assert variables["week_start"] == 7
    assert variables["home"] == str(tmp_path)


def test_the_dbt_resource_opens_no_database_in_this_process(manifest):
    from orchestration.resources.dbt import dbt_resource

    resource = dbt_resource()
    assert resource._initialize_dbt_core_adapter([]) is None
    assert resource._cli_version.major == 1


@pytest.mark.parametrize("source_name", ["complete_journey", "canonical"])
def test_every_raw_asset_has_facts_and_those_of_other_sources_say_so(source_name):
    from assets.landing.land import LandingReport
    from assets.raw import RAW_SPECS, landing_facts

    report = LandingReport(
        source_name=source_name,
        loads_new=(),
        loads_known=(),
        ignored=(),
        rows_per_table={"transactions": 7},
        loads=(),
        seconds=0.1,
    )
    facts = landing_facts(report)
    assert set(facts) == {spec.key for spec in RAW_SPECS}
    mine, other = keys.RAW_TABLES[0], keys.RAW_COMPLETE_JOURNEY[0]
    if source_name == "complete_journey":
        mine, other = other, mine
    assert facts[mine]["dagster/row_count"] == 7
    assert facts[other]["note"] == "not a table of this source"
    assert facts[keys.LANDING_MANIFEST]["loads_new_count"] == 0
