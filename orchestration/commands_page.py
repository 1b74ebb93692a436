"""The command line as a page: `python -m orchestration.commands_page > docs/reference/commands.md`.

A test holds the committed page to this output, so that it cannot drift from `--help`.
"""

import io
import os
import re
from contextlib import redirect_stdout, suppress

from orchestration.cli import main

WIDTH = "100"

_HEAD = """# Commands

Generated from the parser by `python -m orchestration.commands_page`; do not edit.

`mediamix` is installed by `make setup` as `.venv/bin/mediamix`. `make run` calls `mediamix run`, and `make ui` calls
`mediamix ui`; `make` alone lists every target. Options stand for settings of the same name and win over environment
variables and `mediamix.toml`; all other settings are on the page [Settings](../settings.md).
"""


def help_text(*arguments: str) -> str:
    """What `mediamix ARGUMENTS --help` prints, 100 characters wide."""
    out = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with redirect_stdout(out), suppress(SystemExit):
            main([*arguments, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return out.getvalue()


def command_names() -> tuple[str, ...]:
    """Every command, in the order of the help."""
    listed = re.search(r"\{([a-z,-]+)\}", help_text())
    assert listed is not None, "mediamix --help lists no commands"
    return tuple(listed[1].split(","))


def render() -> str:
    """The whole page as Markdown."""
    sections = [_section("mediamix", help_text())]
    sections += [_section(f"mediamix {name}", help_text(name)) for name in command_names()]
    return _HEAD + "".join(sections)


def _section(title: str, text: str) -> str:
    return f"\n## {title}\n\n```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    print(render(), end="")
