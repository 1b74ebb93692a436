"""What mkdocs.yml cannot say: pages and tables made while the documentation site is built (`make docs`).

The evidence table comes from docs/studies, the published tables from the dbt project, the estimands from the report,
the library's pages from the packages of models/. Nothing of it is committed, so nothing of it can be out of date. A
site that would make a browser ask another host for anything does not build.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from docs_site.evidence import evidence_table, read_studies
from docs_site.published_tables import published_tables
from models.report.estimands import ESTIMANDS

ROOT = Path(__file__).resolve().parents[1]
#: What stands in a page of docs/ in place of a table -> the function that makes it.
MARKS: dict[str, Callable[[], str]] = {
    "<!-- generated: studies -->": lambda: evidence_table(read_studies()),
    "<!-- generated: published tables -->": published_tables,
    "<!-- generated: estimands -->": lambda: estimands_table(),
}
STUDIES_SECTION, LIBRARY_SECTION = "Studies", "Python library"
#: Attributes by which a page makes a browser load something on its own; links that a reader clicks are not among them.
LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "object": ("data",),
    "link": ("href",),
}
_OUTSIDE = re.compile(r"(https?:)?//")
_OUTSIDE_IN_CSS = re.compile(r"(?:url\(\s*|@import\s+)[\"']?(?:https?:)?//")


def library_pages(root: Path = ROOT) -> dict[str, str]:
    """Page below docs/ -> Markdown, one for each package of models/ and one for its single modules."""
    packages = sorted(path.parent.name for path in (root / "models").glob("*/__init__.py"))
    modules = sorted(path.stem for path in (root / "models").glob("*.py") if path.stem != "__init__")
    pages = {f"reference/models_{name}.md": f"# models.{name}\n\n::: models.{name}\n" for name in packages}
    parts = "".join(f"\n::: models.{name}\n    options:\n      show_root_heading: true\n" for name in modules)
    pages["reference/models_shared.md"] = f"# Modules that all families share\n{parts}"
    return pages


def filled(markdown: str) -> str:
    """The page with its marks replaced by what they stand for."""
    for mark, make in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


def estimands_table() -> str:
    """The estimands in the report's own words and formulas."""
    rows = "".join(f"| `{one.name}` | {one.words} | {one.formula} |\n" for one in ESTIMANDS)
    return f"| `estimand` | In words | Formula |\n|---|---|---|\n{rows}"


def outside_requests(folder: Path) -> list[str]:
    """`page: address` of everything that a page or style sheet of a built site would load from another host."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        parser = _Loads()
        parser.feed(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(folder)}: {address}" for address in parser.addresses]
    for path in sorted(folder.rglob("*.css")):
        found += [
            f"{path.relative_to(folder)}: {one}" for one in _OUTSIDE_IN_CSS.findall(path.read_text("utf-8"))
        ]
    return found


class _Loads(HTMLParser):
    """Collects addresses on other hosts that a browser would load without being asked."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "next", "prev"):
            return
        for name in LOADING.get(tag, ()):
            if _OUTSIDE.match(values.get(name) or ""):
                self.addresses.append(str(values[name]))
        if _OUTSIDE_IN_CSS.search(values.get("style") or ""):
            self.addresses.append(str(values["style"]))


def on_config(config: Any) -> Any:
    """Put studies and the library's pages into the navigation."""
    _extend(config.nav, STUDIES_SECTION, [f"studies/{study.name}.md" for study in read_studies()])
    _extend(config.nav, LIBRARY_SECTION, list(library_pages()))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the library's pages."""
    from mkdocs.structure.files import File

    for name, text in library_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill marks."""
    return filled(markdown)


def on_post_build(config: Any) -> None:
    """Refuse a site that asks another host for fonts, scripts, styles or pictures."""
    from mkdocs.exceptions import PluginError

    if found := outside_requests(Path(config.site_dir)):
        raise PluginError(
            f"the site would load from other hosts: {found}. Put the file into docs/, or leave it out."
        )


def _extend(nav: list[Any], title: str, pages: list[str]) -> None:
    """Append pages to the section of that title, wherever it stands."""
    for entry in nav:
        for name, value in entry.items() if isinstance(entry, dict) else ():
            if name == title:
                value.extend(pages)
            elif isinstance(value, list):
                _extend(value, title, pages)
