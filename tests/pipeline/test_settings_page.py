"""The reference of settings is the settings class, every field of it, and the committed page is current."""

from pathlib import Path

from orchestration.resources.settings import ENV_PREFIX, Settings
from orchestration.settings_page import SECTIONS, render

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_every_setting_is_described_once():
    described = [name for entries in SECTIONS.values() for name in entries]
    assert sorted(described) == sorted(Settings.model_fields)


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "write it anew: python -m orchestration.settings_page > docs/settings.md"
    )


def test_limits_defaults_and_secrets_are_told():
    rows = {line.split("`")[1]: line for line in render().splitlines() if line.startswith(f"| `{ENV_PREFIX}")}
    assert "number, > 0.0, < 1.0 | `0.95`" in rows["MEDIAMIX_INTERVAL_LEVEL"].replace(
        "> 0,", "> 0.0,"
    ).replace("< 1 ", "< 1.0 ")
    assert "`day`, `week`, `month` | none" in rows["MEDIAMIX_PERIOD"]
    assert "secret" in rows["MEDIAMIX_ID_KEY"] and "*Environment only.*" in rows["MEDIAMIX_ID_KEY"]
