"""The documentation as far as it can be checked without building it; `make docs` builds it, every warning an error."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from docs_site import hooks
from docs_site.docstrings import to_markdown
from docs_site.evidence import read_studies
from docs_site.published_tables import DBT_MODELS, published_tables

REPO_ROOT = Path(__file__).resolve().parents[1]
DOCS = REPO_ROOT / "docs"
MAKEFILE = (REPO_ROOT / "Makefile").read_text()
#: Page below docs/ -> its Markdown as the site gets it.
PAGES = {
    str(path.relative_to(DOCS)): hooks.filled(path.read_text(encoding="utf-8")) for path in DOCS.rglob("*.md")
} | hooks.library_pages()
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def prose(text: str) -> str:
    return _CODE.sub("", _FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Ids of headings, as Python-Markdown makes them."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)) for title in titles]
    return {re.sub(r"[-\s]+", "-", title.strip().lower()) for title in plain}


def navigation() -> list[str]:
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        parts = entry if isinstance(entry, list) else entry.values()
        return [page for part in parts for page in pages(part)]

    written = pages(yaml.safe_load((REPO_ROOT / "mkdocs.yml").read_text())["nav"])
    return [*written, *hooks.library_pages(), *(f"studies/{study.name}.md" for study in read_studies())]


def test_the_navigation_has_every_page_once():
    assert sorted(navigation()) == sorted(PAGES)


def test_the_hooks_put_studies_and_library_into_the_navigation_that_is_written():
    class Config:
        nav = yaml.safe_load((REPO_ROOT / "mkdocs.yml").read_text())["nav"]

    text = yaml.safe_dump(hooks.on_config(Config()).nav)
    assert "studies/worlds.md" in text and "reference/models_hbmmm.md" in text


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_link_inside_leads_somewhere(page):
    for link in _LINK.findall(prose(PAGES[page])):
        target, _, anchor = link.partition("#")
        if re.match(r"https?:", target):
            continue
        path = (DOCS / page).parent / target if target else DOCS / page
        name = str(path.resolve().relative_to(DOCS))
        assert name in PAGES or path.is_file(), f"{page}: {link} does not exist"
        assert not anchor or anchor in anchors(PAGES[name]), f"{page}: {link}: no such heading"


def test_every_link_of_the_readme_leads_somewhere():
    for link in _LINK.findall(prose((REPO_ROOT / "README.md").read_text())):
        assert re.match(r"https?:", link) or (REPO_ROOT / link.partition("#")[0]).is_file(), link


def test_pictures_come_from_the_repository_and_are_small():
    for page, text in PAGES.items():
        assert not re.search(r"!\[[^\]]*\]\((?:https?:)?//", text), page
    for path in (DOCS / "pictures").iterdir():
        assert path.stat().st_size < 300_000, path


@pytest.mark.parametrize("page", [page for page in sorted(PAGES) if "uoted from [" in PAGES[page]])
def test_quoted_tables_are_what_the_study_says(page):
    """A paragraph that ends in a table and says "quoted from [study]" quotes rows of that page, letter by letter."""
    found = re.findall(r"uoted from\s+\[\w+\]\((\S+?)\)(?:(?!\n\n)[\s\S])*\n\n((?:\|.*\n)+)", PAGES[page])
    assert len(found) == PAGES[page].count("uoted from"), "a quotation without a table right after it"
    for study, table in found:
        study_lines = ((DOCS / page).parent / study).read_text(encoding="utf-8").splitlines()
        assert [row for row in table.splitlines() if row not in study_lines] == []


def test_what_is_said_not_to_exist_does_not_exist():
    section = PAGES["index.md"].split("## What is not there yet")[1]
    assert "budget_plan" in section
    models = {path.stem for path in (DBT_MODELS / "reporting").glob("*.sql")}
    named = set(re.findall(r"`([a-z_]+)`", section.split("- **The market-level")[0]))
    assert not named & models, "it exists now: say so on docs/index.md and in the tutorial"


def test_every_make_target_of_the_documentation_exists(fences):
    targets, variables = (
        set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M)),
        set(re.findall(r"\$\(([A-Z_]+)\)", MAKEFILE)),
    )
    seen = 0
    for page, text in fences("console"):
        for line in re.findall(r"^\$ (?:[A-Z_]+=\S+ )*make (.+?)(?:\s{2,}#.*)?$", text, re.M):
            for word in shlex.split(line):
                name, is_variable, _ = word.partition("=")
                assert name in (variables if is_variable else targets), f"{page}: make {line}"
                seen += 1
    assert seen > 10


def test_every_command_and_option_of_the_documentation_exists(fences):
    from orchestration.commands_page import command_names, help_text

    seen = 0
    for page, text in fences("console"):
        for name, rest in re.findall(r"^\$.*?\bmediamix ([a-z-]+)(.*)$", text, re.M):
            assert name in command_names(), f"{page}: mediamix {name}"
            for option in re.findall(r"(--[a-z-]+)", rest):
                assert option in re.findall(r"--[a-z-]+", help_text(name)), (
                    f"{page}: mediamix {name} {option}"
                )
            seen += 1
    assert seen >= 2


def test_every_setting_that_is_named_exists():
    from orchestration.resources.settings import Settings

    for page, text in PAGES.items():
        for name in re.findall(r"MEDIAMIX_([A-Z_]+)\b(?!>)", text):
            known = name.lower() in Settings.model_fields
            assert known or page in ("production.md", "decisions.md"), f"{page}: MEDIAMIX_{name}"


def test_python_of_the_documentation_imports_what_exists(fences):
    seen = 0
    for page, text in fences("python"):
        for node in ast.walk(ast.parse(text, page)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("models."):
                source = Path(importlib.util.find_spec(node.module).origin).read_text()
                defined = {
                    one.name
                    for one in ast.parse(source).body
                    if isinstance(one, ast.FunctionDef | ast.ClassDef)
                }
                assert {alias.name for alias in node.names} <= defined, f"{page}: {ast.unparse(node)}"
                seen += 1
    assert seen > 5


def test_the_commands_page_is_current():
    from orchestration.commands_page import render

    assert (DOCS / "reference" / "commands.md").read_text(encoding="utf-8") == render(), (
        "write it anew: python -m orchestration.commands_page > docs/reference/commands.md"
    )


def test_published_tables_are_those_of_dbt_with_every_reference_resolved():
    page = published_tables()
    names = re.findall(r"^## (.+)$", page, re.M)
    assert sorted(names) == sorted(path.stem for path in (DBT_MODELS / "reporting").glob("*.sql"))
    assert "{{" not in page and "| `is_identified` | boolean |" in page


def test_a_page_that_would_ask_another_host_is_found(tmp_path):
    (tmp_path / "good.html").write_text(
        '<link rel="canonical" href="https://a.example"><a href="https://b.example">b</a><img src="x.png">'
    )
    (tmp_path / "good.css").write_text("a { background: url(x.png) }")
    assert hooks.outside_requests(tmp_path) == []
    (tmp_path / "bad.html").write_text(
        '<script src="//c.example/s.js"></script><link rel="stylesheet" href="https://d.example/f.css">'
        "<p style=\"background: url('https://e.example/p.png')\">"
    )
    (tmp_path / "bad.css").write_text('@import "https://g.example/f.css";')
    found = " ".join(hooks.outside_requests(tmp_path))
    assert [host in found for host in ("c.example", "d.example", "e.example")] == [True] * 3
    assert "bad.css" in found and "good" not in found


def test_docstrings_become_lists_and_keep_formulas():
    text = (
        "First line.\n\n    y = a + b\n\nParameters\n----------\nx : (R,) floats\n    of rows; y : (R,)\n\n"
        "Raises\n------\nValueError\n    where x is empty\n\ntail of prose\nworld: all of it"
    )
    assert to_markdown(text).splitlines() == [
        "First line.", "", "    y = a + b", "", "", "**Parameters**", "", "- `x`: (R,) floats",
        "    of rows; y : (R,)", "", "", "**Raises**", "", "- `ValueError`:", "    where x is empty", "",
        "tail of prose", "world: all of it",
    ]  # fmt: skip
    assert to_markdown("a : one; b, c : two").splitlines() == ["- `a`: one", "- `b, c`: two"]
