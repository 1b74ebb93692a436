"""The published tables as Markdown, from the dbt project's own descriptions: what the documentation site shows.

Reads YAML and docs blocks, not dbt's manifest, so that the site builds without dbt.
"""

import re
from pathlib import Path
from typing import Any

import yaml

DBT_MODELS = Path(__file__).resolve().parents[1] / "dbt_project" / "models"
_BLOCK = re.compile(r"{%\s*docs (\w+)\s*%}(.*?){%\s*enddocs\s*%}", re.DOTALL)
_REFERENCE = re.compile(r"{{\s*doc\(['\"](\w+)['\"]\)\s*}}")


def published_tables(folder: Path = DBT_MODELS) -> str:
    """A section for each model of reporting/, in the order of its files; columns with types and meanings.

    Raises KeyError for a description that refers to a docs block that does not exist.
    """
    texts = {
        name: " ".join(text.split()) for path in sorted(folder.rglob("*.md")) for name, text in _blocks(path)
    }
    models = [model for path in sorted((folder / "reporting").glob("*.yml")) for model in _models(path)]
    return "\n".join(_section(model, texts) for model in models)


def _blocks(path: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(path.read_text(encoding="utf-8"))


def _models(path: Path) -> list[dict[str, Any]]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models") or []


def _section(model: dict[str, Any], texts: dict[str, str]) -> str:
    rows = "".join(
        f"| `{column['name']}` | {column.get('data_type', '')} | {'no' if _is_required(column) else 'yes'} | "
        f"{_text(column, texts)} |\n"
        for column in model.get("columns") or []
    )
    return (
        f"## {model['name']}\n\n{_text(model, texts)}\n\n"
        f"| Column | Type | May be empty | Meaning |\n|---|---|---|---|\n{rows}"
    )


def _is_required(column: dict[str, Any]) -> bool:
    return any(one.get("type") == "not_null" for one in column.get("constraints") or [])


def _text(described: dict[str, Any], texts: dict[str, str]) -> str:
    text = _REFERENCE.sub(lambda match: texts[match[1]], described.get("description") or "")
    return " ".join(text.split()).replace("|", "\\|")
