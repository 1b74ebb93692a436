"""dbt's copy of the input contract is the one of assets/landing/contract.py, and so are the reason codes in use."""

import ast
import re
from pathlib import Path

import pytest

from assets.landing.contract import CONTRACT

MACROS = Path(__file__).resolve().parents[2] / "dbt_project" / "macros"


def dbt_contract() -> dict[str, dict[str, object]]:
    text = (MACROS / "contract.sql").read_text(encoding="utf-8")
    literal = re.search(r"set tables = (\{.*?\n    \}) %\}", text, flags=re.DOTALL)
    assert literal is not None, "macros/contract.sql no longer holds the dictionary `tables`"
    return ast.literal_eval(literal.group(1).replace("false", "False").replace("true", "True"))


def test_dbt_knows_every_table_of_the_contract_and_no_other() -> None:
    assert set(dbt_contract()) == set(CONTRACT)


@pytest.mark.parametrize("name", list(CONTRACT))
def test_columns_kinds_nulls_and_keys_agree(name: str) -> None:
    ours = dbt_contract()[name]
    theirs = CONTRACT[name]
    assert ours == {
        "key": list(theirs.key),
        "is_open": theirs.is_open,
        "columns": [[column.name, column.kind, column.is_nullable] for column in theirs.columns],
    }


def test_classified_models_use_known_reason_codes_only() -> None:
    codes = set(
        re.findall(
            r"'([a-z_]+)'", (MACROS / "classification.sql").read_text().split("return([")[1].split("])")[0]
        )
    )
    models = sorted((MACROS.parent / "models" / "intermediate").glob("int_*_classified.sql"))
    assert len(models) == len(CONTRACT)
    for model in models:
        rules = re.findall(r"^    '([a-z_]+)':", model.read_text(), flags=re.MULTILINE)
        assert rules, f"{model.name}: no rule found; are they written in another way now?"
        assert set(rules) <= codes, f"{model.name}: {set(rules) - codes} would never be judged"
