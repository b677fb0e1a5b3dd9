"""The page of scenes: what it says of a scene is what interventions say, and it works in a browser."""

import gc
import re
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio", reason="the app's tests need gradio")

from visitor import RefusedError, Visitor

import browser
from equipoise.app.server import start
from equipoise.app.views import scenes
from equipoise.errors import OptionError
from equipoise.scenes import SHAPES
from patience import PATIENCE, until

PLAIN, _, SHORTCUT = scenes.NETWORKS


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.mark.parametrize("network", list(scenes.NETWORKS))
def test_each_class_that_is_said_is_shown(network):
    for number in range(8):
        asked = scenes.ask(network, number)
        said = [name for name, score in zip(SHAPES.names(), asked.scores, strict=True) if score > 0]
        text = words(scenes.show(network, number, "AE"))
        assert re.findall(r"Why (\w+)\?", text) == said
        assert ("The network sees nothing here" in text) == (not said)


def test_the_numbers_are_the_maps():
    asked = scenes.ask(PLAIN, 5)
    fact = next(fact for fact in asked.seen.facts if fact.cause is not None)
    rows = scenes.numbers(asked, fact, fact.cause.float())
    assert rows[0][1:3] == ("100.0%", "100.0%")
    own = [row for row, mine in zip(rows[1:], fact.own.tolist(), strict=False) if mine]
    assert all(row[4] == "right" for row in own)
    assert all(row[4] == "wrong" for row in scenes.numbers(asked, fact, -fact.cause.float())[1 : 1 + len(own)])
    assert scenes.numbers(asked, fact, -fact.cause.float())[0][1] == "nothing is positive"


def test_a_shortcut_is_named():
    found = [words(scenes.show(SHORTCUT, number, "Random")) for number in range(12)]
    assert any("the watermark" in text and "the answer turns over" in text for text in found)


def test_what_there_is_not_is_refused():
    with pytest.raises(OptionError, match="there is no scene 500"):
        scenes.show(PLAIN, 500, "AE")
    with pytest.raises(OptionError, match="none of the networks"):
        scenes.show("mine", 0, "AE")
    with pytest.raises(OptionError, match="none of the methods"):
        scenes.show(PLAIN, 0, "magic")


# Over HTTP, as the page's own script asks.


@pytest.fixture(scope="module")
def served():
    made = start(["equipoise.scenes:plain_0"])
    yield made
    made.close()
    gc.collect()


@pytest.fixture
def door():
    """Holds the network's second forward pass until it is opened."""
    passed, reached, opened = [], threading.Event(), threading.Event()

    def hold(*_):
        passed.append(1)
        if len(passed) > 1:
            reached.set()
            assert opened.wait(PATIENCE)

    handle = scenes.shared(PLAIN).module.register_forward_hook(hold)
    yield SimpleNamespace(passed=passed, reached=reached, opened=opened)
    opened.set()
    handle.remove()


def asks(tab):
    """Ask for the scene that the controls say, in the background."""
    thread = threading.Thread(target=tab.ask, args=(tab.event("scenes-number", "change"),), daemon=True)
    thread.start()
    return thread


@pytest.mark.filterwarnings("ignore")  # as below
def test_visitors_wait_for_one_another_and_are_told(served, door):
    with Visitor(served.address).here() as first, Visitor(served.address).here() as second:
        works = asks(first)
        assert door.reached.wait(PATIENCE)
        until(lambda: "AE begins" in first.says("scenes-status"))
        waits = asks(second)
        until(lambda: "s work is running" in second.says("scenes-status"))
        door.opened.set()
        for thread, tab in ((works, first), (waits, second)):
            thread.join(PATIENCE)
            assert "Why " in tab.says("scenes")
            assert tab.says("scenes-status") == ""


@pytest.mark.filterwarnings("ignore")  # as below
def test_stop_ends_the_work_at_the_next_pass(served, door):
    with Visitor(served.address).here() as tab:
        works = asks(tab)
        assert door.reached.wait(PATIENCE)
        before = len(door.passed)
        tab.stops("scenes-stop")
        door.opened.set()
        works.join(PATIENCE)
        assert "Stopped." in tab.says("scenes-status")
        assert tab.says("scenes") == ""
        assert len(door.passed) == before
        asks(tab).join(PATIENCE)  # and what is asked next is done
        assert "Why " in tab.says("scenes")


@pytest.mark.filterwarnings("ignore")  # as below
def test_closing_the_tab_ends_the_work(served, door):
    with Visitor(served.address).here() as tab:
        asks(tab)
        assert door.reached.wait(PATIENCE)
        stop = served.content.visitors._stops[tab.tab]
        before = len(door.passed)
    until(lambda: stop.wanted)
    door.opened.set()
    until(lambda: scenes.shared(PLAIN).lane.length == 0)
    assert len(door.passed) == before


@pytest.mark.filterwarnings("ignore")  # as below
def test_what_cannot_be_is_said_where_it_is_asked(served):
    with Visitor(served.address).here() as tab:
        tab.values[tab.part("scenes-method")] = "magic"
        with pytest.raises(RefusedError):  # gradio knows what a list offers
            tab.ask(tab.event("scenes-number", "change"))


@pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another
def test_in_a_browser(request):
    with browser.chromium() as chromium:
        served = start(["equipoise.scenes:plain_0"])
        try:
            tab = chromium.new_page()
            tab.set_default_timeout(1000 * PATIENCE)
            troubles = []
            tab.on("pageerror", lambda error: troubles.append(str(error)))
            tab.goto(f"{served.address.rstrip('/')}/scenes")
            tab.locator("#scenes .eq-row").first.wait_for()
            before = tab.locator("#scenes").inner_text()
            tab.locator("#scenes-number input[type=number]").fill("2")
            tab.locator("#scenes-number input[type=number]").press("Enter")
            tab.locator("#scenes caption").get_by_text("scene 2").first.wait_for()
            assert tab.locator("#scenes").inner_text() != before
            assert not tab.locator("#scenes-stop").is_visible()
            door = request.getfixturevalue("door")
            tab.locator("#scenes-number input[type=number]").fill("3")
            tab.locator("#scenes-number input[type=number]").press("Enter")
            tab.locator("#scenes-stop").click()  # once it can be seen
            until(lambda: any(one.wanted for one in served.content.visitors._stops.values()))
            door.opened.set()
            tab.locator("#scenes-status").get_by_text("Stopped.").wait_for()
            assert troubles == []
        finally:
            served.close()
