"""The settings as a page: `python -m orchestration.settings_page > docs/settings.md`.

A test holds the committed page to this output, and every setting to an entry here, so that the page cannot drift.
"""

import types
import typing
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from orchestration.resources.settings import ENV_PREFIX, ENVIRONMENT_ONLY, NO_VALUE, Settings

#: Setting -> what it is for; sections in the order of the page.
SECTIONS: dict[str, dict[str, str]] = {
    "Data": {
        "home": "Folder that holds everything of a deployment; one home keeps one brand.",
        "source": "complete_journey, simulated, or the path of a folder of files in the contract's shape.",
        "period": "Length of a period. None: from the spacing of landed market tables, else month.",
        "week_start": "First day of a week.",
        "timezone": "Zone in which local dates and periods are taken.",
        "currency_code": "Currency of GMV; rows in another one are quarantined. None: the most frequent one.",
        "as_of_date": "Last day a run may see. None: the last complete period in the data.",
        "pre_periods_count": "Periods before the first outcome period. None: 28 days, 12 weeks or 3 months.",
        "lead_periods_count": "Periods of future exposure in the lead placebo. None: 7 days, 3 weeks or 1 month.",
    },
    "Model": {
        "seed": "Seed of everything that draws.",
        "outcome": "money, log1p (log points, no money claimed) or two_part (kept, never published).",
        "imputations_count": "Completed data sets where characteristics are missing.",
        "interactions": "Pairs of characteristics whose products enter the model, as JSON.",
        "interval_level": "Level of published intervals.",
        "chains_count": "Chains of NUTS.",
        "tune_count": "Draws of the pilot chain that a step size of NUTS is judged on.",
        "draws_count": "Kept draws of a chain.",
        "target_accept": "Wanted acceptance of NUTS.",
        "fit_processes_count": "Processes that share a fit; results do not depend on it.",
        "force_refit": "Fit again although nothing changed.",
        "robustness_refits": "Refits of robustness checks and placebos in every run, not in the monthly job only.",
        "placebo_replicates_count": "Refits of each placebo.",
        "second_opinion_consumers_count": "Consumers that weighting and overlap rest on at most.",
        "response_markets_most": "Most markets of the response model: the smallest become one. Complete Journey: 12.",
    },
    "Gate": {
        "gate_r_hat_most": "R-hat must be below.",
        "gate_ess_least": "Effective sample size must be above.",
        "gate_baseline_deviation_most": "Most distance of expected GMV from observed GMV, as a share.",
        "gate_quarantined_share_most": "Most share of landed rows in quarantine for a fault.",
        "gate_overlap_least": "Least overlap of a slope's posterior with the champion's, unless new rows explain less.",
        "gate_naive_ratio_most": "Most error on held-out rows, as a multiple of the seasonal naive forecast's.",
        "gate_champion_ratio_most": "Most error on held-out rows, as a multiple of that of the champion's settings.",
        "gate_coverage_error_most": "Most distance of held-out intervals' coverage from their level.",
    },
    "Stores and alerts": {
        "mlflow_tracking_uri": "MLflow's store. Empty: SQLite in the home. PostgreSQL: docs/production.md.",
        "dagster_storage_uri": "Dagster's runs, events and schedules in PostgreSQL. Empty: SQLite in the home.",
        "alert_webhook_url": "Address that failed runs and failed gates are posted to, as JSON.",
    },
    "Privacy": {
        "id_key": "Key under which consumer ids are hashed at landing, 32 characters or more.",
        "segment_consumers_least": "Consumers that a segment needs to be published.",
    },
    "Simulated source": {
        "simulated_consumers_count": "Consumers of the simulated world.",
        "simulated_markets_count": "Its markets.",
        "simulated_periods_count": "Its periods.",
        "simulated_confounding": "How much exposure follows taste, 0 to 1.",
    },
}

_HEAD = """# Settings

Generated from the settings class by `python -m orchestration.settings_page`; do not edit.

Each is an environment variable or a line of `<home>/mediamix.toml` in lower case without the prefix
(`period = "week"`); the environment wins. An unknown one is refused. Those marked *environment only* are secrets, never
read from a file and never printed. A value outside of its limits stops the command before anything runs.
"""


def render() -> str:
    """The whole page as Markdown."""
    return _HEAD + "".join(_section(title, entries) for title, entries in SECTIONS.items())


def _section(title: str, entries: dict[str, str]) -> str:
    rows = "".join(_row(name, meaning) for name, meaning in entries.items())
    return f"\n## {title}\n\n| Variable | Values | Default | Meaning |\n|---|---|---|---|\n{rows}"


def _row(name: str, meaning: str) -> str:
    mark = " *Environment only.*" if name in ENVIRONMENT_ONLY else ""
    return f"| `{ENV_PREFIX}{name.upper()}` | {_values(name)} | {_default(name)} | {meaning}{mark} |\n"


def _values(name: str) -> str:
    field = Settings.model_fields[name]
    limits = [
        f"{sign} {getattr(item, attribute)}"
        for item in field.metadata
        for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        if getattr(item, attribute, None) is not None
    ]
    return ", ".join([_type(field.annotation), *limits])


def _type(annotation: Any) -> str:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(_type(part) for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return "pairs"
    names = {str: "text", int: "whole number", float: "number", bool: "true, false", SecretStr: "secret"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    assert default is not PydanticUndefined
    if name == "home":
        return "`.mediamix` in the checkout"
    if default is None:
        return NO_VALUE.get(name, "none").strip("()")
    return (
        f"`{str(default).lower() if isinstance(default, bool) else default}`"
        if default not in ("", ())
        else "empty"
    )


if __name__ == "__main__":
    print(render(), end="")
