"""Docstrings as the site shows them: their reStructuredText mathematics becomes Markdown's.

A griffe extension; ``mkdocs.yml`` names it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import markdown  # found through the path set above


class MathInDocstrings(griffe.Extension):
    """Rewrites every docstring that has mathematics."""

    def on_instance(self, *, obj: griffe.Object, **_more: Any) -> None:
        if obj.docstring and (":math:" in obj.docstring.value or ".. math::" in obj.docstring.value):
            obj.docstring.value = markdown(obj.docstring.value)
