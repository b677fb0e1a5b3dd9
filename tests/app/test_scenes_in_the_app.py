"""The page of scenes: what it says of a scene is what interventions say, and it works in a browser."""

import re

import pytest

import browser
from equipoise.app.server import start
from equipoise.app.views import scenes
from equipoise.errors import OptionError
from equipoise.scenes import SHAPES
from patience import PATIENCE

pytest.importorskip("gradio", reason="the app's tests need gradio")

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


@pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another
def test_in_a_browser():
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
            assert troubles == []
        finally:
            served.close()
