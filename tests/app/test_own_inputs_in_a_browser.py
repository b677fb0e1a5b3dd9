"""Arrays, and networks of several inputs, in a real browser: given, named, refused, explained, pointed at."""

import gc
import re

import numpy as np
import own_pairs
import pytest
from test_arrays_page import SHAPES, SOURCE

import browser
from equipoise.app.server import start
from patience import PATIENCE

pytest.importorskip("gradio", reason="the app's tests need gradio")
pytestmark = pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another

MODELS = ("pair", "mixed", "signal", "gray", "volume")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Descriptions; arrays that fit and that do not."""
    made = own_pairs.write(tmp_path_factory.mktemp("inputs"), "pairs_in_a_browser")
    for name in ("signal", "gray", "volume"):
        channels, *space = SHAPES[name]
        (made / f"browsed_{name}.py").write_text(SOURCE.format(d=len(space), c=channels))
        values = np.random.default_rng(1).random((channels, *space), dtype=np.float32)
        np.save(made / f"{name}.npy", values)
        (made / f"{name}.toml").write_text(
            f'architecture = "browsed_{name}:build"\nclasses = ["calm", "quick", "ill"]\n'
            f"[preprocessing]\nsize = {list(space)}\nmean = {[0.25] * channels}\nstd = {[0.5] * channels}\n"
        )
    gray = np.load(made / "gray.npy")
    np.savez(made / "two.npz", before=gray, after=1 - gray)
    np.save(made / "short.npy", np.zeros((2, 59), dtype=np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made)
        yield made


@pytest.fixture(scope="module")
def opened(folder):
    """Opens tabs of any width on one server of all the networks."""
    with browser.chromium() as started:
        served = start([str(folder / f"{name}.toml") for name in MODELS])

        def open_tab(width=1300):
            context = started.new_context(viewport={"width": width, "height": 1000})
            context.set_default_timeout(1000 * PATIENCE)
            tab = context.new_page()
            tab.troubles = []
            tab.on("pageerror", lambda error: tab.troubles.append(str(error)))
            tab.goto(served.address)
            tab.get_by_role("button", name="Example garden").wait_for()
            return tab

        yield open_tab
        served.close()
        gc.collect()  # what gradio leaves unclosed complains now, where that is ignored


@pytest.fixture
def tab(opened):
    made = opened()
    yield made
    assert made.troubles == []
    made.context.close()


def choose(tab, name, greeting):
    """The network of a name, and wait for what it asks for."""
    box = tab.get_by_label("Network", exact=True)
    if box.input_value() != f"{name}.toml":
        box.click()
        tab.get_by_role("option", name=f"{name}.toml", exact=True).click()
    tab.locator("#explained").get_by_text(greeting).wait_for()


def give(tab, label, path):
    """A file into the place of a label."""
    block = tab.locator(".block").filter(has=tab.get_by_text(label, exact=True))
    place, gone = block.locator("input[type=file]").first, block.get_by_label("Clear")
    place.or_(gone).first.wait_for(state="attached")
    if gone.is_visible():
        gone.click()
    place.set_input_files(str(path))


def titles(tab, part="explained"):
    return tab.locator(f"#{part} .eq-title").all_text_contents()


def number_of_maps(tab, count):
    tab.wait_for_function(f"document.querySelectorAll('#explained .eq-view').length === {count}")


def alert(tab, words):
    said = tab.get_by_role("alert").filter(has_text=words)
    said.wait_for()
    assert "/" not in said.text_content()  # no folder of the server


def drag(tab, view, *corners):
    view.hover()  # which waits until the page has stopped moving
    frame = view.bounding_box()
    at = [(frame["x"] + frame["width"] * x, frame["y"] + frame["height"] * y) for x, y in corners]
    tab.mouse.move(*at[0])
    said = view.locator("xpath=..").locator(".eq-value").text_content()
    tab.mouse.down()
    tab.mouse.move(*at[1], steps=3)
    tab.mouse.up()
    return said


def test_two_inputs_are_given_one_by_one(tab, folder):
    assert "Give a photo as image and a photo as other, or take an example." in tab.locator("#explained").text_content()
    give(tab, "image: drop, paste or choose a photo", folder / "depths" / "image" / "garden.png")
    tab.get_by_role("status").filter(has_text="image is there; give other, too.").wait_for()
    assert tab.locator("#explained .eq-view").count() == 0
    give(tab, "other as an array: .npy, .npz, .pt, .dcm, .nii", folder / "depths" / "other" / "garden.npy")
    number_of_maps(tab, 2)
    assert titles(tab) == ["image", "other"]
    assert re.match(r"(cup|bowl|jar), \d+\.\d %", tab.locator("#explained .eq-class").text_content())
    widths = [view.get_attribute("data-columns") for view in tab.locator("#explained .eq-view").all()]
    assert widths == ["32", "24"]  # each over the input it belongs to

    assert re.match(r"row \d+, column \d+: ", drag(tab, tab.locator(".eq-view").nth(1), (0.2, 0.2), (0.7, 0.7)))
    tab.locator("#share p").wait_for()
    assert "of the pixels of other." in tab.locator("#share").text_content()

    tab.get_by_role("radio", name="other").check()
    number_of_maps(tab, 1)
    assert titles(tab) == ["other"]
    tab.get_by_text("Reproduce and download").first.click()
    tab.get_by_text("wrt=").first.wait_for()
    tab.get_by_role("radio", name="each").check()
    number_of_maps(tab, 2)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Make files").first.click()
        tab.locator("a[href*='garden.other.ae']").first.click()
    assert download.value.suggested_filename.startswith("garden.other.ae.")


def test_a_wrong_array_is_one_sentence_and_the_right_one_follows(tab, folder):
    choose(tab, "mixed", "an array as other")
    tab.get_by_role("button", name="Example garden").click()
    number_of_maps(tab, 2)
    before = tab.locator(".eq-view").nth(1).get_attribute("data-map")
    give(tab, "other as an array: .npy, .npz, .pt, .dcm, .nii", folder / "short.npy")
    alert(tab, "input 'other': the array is (2, 59); the network takes (2, 60)")
    give(tab, "other as an array: .npy, .npz, .pt, .dcm, .nii", folder / "signal.npy")
    tab.wait_for_function("before => document.querySelectorAll('.eq-view')[1]?.dataset.map !== before", arg=before)
    assert tab.get_by_role("alert").count() == 0


def test_every_view_of_two_inputs(tab):
    tab.get_by_role("button", name="Example meadow").click()
    number_of_maps(tab, 2)
    tab.get_by_role("tab", name="Compare").click()
    tab.get_by_role("button", name="Compare", exact=True).click()
    tab.wait_for_function("document.querySelectorAll('#compared img').length === 8")
    heads = tab.locator("#compared .eq-class").all_text_contents()
    assert [head.split(":")[0] for head in heads] == ["image", "other"]
    tab.get_by_role("tab", name="Insert and delete").click()
    tab.get_by_role("radio", name="other").check()
    tab.get_by_role("button", name=re.compile("Ask the network")).click()
    tab.locator("#inserted svg").wait_for()
    assert "over pixels of other shown" in tab.locator("#inserted svg").get_attribute("aria-label")
    tab.get_by_role("tab", name="Sanity").click()
    tab.locator("#randomized img").first.wait_for()
    assert tab.locator("#randomized .eq-class").all_text_contents() == ["other"]
    tab.get_by_role("tab", name="Coverage").click()
    tab.locator("#covered td").first.wait_for()
    assert tab.locator("#covered caption").text_content().startswith("other: ")


def test_a_photo_and_a_signal(tab):
    choose(tab, "mixed", "an array as other")
    assert not tab.get_by_text("other: drop, paste or choose a photo").is_visible()
    tab.get_by_role("button", name="Example garden").click()
    number_of_maps(tab, 2)
    assert titles(tab) == ["image", "other"]
    tab.get_by_text("How maps are drawn").click()
    tab.get_by_label("heat map").wait_for()
    assert tab.get_by_label("contour").count() == 0  # it needs rows and columns


def test_a_signal(tab, folder):
    choose(tab, "signal", "Give an array")
    assert not tab.get_by_text("Photo: drop, paste or choose").is_visible()
    give(tab, "Array: .npy, .npz, .pt, .dcm, .nii", folder / "short.npy")
    alert(tab, "the array is (2, 59); the network takes (2, 60)")
    give(tab, "Array: .npy, .npz, .pt, .dcm, .nii", folder / "signal.npy")
    number_of_maps(tab, 1)
    assert re.match(r"(calm|quick|ill), \d+\.\d %", titles(tab)[0])
    assert tab.get_by_role("alert").count() == 0
    said = drag(tab, tab.locator(".eq-view"), (0.255, 0.5), (0.505, 0.5))  # level: a span has no height
    assert said.startswith("sample 15: ")
    tab.locator("#share p").wait_for()
    assert re.search(r"^The span holds .* of the samples\.$", tab.locator("#share").text_content().strip())
    tab.get_by_text("How maps are drawn").click()
    assert tab.get_by_label("contour").count() == 0
    assert not tab.get_by_label("Beside the maps, the picture that the network really saw").is_visible()
    tab.get_by_role("tab", name="Insert and delete").click()
    tab.get_by_label("What is there without them").click()
    assert [text.split()[-1] for text in tab.get_by_role("option").all_text_contents()] == ["mean", "black"]
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name=re.compile("Ask the network")).click()
    tab.locator("#inserted svg").wait_for()
    assert "over samples shown" in tab.locator("#inserted svg").get_attribute("aria-label")


def test_one_channel_as_an_array_of_several_in_a_file(tab, folder):
    choose(tab, "gray", "Drop a photo")
    give(tab, "Array: .npy, .npz, .pt, .dcm, .nii", folder / "gray.npy")
    number_of_maps(tab, 1)
    first = tab.locator(".eq-view").get_attribute("data-map")
    assert not tab.get_by_label("Which array of the file").is_visible()
    give(tab, "Array: .npy, .npz, .pt, .dcm, .nii", folder / "two.npz")
    asked = tab.get_by_label("Which array of the file")
    asked.wait_for()
    assert "This file holds 2 arrays; choose which one the network gets." in tab.locator("#status").text_content()
    asked.click()
    assert [text.split()[-1] for text in tab.get_by_role("option").all_text_contents()] == ["before", "after"]
    tab.get_by_role("option", name="after").click()
    tab.wait_for_function("first => document.querySelector('.eq-view')?.dataset.map !== first", arg=first)
    asked.click()
    tab.get_by_role("option", name="before").click()
    tab.wait_for_function("first => document.querySelector('.eq-view')?.dataset.map === first", arg=first)
    tab.get_by_text("Reproduce and download").first.click()
    tab.get_by_text("two.npz#before").first.wait_for()
    give(tab, "Photo: drop, paste or choose", folder / "depths" / "image" / "garden.png")
    tab.wait_for_function("first => document.querySelector('.eq-view')?.dataset.map !== first", arg=first)
    assert not asked.is_visible()


def test_a_volume(tab, folder):
    choose(tab, "volume", "Give an array")
    give(tab, "Array: .npy, .npz, .pt, .dcm, .nii", folder / "volume.npy")
    tab.locator("#explained .eq-figure").wait_for()
    assert "% of the voxels" in tab.locator("#explained").text_content()
    assert tab.locator("#explained .eq-view").count() == 0  # slices side by side are not pointed at


def test_two_inputs_on_a_phone(opened):
    tab = opened(360)
    tab.get_by_role("button", name="Example garden").click()
    number_of_maps(tab, 2)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert all(view.bounding_box()["width"] > 250 for view in tab.locator("#explained .eq-view").all())
    tab.context.close()
