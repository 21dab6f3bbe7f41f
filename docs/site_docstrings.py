"""Docstrings as the site needs them: examples and columns keep their lines."""

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"(?P<lines>^>>> .*(?:\n(?!\n|>>> ).*|\n>>> .*)*)", re.MULTILINE)
LADDER = re.compile(r"(?P<lines>(?:^\S.*\S {2,}\S.*\n?){2,})", re.MULTILINE)  # lines in two columns


class KeepLines(Extension):
    """Fences around what a docstring lays out by lines."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for everything it has read."""
        if obj.docstring:
            fenced = EXAMPLE.sub(r"```pycon\n\g<lines>\n```", obj.docstring.value)
            obj.docstring.value = LADDER.sub(r"```text\n\g<lines>\n```\n", fenced)
