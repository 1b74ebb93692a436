"""Docstrings of models/ as Markdown, for the reference pages.

The library writes `name : shape, unit, meaning` with text where numpydoc expects a type, in sections or without one.
Here every such line becomes an item of a list, so that nothing runs together and nothing is taken for a type.
"""

from __future__ import annotations

import re

_NAME = r"\*{0,2}[A-Za-z_]\w*(?:\([^)]*\))?"
_NAMES = rf"{_NAME}(?:, {_NAME})*"
_ITEM = re.compile(rf"({_NAMES})( ?): (\S.*)")
_NEXT_ITEM = re.compile(rf"; (?={_NAMES} : )")
_ALONE = re.compile(_NAME)


def to_markdown(text: str) -> str:
    """Sections become bold titles, `name : meaning` list items; indented formulas and prose stay as they are."""
    lines = [line.rstrip() for line in text.splitlines()]
    out: list[str] = []
    is_section = is_list = False
    for at, line in enumerate(lines):
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if line and set(line) == {"-"} and out and is_section:
            continue  # under the title that was just written
        if line and following and set(following) == {"-"} and not line.startswith((" ", "|")):
            out += ["", f"**{line}**", ""]
            is_section, is_list = True, False
        elif not line:
            out.append("")
            is_list = is_list and is_section
        elif found := _item(line, is_list or not out or not out[-1]):
            if not is_list and out and out[-1]:
                out.append("")
            out += [f"- `{names}`: {meaning}" for names, meaning in found]
            is_list = True
        elif is_section and _ALONE.fullmatch(line) and following.startswith(" "):
            out.append(f"- `{line}`:")
            is_list = True
        elif is_list and (out[-1] or line.startswith(" ")):
            out.append(f"    {line.strip()}")
        else:
            is_list = False
            out.append(line)
    return "\n".join(out)


def _item(line: str, may_begin: bool) -> list[tuple[str, str]]:
    """(names, meaning) of a line, several where semicolons part them; none if it is prose.

    may_begin : whether `name: meaning` without a space before the colon counts too
    """
    first = _ITEM.fullmatch(line)
    if first is None or not (first[2] or (may_begin and first[1].islower())):
        return []
    return [(one[1], one[3]) for part in _NEXT_ITEM.split(line) if (one := _ITEM.fullmatch(part))]
