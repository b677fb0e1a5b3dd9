"""Who may ask the page for what: looked at before gradio sees a request, and said to the browser in every answer."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from equipoise.app.policy import HEADER, inline_scripts, policy, with_own_scripts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES: Final = ("/", "/scenes", "/scenes/")
"""What a link may lead to."""

SERVED: Final = (
    *PAGES,
    "/config",
    "/config/",
    "/theme.css",
    "/favicon.ico",
    "/robots.txt",
    "/manifest.json",
    "/gradio_api/run/predict",
)
"""What is served under exactly this path."""

SERVED_BELOW: Final = (
    "/assets/", "/static/", "/svelte/", "/gradio_api/file=", "/gradio_api/heartbeat/", "/gradio_api/queue/join",
    "/gradio_api/queue/data", "/gradio_api/upload", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/info",
    "/gradio_api/app_id", "/gradio_api/login_check", "/gradio_api/startup-events", "/gradio_api/theme.css",
)  # fmt: skip
"""What is served under a path that begins so; all else that gradio could do, such as to fetch an address, is absent."""

LARGEST_QUESTION: Final = 1 << 20
"""Bytes of what the page asks, other than of a file."""

_FILE: Final = "/gradio_api/file="
_OPEN: Final = "/gradio_api/startup-events"  # gradio asks its own server at the start; it tells nothing
_MOST_WRONG: Final = 50  # wrong passwords that wait at a time
_NAMES: Final = frozenset({"localhost", "testserver"})


@dataclass(frozen=True)
class Rules:
    """What the gate asks.

    Attributes:
        folder: Where visitors' files are; a question that names a file elsewhere is refused.
        host: The address that the server listens on.
        origins: Other addresses by which the page is known, such as a proxy's: ``https://lab.example``.
        password: Asked of every visitor; ``None``: of none.
        largest: Bytes of a file.
        most: Bytes of all files of visitors together.
        head: What the page puts into its head once it runs: HTML whose scripts are its own.
    """

    folder: Path
    host: str = "127.0.0.1"
    origins: tuple[str, ...] = ()
    password: str | None = None
    largest: int = 40 << 20
    most: int = 2 << 30
    head: str = ""


class Gate:
    """An ASGI application around gradio's.

    Args:
        app: Gradio's.
        rules: What is asked.
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules
        self._folder = rules.folder.resolve()
        self._hosts = _own_names(rules)
        self._origins = {one.rstrip("/").casefold() for one in rules.origins}
        self._page = {HEADER: policy(rules.origins)} | _ALWAYS
        self._scripts = inline_scripts(rules.head.encode())
        if not rules.origins:
            self._page["x-frame-options"] = "SAMEORIGIN"
        self._wrong = 0
        self._one_by_one = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let gradio do it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        send = self._with_headers(scope["path"], send)
        if scope["path"] in PAGES and scope["method"] == "GET":
            send = with_own_scripts(send, self._rules.origins, self._scripts)
        refused = self._refused(scope) or await self._unknown(scope)
        if refused is None and scope["method"] == "POST":
            refused, receive = await self._checked_body(scope, receive)
        await (refused or self._app)(scope, receive, send)

    # Whether a request is one of this page's.

    def _refused(self, scope: Scope) -> PlainTextResponse | None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        host = headers.get("host", "")
        if not self._is_own(host):
            return PlainTextResponse(f"This page is not called {_name(host)[:80]!r}; --origin names others.", 421)
        if method not in {"GET", "HEAD", "POST"}:
            return PlainTextResponse("The page is asked by GET and POST.", 405)
        if self._is_from_elsewhere(scope, headers):
            return PlainTextResponse("This was asked by a page of another origin.", 403)
        if path not in SERVED and not path.startswith(SERVED_BELOW):
            return PlainTextResponse("There is no such thing.", 404)
        if path.startswith(_FILE) and not self._is_inside(path.partition("=")[2]):
            return PlainTextResponse("There is no such file.", 403)
        return None

    def _is_from_elsewhere(self, scope: Scope, headers: Headers) -> bool:
        """Whether a page of another origin asked; following a link to this page is no such question."""
        origin = headers.get("origin")
        if origin is not None:
            return origin.casefold() not in self._origins and not _same(origin, headers.get("host", ""))
        visits = scope["method"] == "GET" and scope["path"] in PAGES and headers.get("sec-fetch-mode") == "navigate"
        return headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not visits

    def _is_own(self, host: str) -> bool:
        """Whether a request was meant for this server: a name that somebody else chose may be made to lead here."""
        name = _name(host)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._hosts
        return True

    def _is_inside(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self._folder)
        except (OSError, ValueError):
            return False

    # Whether the visitor knows the password.

    async def _unknown(self, scope: Scope) -> PlainTextResponse | None:
        if self._rules.password is None or scope["path"] == _OPEN:
            return None
        given = _password(Headers(scope=scope).get("authorization", ""))
        if given is not None and hmac.compare_digest(_digest(given), _digest(self._rules.password)):
            return None
        if given is not None:
            if self._wrong >= _MOST_WRONG:
                return PlainTextResponse("Too many wrong passwords at a time.", 429)
            self._wrong += 1
            try:
                async with self._one_by_one:  # so that all who guess get one guess a second
                    await asyncio.sleep(1)
            finally:
                self._wrong -= 1
        asked = {"www-authenticate": 'Basic realm="equipoise", charset="UTF-8"'}
        return PlainTextResponse("This page asks for a password; any user name will do.", 401, asked)

    # What a visitor sends.

    async def _checked_body(self, scope: Scope, receive: Receive) -> tuple[PlainTextResponse | None, Receive]:
        if scope["path"].startswith("/gradio_api/upload"):
            return await self._checked_upload(scope), _counted(receive, self._rules.largest + LARGEST_QUESTION)
        body = await _body(receive, LARGEST_QUESTION) if _length(scope) <= LARGEST_QUESTION else None
        if body is None:
            return PlainTextResponse("This is more than the page ever asks.", 413), receive
        try:
            asked = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return PlainTextResponse("This is not what the page asks.", 400), receive
        if not all(isinstance(one, str) and self._is_inside(one) for one in _paths(asked)):
            return PlainTextResponse("There is no such file.", 403), receive
        return None, _again(body, receive)

    async def _checked_upload(self, scope: Scope) -> PlainTextResponse | None:
        if _length(scope) > self._rules.largest + LARGEST_QUESTION:
            return PlainTextResponse(f"A file has at most {self._rules.largest >> 20} MB.", 413)
        if await asyncio.to_thread(_size_of, self._folder) + self._rules.largest > self._rules.most:
            return PlainTextResponse("The page holds as much as it can; try again in an hour.", 413)
        return None

    # What the browser is told.

    def _with_headers(self, path: str, send: Send) -> Send:
        told = self._page
        if path.startswith(_FILE):  # what visitors made may be shown, but not run
            told = told | {HEADER: "default-src 'none'; sandbox"}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({name: text for name, text in told.items() if name != HEADER or HEADER not in headers})
            await send(message)

        return sending


_ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


def _own_names(rules: Rules) -> frozenset[str]:
    told = (urlsplit(one).hostname or "" for one in rules.origins)
    here = (rules.host, socket.gethostname(), socket.getfqdn())
    return frozenset(name.casefold() for name in (*told, *here, *_NAMES) if name)


def _name(host: str) -> str:
    """The name or address in a ``Host`` header."""
    try:
        return (urlsplit(f"//{host}").hostname or "").casefold()
    except ValueError:
        return ""


def _same(origin: str, host: str) -> bool:
    """Whether an origin is the address that was asked; a proxy may have taken the encryption away."""
    try:
        scheme, place = urlsplit(origin).scheme, urlsplit(origin).netloc
    except ValueError:
        return False
    return scheme in {"http", "https"} and bool(place) and place.casefold() == host.casefold()


def _password(authorization: str) -> str | None:
    kind, _, coded = authorization.partition(" ")
    if kind.casefold() != "basic":
        return None
    try:
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _digest(text: str) -> bytes:
    """Of one length for every password, so that comparing takes the same time."""
    return hashlib.sha256(text.encode()).digest()


def _length(scope: Scope) -> int:
    said = Headers(scope=scope).get("content-length", "0")
    return int(said) if said.isdecimal() else 1 << 62


async def _body(receive: Receive, limit: int) -> bytes | None:
    """All that is sent; ``None`` if it is more than that, or never ends."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _counted(receive: Receive, limit: int) -> Receive:
    """The body as it comes, cut off where it is more than was said."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return message if size <= limit else {"type": "http.disconnect"}

    return receiving


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return left.pop() if left else await receive()

    return receiving


def _paths(asked: Any) -> Iterator[Any]:
    """Every file that a question names, at any depth."""
    waiting = [asked]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from (one[key] for key in ("path", "orig_path") if one.get(key) is not None)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _size_of(folder: Path) -> int:
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.stat().st_size
        except OSError:  # it has gone meanwhile
            continue
    return found
