"""A running page asked over HTTP, without a browser: what it refuses, whose work waits for whose, and what ends it."""

import gc
import io
import os
import socket
import threading
from pathlib import Path

import pytest
import torch

pytest.importorskip("gradio", reason="the app's tests need gradio")

import httpx
from gradio import route_utils
from visitor import API, RefusedError, Visitor

import colors
from equipoise import _progress
from equipoise.app import server as servers
from equipoise.app.lanes import CancelledError
from equipoise.app.server import start
from equipoise.methods import METHODS
from equipoise.network import Network
from patience import PATIENCE, until

pytestmark = pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another


def load(name):
    return Network(*colors.build(), name)


@pytest.fixture(scope="module")
def served():
    made = start(["colors"], loader=load)
    yield made
    made.close()
    gc.collect()


@pytest.fixture
def visitor(served):
    with Visitor(served.address).here() as tab:
        yield tab


def photo(color="red"):
    buffer = io.BytesIO()
    colors.photo(color, 28, 8, size=96).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_visitor_without_a_browser_sees_a_map(visitor):
    visitor.opens(visitor.upload(photo())).looks()
    assert "eq-view" in visitor.says("explained")
    assert visitor.says("status") == ""


def test_no_address_is_fetched_and_no_other_file_read(visitor, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(photo())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.5)
        where = f"http://127.0.0.1:{listening.getsockname()[1]}/a.png"
        for path in (
            where,
            "https://example.com/a.png",
            str(secret),
            "/etc/passwd",
            f"{visitor.upload(photo())['path']}/../../../../etc/passwd",
        ):
            with pytest.raises(RefusedError, match="no such file"):
                visitor.opens({"path": path, "meta": {"_type": "gradio.FileData"}})
            assert visitor.client.get(f"{API}/file={path}").status_code == 403
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_page_of_another_origin_is_refused_by_the_server_itself(served, visitor):
    forged = {"data": [], "fn_index": 0, "session_hash": "x"}
    for headers, status in (({"origin": "http://evil.example"}, 403), ({"host": "evil.example"}, 421)):
        answer = visitor.client.post(f"{API}/queue/join", json=forged, headers=headers)
        assert answer.status_code == status
        assert visitor.client.post(f"{API}/upload", files={"files": ("a", b"b")}, headers=headers).status_code == status
        assert visitor.client.get("", headers=headers).status_code == status
    assert not list(served.folder.rglob("a"))


def test_more_bytes_than_a_photo_has_are_refused(visitor, served):
    large = b" " * (servers.LARGEST_UPLOAD + 1)
    with pytest.raises(RefusedError, match="maximum allowed size"):
        visitor.upload(large)
    with pytest.raises(RefusedError, match="at most 40 MB"):
        visitor.upload(large * 2)
    assert not [one for one in served.folder.rglob("*") if one.is_file() and one.stat().st_size > 1 << 20]


def test_the_headers_stand_on_the_page_and_on_files(visitor):
    for page in ("", "scenes"):
        told = visitor.client.get(page).headers["content-security-policy"]
        assert "frame-ancestors 'self'" in told
        assert told.count("'sha256-") >= 5
    given = visitor.upload(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "a.svg")
    answer = visitor.client.get(f"{API}/file={given['path']}")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_what_was_sent_goes_once_it_is_old(served, visitor):
    sent = Path(visitor.upload(photo())["path"])
    visitor.opens(visitor.upload(photo("blue")))
    route_utils.delete_files_created_by_app(served.blocks, 3600)
    assert sent.is_file()
    route_utils.delete_files_created_by_app(served.blocks, 0)
    assert not [one for one in (served.folder / "uploads").rglob("*") if one.is_file()]


def test_a_password(served, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", os.environ["GRADIO_TEMP_DIR"])  # that of the other server, at the end
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    made = start(["colors"], loader=load, password=servers.password_of(str(file)))
    try:
        for path in ("", "config", f"{API}/queue/data?session_hash=x", f"{API}/info", "assets/index.js"):
            assert httpx.get(made.address + path).status_code == 401
        with httpx.Client(base_url=made.address, auth=("me", "correct horse")) as client:
            assert client.get("config").status_code == 200
        assert httpx.get(made.address, auth=("me", "wrong")).status_code == 401
    finally:
        made.close()
        gc.collect()  # what gradio leaves unclosed complains now, where that is ignored


def test_where_a_password_comes_from(tmp_path, monkeypatch):
    file = tmp_path / "password"
    assert servers.password_of(None) is None
    monkeypatch.setenv(servers.PASSWORD, "from the environment")
    assert servers.password_of(None) == "from the environment"
    file.write_text("from the file\r\nand no more\n")
    assert servers.password_of(str(file)) == "from the file"
    for content in (b"", b"\n", b"short\n", b"\xff\xfe\xff\xff\xff\xff\xff\xff\xff"):
        file.write_bytes(content)
        with pytest.raises(servers.OptionError, match="password-file"):
            servers.password_of(str(file))
    monkeypatch.setenv(servers.PASSWORD, "short")
    with pytest.raises(servers.OptionError, match="EQUIPOISE_PASSWORD holds no password of at least 8 letters"):
        servers.password_of(None)


@pytest.mark.parametrize("origin", ["lab.example", "ftp://lab.example", "https://", "https://a.example/path", "*"])
def test_an_origin_that_is_none(origin):
    with pytest.raises(servers.OptionError, match="no address such as"):
        start(["colors"], loader=load, origins=[origin])


# Several visitors.


class Door:
    """Holds all but the first that pass it until it is opened."""

    def __init__(self):
        self.open, self.reached, self.count = threading.Event(), threading.Event(), 0

    def __call__(self, *_):
        self.count += 1
        if self.count == 1:
            return
        self.reached.set()
        assert self.open.wait(PATIENCE)


@pytest.fixture
def slow_door(served, visitor):
    """A door in the forward pass of slow work."""
    visitor.opens(visitor.upload(photo()))
    network = served.content.networks["colors"]
    session = next(reversed(served.content.visitors._sessions.values()))
    slow = session.slow().network
    assert slow.module is not network.module
    assert all(one is other for one, other in zip(slow.module.parameters(), network.module.parameters(), strict=True))
    door = Door()
    handle = slow.module.register_forward_hook(door)
    yield door
    door.open.set()
    handle.remove()


def compares(tab, *methods):
    """Ask for methods in the background; what was asked, and its thread."""
    for key, props in tab.parts.items():
        if props.get("label") == "Methods, on the chosen classes":
            tab.values[key] = [one for one in methods if one != "rise"]
        if props.get("label") == "Slow methods":
            tab.values[key] = [one for one in methods if one == "rise"]
    quick = tab.event("Compare", "click")
    (slow,) = tab.following(quick)
    tab.ask(quick)
    thread = threading.Thread(target=tab.ask, args=(slow,), daemon=True)
    thread.start()
    return thread


def test_nobody_waits_for_somebody_elses_slow_method(served, visitor, slow_door):
    working = compares(visitor, "rise", "ae")
    assert slow_door.reached.wait(PATIENCE)
    with Visitor(served.address).here() as other:
        other.opens(other.upload(photo("blue"))).looks()
        assert "eq-view" in other.says("explained")
        waits = compares(other, "rise")
        until(lambda: "s work is running" in other.says("status"))
        assert working.is_alive()
        slow_door.open.set()
        working.join(PATIENCE)
        waits.join(PATIENCE)
        for tab in (visitor, other):
            assert "RISE" in tab.says("compared")
            assert tab.says("status") == ""


def test_slow_work_says_how_far_it_is(visitor, slow_door):
    working = compares(visitor, "rise")
    until(lambda: "RISE: 0 of" in visitor.says("status"))
    assert "<progress" in visitor.says("status")
    slow_door.open.set()
    working.join(PATIENCE)
    assert visitor.says("status") == ""


def test_stop_ends_slow_work_at_the_next_pass(served, visitor, slow_door):
    working = compares(visitor, "rise")
    assert slow_door.reached.wait(PATIENCE)
    before = slow_door.count
    visitor.stops()
    until(lambda: _stopped(served))
    slow_door.open.set()
    working.join(PATIENCE)
    assert "Stopped." in visitor.says("status")
    assert slow_door.count == before


def _stopped(served):
    return any(one._twin is not None and one._twin.stop.wanted for one in served.content.visitors._sessions.values())


def test_slow_work_is_stopped_within_a_pass(session):
    """A pass of many photos takes seconds: the slow network's modules ask each by itself."""
    slow = session.slow()
    inner = [one for one in slow.network.module.modules() if one is not slow.network.module]
    passed = []
    for one in inner:
        one.register_forward_hook(lambda *_: (passed.append(1), slow.stop.request()))
    with pytest.raises(CancelledError):
        slow.explain(0, "rise")
    assert len(passed) == 1
    assert not any(one._forward_pre_hooks for one in slow.network.module.modules())


COSTLY = [name for name in METHODS if METHODS[name].costly]


@pytest.mark.parametrize(
    "method",
    [one if one in {"rise", "integrated_gradients"} else pytest.param(one, marks=pytest.mark.slow) for one in COSTLY],
)
def test_slow_work_gives_the_same_map_and_says_how_far_it_is(session, method):
    right, told = session.explain(0, method).explanation.heatmap, []
    session.kept.maps.clear()
    with _progress.watched_by(lambda *far: told.append(far)):
        found = session.slow().explain(0, method).explanation.heatmap
    torch.testing.assert_close(found, right)
    assert told[-1][0] == told[-1][1] > 1
    assert all(0 <= done <= total for done, total in told)


def test_closing_the_tab_ends_the_work(served, slow_door):
    with Visitor(served.address).here() as leaving:
        leaving.opens(leaving.upload(photo()))
        session = served.content.visitors._sessions[leaving.tab]
        compares(leaving, "rise")
        assert slow_door.reached.wait(PATIENCE)
    until(lambda: session._twin.stop.wanted)
    before = slow_door.count
    slow_door.open.set()
    until(lambda: session._twin.network.lane.length == 0)
    assert slow_door.count == before
    assert not session.kept.maps
    assert not session.kept.passes


def test_of_who_left_long_ago_nothing_is_kept(served, visitor, monkeypatch):
    monkeypatch.setattr(served.content.visitors, "_most_away", 0)
    kept = served.blocks.state_holder
    with Visitor(served.address).here() as leaving:
        leaving.opens(leaving.upload(photo()))
        visitor.opens(visitor.upload(photo()))
        assert leaving.tab in kept
    until(lambda: leaving.tab not in kept)
    assert leaving.tab not in kept.time_last_used
    assert visitor.tab in kept
    assert "eq-view" in visitor.looks().says("explained")
