"""`tools/coverage_table.py` and its page; that folder is no package."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
from coverage_page import page  # noqa: E402  # found through the path set above
from coverage_table import DOCS, VARIANTS, without_rule  # noqa: E402  # found through the path set above

sys.path.remove(str(TOOLS))

__all__ = ["DOCS", "VARIANTS", "page", "without_rule"]
