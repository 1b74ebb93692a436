"""Hands every docstring that griffe reads for mkdocstrings to `docs_site.docstrings`."""

from typing import Any

import griffe

from docs_site.docstrings import to_markdown


class MarkdownDocstrings(griffe.Extension):
    """Rewrites docstrings in place."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for modules, classes, functions and attributes."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
