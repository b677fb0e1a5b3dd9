"""What stands before gradio: whose requests come through, and what is said in every answer."""

import asyncio
import base64
import json

import pytest

pytest.importorskip("starlette", reason="gradio brings it")

from equipoise.app import gate as gates
from equipoise.app.gate import LARGEST_QUESTION, Gate, Rules

HOST = {"host": "127.0.0.1:7860"}
JOIN = "/gradio_api/queue/join"


class Answer:
    def __init__(self):
        self.status, self.headers, self.body = None, {}, b""


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "given"
    (place / "uploads").mkdir(parents=True)
    (place / "uploads" / "a.png").write_bytes(b"photo")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (place / "uploads" / "link.png").symlink_to(tmp_path / "secret.png")
    return place


@pytest.fixture
def asks(folder):
    """Ask a gate as a browser does; behind it, all is answered by what was asked."""

    async def behind(scope, receive, send):
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        else:
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body or b"behind"})

    def make(**rules):
        made = Gate(behind, Rules(folder, **rules))

        def ask(path="/", headers=HOST, method="GET", body=b"", chunks=1):
            answer, each = Answer(), -(-len(body) // chunks)
            parts = [body[each * at : each * (at + 1)] for at in range(chunks)]
            left = [{"type": "http.request", "body": one, "more_body": True} for one in parts]
            left[-1]["more_body"] = False

            async def receive():
                return left.pop(0) if left else {"type": "http.disconnect"}

            async def send(message):
                if message["type"] == "http.response.start":
                    answer.status = message["status"]
                    answer.headers = {key.decode(): value.decode() for key, value in message["headers"]}
                else:
                    answer.body += message.get("body", b"")

            told = [(key.encode(), value.encode()) for key, value in headers.items()]
            scope = {"type": "http", "method": method, "path": path, "headers": told, "query_string": b""}
            asyncio.run(made(scope, receive, send))
            return answer

        return ask

    return make


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860", "10.0.0.7:80"])
def test_the_page_is_known_by_its_own_names(asks, host):
    assert asks()(headers={"host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "a@b@c", "[::1"])
def test_a_name_that_somebody_else_leads_here_is_refused(asks, host):
    """As DNS rebinding does: the browser thinks that it asks evil.example."""
    assert asks()(headers={"host": host, "origin": f"http://{host}"}).status == 421
    assert asks(origins=("https://lab.example",))(headers={"host": "lab.example"}).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1:7861", "x://[", ""]
)
def test_a_page_of_another_origin_cannot_ask(asks, origin):
    for method, path in (("POST", JOIN), ("POST", "/gradio_api/upload"), ("GET", "/config")):
        refused = asks()(path, HOST | {"origin": origin}, method, b"{}")
        assert (refused.status, refused.body) == (403, b"This was asked by a page of another origin.")
    assert asks()(JOIN, HOST | {"origin": "http://127.0.0.1:7860"}, "POST", b"{}").status == 200
    known = asks(origins=("https://lab.example/",))
    assert known(JOIN, HOST | {"origin": "https://lab.example"}, "POST", b"{}").status == 200
    assert known(JOIN, HOST | {"origin": "http://lab.example"}, "POST", b"{}").status == 403


def test_a_picture_or_script_of_another_site_cannot_ask_and_a_link_can_lead_here(asks):
    ask = asks()
    for site in ("cross-site", "same-site"):
        aside = HOST | {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert ask("/gradio_api/queue/data", aside).status == 403
        assert ask("/", aside).status == 403
        assert ask("/", aside | {"sec-fetch-mode": "navigate"}).status == 200
        assert ask("/config", aside | {"sec-fetch-mode": "navigate"}).status == 403
    assert ask("/config", HOST | {"sec-fetch-site": "same-origin"}).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(asks, method):
    assert asks()("/", HOST, method).status == 405


def test_a_socket_is_closed_at_once(folder):
    async def behind(*_):
        pytest.fail("it came through")

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": JOIN, "headers": []}
    asyncio.run(Gate(behind, Rules(folder))(scope, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


ABSENT = """
gradio_api/proxy=http://evil.example monitoring gradio_api/component_server gradio_api/vibe-code/ docs login
gradio_api/stream/1 gradio_api/call/x gradio_api/run/x gradio_api/dev/reload custom_component/a openapi.json
gradio_api/deep_link gradio_api/process_recording
"""


@pytest.mark.parametrize("path", ABSENT.split())
def test_what_the_page_does_not_use_is_absent(asks, path):
    assert asks()(f"/{path}").status == 404


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret.png", "{folder}/../secret.png", "{folder}/uploads/link.png", "http://a.example/b",
             "file:///etc/passwd", "\0", "{folder}-other/a", "~/a", ""],
)  # fmt: skip
def test_no_file_outside_of_the_folder(asks, folder, path):
    path = path.format(folder=folder)
    assert asks()(f"/gradio_api/file={path}").status == 403
    for key in ("path", "orig_path"):
        question = {"data": [0, {"value": [{key: path, "meta": {"_type": "gradio.FileData"}}]}]}
        assert asks()(JOIN, HOST, "POST", json.dumps(question).encode()).status == 403
    own = str(folder / "uploads" / "a.png")
    assert asks()(f"/gradio_api/file={own}").status == 200
    question = json.dumps({"data": [{"path": own, "orig_path": None}]}).encode()
    assert asks()(JOIN, HOST, "POST", question, chunks=3).body == question  # as it was


def test_questions_and_uploads_have_an_end(asks, folder):
    ask = asks(largest=LARGEST_QUESTION)
    for body, chunks, told in (
        (b" " * (LARGEST_QUESTION + 1), 1, {}),
        (b" " * (LARGEST_QUESTION + 1), 7, {}),
        (b"{}", 1, {"content-length": "9" * 30}),
        (b"{}", 1, {"content-length": "-1"}),
    ):
        assert ask(JOIN, HOST | told, "POST", body, chunks).status == 413
    assert ask(JOIN, HOST, "POST", b"[" * 200_000).status == 400
    assert ask(JOIN, HOST, "POST", b"no json").status == 400
    assert ask(JOIN, HOST, "POST", b"").status == 200
    upload = "/gradio_api/upload"
    assert ask(upload, HOST, "POST", b" " * 2 * LARGEST_QUESTION, 4).status == 200
    assert ask(upload, HOST | {"content-length": str(2 * LARGEST_QUESTION + 1)}, "POST", b"").status == 413
    assert ask(upload, HOST, "POST", b" " * (2 * LARGEST_QUESTION + 1), 4).status is None  # cut off
    (folder / "uploads" / "large").write_bytes(b" " * LARGEST_QUESTION)
    full = asks(largest=LARGEST_QUESTION, most=2 * LARGEST_QUESTION)(upload, HOST, "POST", b"")
    assert (full.status, full.body) == (413, b"The page holds as much as it can; try again in an hour.")


def basic(text):
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.fixture
def naps(monkeypatch):
    found = []

    async def sleep(seconds):
        found.append(seconds)

    monkeypatch.setattr(gates.asyncio, "sleep", sleep)
    return found


def test_a_password_is_asked_of_everyone_for_everything(asks, naps):
    ask = asks(password="cörrect: horse")  # noqa: S106  # of this test
    for path in ("/", "/config", "/assets/a.js", "/gradio_api/queue/data"):
        refused = ask(path)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert ask(path, HOST | basic("anyone:cörrect: horse")).status == 200
    assert ask(JOIN, HOST, "POST", b"{}").status == 401
    assert naps == []  # nothing was guessed


@pytest.mark.parametrize(
    "given", [basic("a:wrong"), basic("a:"), basic("a:right "), basic("right"), {"authorization": "Basic ?"},
              {"authorization": "Bearer right"}, {"authorization": "Basic /w=="}],
)  # fmt: skip
def test_a_wrong_password_waits(asks, naps, given):
    assert asks(password="right")(headers=HOST | given).status == 401  # noqa: S106  # of this test
    assert naps in ([], [1])
    assert bool(naps) == (given["authorization"] not in {"Basic ?", "Bearer right", "Basic /w=="})


def test_only_so_many_guess_at_a_time_and_whoever_knows_the_password_waits_for_none(folder, monkeypatch):
    """However many guess, and each time anew."""
    most, more = gates._MOST_WRONG, 7

    async def behind(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def status(gate, word):
        told = [(key.encode(), value.encode()) for key, value in (HOST | basic(f"a:{word}")).items()]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": told, "query_string": b""}
        found = []

        async def send(message):
            found.append(message.get("status"))

        await gate(scope, None, send)
        return found[0]

    async def several():
        gate, opened, turn = Gate(behind, Rules(folder, password="right")), asyncio.Event(), asyncio.sleep  # noqa: S106  # of this test

        async def sleep(_):
            await opened.wait()

        for _ in range(2):
            opened.clear()
            monkeypatch.setattr(gates.asyncio, "sleep", sleep)
            guesses = [asyncio.create_task(status(gate, "wrong")) for _ in range(most + more)]
            for _ in range(10):
                await turn(0)
            assert [one.result() for one in guesses if one.done()] == [429] * more
            assert await status(gate, "right") == 200
            opened.set()
            assert sorted(await asyncio.gather(*guesses)) == [401] * most + [429] * more
            monkeypatch.setattr(gates.asyncio, "sleep", turn)

    asyncio.run(several())


def test_passwords_are_compared_in_constant_time(asks, monkeypatch, naps):
    seen = []
    compare = gates.hmac.compare_digest
    monkeypatch.setattr(gates.hmac, "compare_digest", lambda *both: (seen.append(both), compare(*both))[1])
    ask = asks(password="right")  # noqa: S106  # of this test
    for word in ("r", "right", "r" * 1000):
        ask(headers=HOST | basic(f"a:{word}"))
    assert [(len(one), len(other)) for one, other in seen] == [(32, 32)] * 3


def test_a_host_must_be_right_before_a_password_is_asked(asks):
    assert asks(password="right")(headers={"host": "evil.example"}).status == 421  # noqa: S106  # of this test


def test_what_every_answer_tells_the_browser(asks, folder):
    for answer in (asks()(), asks()("/nothing"), asks(password="right")()):  # noqa: S106  # of this test
        told = answer.headers
        assert told["x-content-type-options"] == "nosniff"
        assert told["x-frame-options"] == "SAMEORIGIN"
        assert told["cross-origin-resource-policy"] == told["referrer-policy"] == "same-origin"
        policy = dict(one.split(" ", 1) for one in told["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["connect-src"] == policy["frame-ancestors"] == "'self'"
        assert policy["object-src"] == policy["frame-src"] == "'none'"
        assert not any("http" in one or "*" in one for one in policy.values())
    framed = asks(origins=("https://lab.example",))().headers
    assert "frame-ancestors 'self' https://lab.example" in framed["content-security-policy"]
    assert "x-frame-options" not in framed
    file = asks()(f"/gradio_api/file={folder / 'uploads' / 'a.png'}").headers
    assert file["content-security-policy"] == "default-src 'none'; sandbox"  # a picture that is a page runs nothing
