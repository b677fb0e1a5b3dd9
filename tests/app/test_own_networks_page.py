"""Networks of a user's own in a real browser: their names, photos, tasks, and what they saw."""

import gc
import re

import own
import pytest

import browser
from equipoise.app.server import start
from patience import PATIENCE

pytest.importorskip("gradio", reason="the app's tests need gradio")
pytestmark = pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another

MODELS = ("classes", "labels", "binary", "value", "gray", "pixels", "boxes", "vector", "unsaid")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = own.write(tmp_path_factory.mktemp("mine"), "mine_on_the_page")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made)
        yield made


@pytest.fixture(scope="module")
def tabs(folder):
    """Opens tabs on a server of all the networks."""
    with browser.chromium() as started:
        served = start([str(folder / f"{name}.toml") for name in MODELS])
        context = started.new_context(viewport={"width": 1300, "height": 1000})
        context.set_default_timeout(1000 * PATIENCE)
        asked = browser.note_requests(context)

        def opened():
            tab = context.new_page()
            tab.troubles = []
            tab.on("pageerror", lambda error: tab.troubles.append(str(error)))
            tab.goto(served.address)
            tab.get_by_role("button", name="Example garden.png").wait_for()
            return tab

        yield opened
        context.close()
        served.close()
        gc.collect()  # what gradio leaves unclosed complains now, where that is ignored
        assert [url for url in asked if not url.startswith((served.address, "data:", "blob:"))] == []


@pytest.fixture
def tab(tabs):
    made = tabs()
    yield made
    assert made.troubles == []
    made.close()


def choose(tab, name):
    """The network of a name before the first example."""
    box = tab.get_by_label("Network", exact=True)
    if box.input_value() != f"{name}.toml":
        box.click()
        tab.get_by_role("option", name=f"{name}.toml", exact=True).click()
    tab.get_by_role("button", name="Example garden.png").click()
    tab.locator("#explained .eq-view").first.wait_for()


def titles(tab, part="explained"):
    return tab.locator(f"#{part} .eq-title").all_text_contents()


def number_of_maps(tab, count):
    tab.wait_for_function(f"document.querySelectorAll('#explained .eq-view').length === {count}")


def test_own_names_and_photos(tab):
    assert tab.locator(".eq-examples img").count() == 2
    choose(tab, "classes")
    assert re.match(r"(rose|tulip|daisy|oak), \d+\.\d %", titles(tab)[0])
    assert "Photos are resized to 32 and cropped to 32 pixels" in tab.locator("#known").text_content()
    search = tab.get_by_label("Any other class: search by name")
    search.fill("oak")
    tab.get_by_role("option", name=re.compile("^oak")).click()
    tab.get_by_text("How maps are drawn").click()
    tab.get_by_label("Beside the maps, the picture that the network really saw").check()
    tab.get_by_text("What the network saw: 32 x 32 pixels").wait_for()


def test_why_this_rather_than_that(tab):
    choose(tab, "classes")
    tab.get_by_text("Why this rather than that").click()
    for part, name in (("this", "rose"), ("that", "daisy")):
        tab.locator(f"#{part} input").click()
        tab.get_by_role("option", name=re.compile(f"^{name}")).last.click()  # the first list may be fading
    number_of_maps(tab, 2)
    assert titles(tab)[0].startswith("rose rather than daisy, score ")


def test_labels_start_from_those_that_are_there(tab):
    choose(tab, "labels")
    number_of_maps(tab, 4)
    assert {title.split(",")[0] for title in titles(tab)} == {"rose", "tulip", "daisy", "oak"}


def test_one_logit(tab):
    choose(tab, "binary")
    tab.get_by_role("checkbox", name=re.compile("^healthy, ")).check()
    tab.get_by_role("checkbox", name=re.compile("^ill, ")).check()
    number_of_maps(tab, 2)
    shares = [float(re.search(r"([\d.]+) %", title)[1]) for title in titles(tab)]
    assert sum(shares) == pytest.approx(100, abs=0.11)
    assert not tab.get_by_text("Why this rather than that").is_visible()


def test_a_value(tab):
    choose(tab, "value")
    assert re.match(r"age, -?[\d.]+ years", titles(tab)[0])
    assert "Red raises the value, blue lowers it" in tab.locator("#explained .eq-legend").text_content()
    frame = tab.locator("#explained .eq-view").bounding_box()
    tab.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    assert re.search(r"row \d+, column \d+: .*(raises|lowers) the value", tab.locator(".eq-value").text_content())
    tab.get_by_role("tab", name="Insert and delete").click()
    tab.get_by_role("button", name=re.compile("Ask the network")).click()
    tab.locator("#inserted svg").wait_for()
    assert "value of age in years over pixels shown" in tab.locator("#inserted svg").get_attribute("aria-label")


def test_a_photo_in_gray(tab):
    choose(tab, "gray")
    assert re.match(r"(bone|lung|skin), ", titles(tab)[0])
    tab.get_by_text("How maps are drawn").click()
    tab.get_by_label("Beside the maps, the picture that the network really saw").check()
    tab.get_by_text("What the network saw: 32 x 32 pixels, in gray").wait_for()
    tab.get_by_role("tab", name="Compare").click()
    tab.get_by_role("button", name="Compare", exact=True).click()
    tab.wait_for_function("document.querySelectorAll('#compared img').length === 4")
    assert titles(tab, "compared") == ["Attribution Equilibrium", "Grad-CAM", "LRP composite", "c*EB"]


def test_a_clicked_pixel(tab):
    choose(tab, "pixels")
    assert re.search(r"\d+\.\d % of the pixels", titles(tab)[0])
    frame = tab.locator("#explained .eq-view").first.bounding_box()
    tab.mouse.click(frame["x"] + 0.5 * frame["width"], frame["y"] + 0.3 * frame["height"])
    number_of_maps(tab, 2)
    assert re.match(r"(sky|sea|sand|ship) at \d+, \d+, score", titles(tab)[1])


def test_boxes(tab):
    choose(tab, "boxes")
    assert titles(tab)[0] == "What the network found"
    tab.get_by_role("checkbox", name=re.compile("^cat at ")).check()
    tab.get_by_role("checkbox", name=re.compile("^dog at ")).check()
    number_of_maps(tab, 2)


def test_how_like_another_photo(tab, folder):
    choose(tab, "vector")
    tab.locator("input[type=file]").nth(1).set_input_files(str(folder / "photos" / "meadow.png"))
    number_of_maps(tab, 2)
    assert titles(tab)[1].startswith("similarity to meadow.png, score ")


def test_another_network_brings_its_photos_and_its_notes(tab):
    tab.get_by_label("Network", exact=True).click()
    tab.get_by_role("option", name="unsaid.toml", exact=True).click()
    tab.get_by_role("button", name="Example coffee.png").wait_for()
    notes = tab.locator("#known li")
    notes.first.wait_for()
    assert notes.count() == 2
    assert "no class names were given" in tab.locator("#known").text_content()
    tab.get_by_role("button", name="Example coffee.png").click()
    tab.locator("#explained .eq-view").first.wait_for()
    assert "no class names were given" not in tab.locator("#explained").text_content()
