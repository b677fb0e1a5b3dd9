"""The content security policy: what a browser lets the page load and do."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Message, Send

HEADER: Final = "content-security-policy"

_INLINE: Final = re.compile(rb"<script(?![^>]*\ssrc\s*=)[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)


def policy(origins: Iterable[str], scripts: Iterable[str] = ()) -> str:
    """What the page may load and do: nothing from elsewhere, and no script in its text but those named.

    ``eval`` stays allowed: gradio makes functions of the texts that its parts are configured with.

    Args:
        origins: That may show the page in a frame.
        scripts: As of `inline_scripts`.
    """
    return "; ".join((
        "default-src 'self'", " ".join(("script-src 'self' 'unsafe-eval'", *scripts)),
        "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:", "font-src 'self' data:",
        "media-src 'self' data: blob:", "connect-src 'self'", "worker-src 'self' blob:", "object-src 'none'",
        "frame-src 'none'", "base-uri 'self'", "form-action 'self'", " ".join(("frame-ancestors 'self'", *origins)),
    ))  # fmt: skip


def inline_scripts(page: bytes) -> list[str]:
    """Of the scripts that stand in a page's text what a policy calls them: their hashes, each once."""
    texts = (found.replace(b"\r\n", b"\n") for found in _INLINE.findall(page))
    return list(dict.fromkeys(f"'sha256-{base64.b64encode(hashlib.sha256(one).digest()).decode()}'" for one in texts))


def with_own_scripts(send: Send, origins: Iterable[str], others: Iterable[str]) -> Send:
    """Hold a page back until it is whole, and tell the browser that the scripts in its text are its own.

    Args:
        send: Passes on what is answered.
        origins: As of `policy`.
        others: Scripts that the page adds later, as of `inline_scripts`.
    """
    waiting: list[Message] = []

    async def sending(message: Message) -> None:
        waiting.append(message)
        if message["type"] == "http.response.start" or message.get("more_body", False):
            return
        page = b"".join(one.get("body", b"") for one in waiting)
        MutableHeaders(scope=waiting[0])[HEADER] = policy(origins, [*inline_scripts(page), *others])
        for one in waiting:
            await send(one)

    return sending
