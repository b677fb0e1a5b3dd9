"""Shapes as types, checked at run time where jaxtyping is installed (it always is in the tests).

Letters: ``n`` images, ``k`` targets, ``c`` channels, ``h`` height, ``w`` width, ``C`` classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Num, Shaped
else:
    try:
        from jaxtyping import Bool, Float, Int, Num, Shaped
    except ModuleNotFoundError:  # torch alone is enough to use equipoise; shapes are then documentation

        class _Unchecked:
            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Int = Num = Shaped = _Unchecked

__all__ = ["Bool", "Float", "Int", "Num", "Shaped"]
