"""A report as one HTML file: style, script and pictures are inside, and the page may ask no network for anything.

The page carries a content security policy that allows no request at all and, by their checksums, only its own
style and script; so a name of a file or class that looked like markup could do nothing even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise import records
from equipoise.errors import MissingPackageError, OptionError

if TYPE_CHECKING:
    import os
    from types import ModuleType

    from equipoise.report.content import Report

_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}


def require() -> ModuleType:
    """The package that fills the page's template, so that its absence shows before any work is done.

    Raises:
        MissingPackageError: If jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415  # the evaluation extra
    except ImportError as error:
        raise MissingPackageError("a report needs jinja2: pip install equipoise[evaluate]") from error
    return jinja2


def render(report: Report) -> str:
    """A report as the text of an HTML file.

    Raises:
        MissingPackageError: If jinja2 is not installed.
        OptionError: If a picture is neither PNG, JPEG nor WebP.
    """
    jinja2 = require()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    environment.filters["data_uri"] = data_uri
    environment.filters["json"] = _json
    style, script = _text("page.css"), _text("page.js")
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_checksum(style)}'",
            f"script-src '{_checksum(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    template = environment.from_string(_text("page.html"))
    text: str = template.render(report=report, policy=policy, style=_safe(jinja2, style), script=_safe(jinja2, script))
    return text


def write(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write a report; the file is whole or absent.

    Raises:
        MissingPackageError: If jinja2 is not installed.
        OptionError: If a picture is neither PNG, JPEG nor WebP.
        OSError: If the file cannot be written.
    """
    return records.write_atomically(Path(path), render(report).encode("utf-8", "replace"))


def data_uri(image: bytes) -> str:
    """A picture as an address that holds it.

    Raises:
        OptionError: If it is neither PNG, JPEG nor WebP.
    """
    kind = next((kind for start, kind in _KINDS.items() if image.startswith(start)), None)
    if kind is None:
        raise OptionError("a picture in a report is PNG, JPEG or WebP")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _json(value: Any) -> str:
    return records.to_json(value, indent=1)


def _text(name: str) -> str:
    return (importlib.resources.files("equipoise.report") / name).read_text(encoding="utf-8")


def _safe(jinja2: ModuleType, text: str) -> Any:
    """Our own style and script, which must not be escaped."""
    return jinja2.utils.markupsafe.Markup(text)


def _checksum(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
