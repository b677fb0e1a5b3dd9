"""What the law of invariance does not hold for today; written by ``survey.py --exceptions``.

A spelling that is mended should leave this list.
"""

REFUSED: dict[str, tuple[str, ...]] = {}
"""The spellings that a method refuses by name where it explains the base: family to spellings."""

DIFFERENT: dict[str, dict[str, tuple[str, ...]]] = {}
"""The spellings that methods explain differently than the base: family to spelling to methods."""
