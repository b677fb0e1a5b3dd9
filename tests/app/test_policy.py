"""What a browser lets the page run: the scripts that the server wrote, and none that a text brings in."""

import asyncio
import base64
import hashlib

import pytest

pytest.importorskip("starlette", reason="gradio brings it")

from equipoise.app.gate import Gate, Rules
from equipoise.app.policy import HEADER, inline_scripts, policy


def called(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def answered(folder, parts, *, path="/", method="GET", **rules):
    """The messages that come through a gate when the page is answered in parts."""

    async def behind(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for place, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": place + 1 < len(parts)})

    found = []

    async def send(message):
        found.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", b"127.0.0.1")], "query_string": b""}
    asyncio.run(Gate(behind, Rules(folder, **rules))(scope, receive, send))
    return found


def scripts_of(messages):
    told = dict(messages[0]["headers"])[HEADER.encode()].decode()
    (directive,) = [one for one in told.split("; ") if one.startswith("script-src ")]
    return directive.split()[1:]


@pytest.mark.parametrize("split", [1, 7, 1000])
def test_the_scripts_in_the_pages_text_are_named_by_their_hashes(tmp_path, split):
    page = b'<script>one()</script><SCRIPT type="module">\r\ntwo\n</SCRIPT ><script src="a.js"></script>'
    page += b"<script>one()</script>"
    parts = [page[at : at + split] for at in range(0, len(page), split)]
    found = answered(tmp_path, parts, head="<script>later()</script><style>a {}</style>")
    assert b"".join(one.get("body", b"") for one in found) == page
    assert [one["type"] for one in found] == ["http.response.start", *["http.response.body"] * len(parts)]
    own = [called("one()"), called("\ntwo\n"), called("later()")]
    assert scripts_of(found) == ["'self'", "'unsafe-eval'", *own]


@pytest.mark.parametrize(("path", "method"), [("/config", "GET"), ("/", "HEAD"), ("/assets/a.js", "GET")])
def test_what_is_no_page_has_no_scripts_of_its_own(tmp_path, path, method):
    found = answered(tmp_path, [b"<script>one()</script>"], path=path, method=method, head="<script>later()</script>")
    assert scripts_of(found) == ["'self'", "'unsafe-eval'"]


def test_a_file_of_a_visitor_runs_nothing_and_a_refusal_names_no_script(tmp_path):
    (tmp_path / "a.svg").write_bytes(b"<script>one()</script>")
    found = answered(tmp_path, [b"<script>one()</script>"], path=f"/gradio_api/file={tmp_path / 'a.svg'}")
    assert dict(found[0]["headers"])[HEADER.encode()] == b"default-src 'none'; sandbox"
    refused = answered(tmp_path, [b"<script>one()</script>"], password="secret word")  # noqa: S106  # of this test
    assert refused[0]["status"] == 401
    assert scripts_of(refused) == ["'self'", "'unsafe-eval'"]


def test_nothing_is_allowed_that_a_text_could_bring():
    assert "'unsafe-inline'" not in policy(()).replace("style-src 'self' 'unsafe-inline'", "")
    assert inline_scripts(b"<p onclick='a()'>script</p>") == []
