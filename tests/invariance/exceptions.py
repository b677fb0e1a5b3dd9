REFUSED: dict[str, tuple[str, ...]] = {}
DIFFERENT: dict[str, dict[str, tuple[str, ...]]] = {}
