"""Networks of several inputs before a visitor: what is asked for, offered and drawn, without a browser."""

import gc
import re
import shlex
from types import SimpleNamespace

import numpy as np
import own_pairs
import pytest
import tabs
import torch

import equipoise
from equipoise.app import files, lines
from equipoise.app.controls import Choice, PageContent, examples_html, greeting, known_html, score_choices
from equipoise.app.drawing import Style
from equipoise.app.lanes import CancelledError, Stop
from equipoise.app.networks import Networks
from equipoise.app.page import VIEWS, Page
from equipoise.app.session import Session
from equipoise.app.uploads import photo_input
from equipoise.app.views import comparing, covering, explaining, inserting, randomizing, seeing
from equipoise.cli.app import parse
from equipoise.errors import ImageError, ShapeError, TargetError

gr = pytest.importorskip("gradio", reason="the app's tests need gradio")

STYLE = Style()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return own_pairs.write(tmp_path, f"pairs_{abs(hash(str(tmp_path)))}")


@pytest.fixture
def networks(folder):
    return Networks([f"{name}.toml" for name in own_pairs.SAID])


def sources(name):
    place = "hearts" if name == "mixed" else "depths"
    return {"image": f"{place}/image/garden.png", "other": f"{place}/other/garden.npy"}


@pytest.fixture
def opened(networks):
    """The session of the first example's first input."""
    return lambda name: Session.open_each(sources(name), networks[f"{name}.toml"])


def choice(session, checked=(), others=(), wrt=""):
    return Choice.of([session, list(checked), list(others), None, None, 1.0, "overlay", 0.9, False, False, wrt])


@pytest.mark.parametrize("method", ["ae", "gradient"])
@pytest.mark.parametrize("name", ["pair", "mixed"])
def test_each_input_is_explained_as_in_python(opened, name, method):
    session = opened(name)
    right = equipoise.explain(sources(name), f"{name}.toml", method, target=1)
    assert [part.input for part in session.inputs] == list(right)
    for part in session.inputs:
        found = part.full(1, method)
        torch.testing.assert_close(found.attribution, right[part.input].attribution)
        assert found.record["input"] == part.input
        assert found.record["image"]["path"] == sources(name)[part.input].rpartition("/")[2]
        assert found.target == right[part.input].target
    assert {label.split(",")[0] for label, _ in score_choices(session)} == {"cup", "bowl", "jar"}


@pytest.mark.parametrize("name", own_pairs.SAID)
def test_every_view_of_several_inputs(opened, name):
    session = opened(name)
    target, parts = session.targets([])[0], session.inputs
    html = explaining.explain(session, [target], 1.0, Style(seen=True))
    assert re.findall(r'eq-title">(\w+)</div>', html) == ["image", "other"]
    assert html.count("eq-view") == 2
    assert re.findall(r'data-index="(\d)"', html) == ["0", "1"]
    assert len(re.findall(r'eq-title">\w+: What the network saw', html)) == (1 if name == "mixed" else 2)
    one = explaining.explain(session, [target], 1.0, STYLE, wrt="other")
    assert re.findall(r'eq-title">(\w+)</div>', one) == ["other"]
    compared = list(comparing.compare(session, [target], ["gradient", "ae"], 1.0, STYLE))[-1]
    assert "eq-error" not in compared
    assert compared.count("<img") == 4
    assert re.findall(r'eq-class">(\w+): ', compared) == ["image", "other"]
    shown = randomizing.show(session, target, 1.0, 1, STYLE)
    assert shown.count("<img") == 4
    assert "network." not in shown
    for part in parts:
        made = inserting.curves(part, target, 1.0, mode="insertion", canvas="black")
        assert made.found["most_relevant"][-1] == pytest.approx(float(session.certainty(session.view.inputs, target)))
        assert f" of {part.input} shown" in inserting.show(session, made, 0.5)
        assert f"of {part.input}." in explaining.in_box(part, target, (0.3, 0.2, 0.7, 0.9))
        rows = covering.operations(part, target, 1.0)
        assert not any(row.module.startswith("network.") for row in rows)
        assert f"<caption>{part.input}: " in covering.show(part, target, 1.0)
        assert set(files.of_curves(session, made, STYLE)) == {
            f"garden.{part.input}.insertion.{target}.json",
            *files.of_maps(part, [target], ["ae"], 1.0, STYLE),
        }
    both = files.of_maps(session, [target], ["ae"], 1.0, STYLE)
    assert len(both) == 8
    assert {file.split(".")[1] for file in both} == {"image", "other"}
    assert seeing.can_be_shown(parts[1]) == (name != "mixed")


@pytest.mark.parametrize(("name", "wrt", "wanted"), [
    ("pair", "", "1"), ("pair", "other", "1"), ("mixed", "", "cup"), ("mixed", "other", "2"),
    ("dense", "other", "pixel:cup|40|10"),
])  # fmt: skip
def test_what_a_visitor_would_type_gives_the_same_of_several_inputs(opened, name, wrt, wanted, tmp_path, capsys):
    """The very lines, run."""
    session = opened(name)
    for path in sources(name).values():
        (tmp_path / path.rpartition("/")[2]).write_bytes((tmp_path / path).read_bytes())
    chosen = choice(session, others=[wanted], wrt=wrt)
    target, part = chosen.targets[0], chosen.part
    assert part.input == (wrt or "image")

    def typed(code):
        exec(compile(code, "typed.py", "exec"), {})  # noqa: S102  # that is the test
        return capsys.readouterr().out

    made = inserting.curves(part, target, 1.0, mode="insertion", canvas="mean")
    for line in typed(lines.insert_python(chosen.asked, mode="insertion", canvas="mean")).splitlines():
        order, _, values = line.partition(" ")
        assert eval(values) == pytest.approx(made.found[order], abs=1e-4)  # noqa: S307  # our own
    said = re.findall(r"map ([+-]\d\.\d\d)", randomizing.show(session, target, 1.0, 1, STYLE, wrt=wrt))
    layers = len(randomizing.steps(session)[1].layers)
    assert float(typed(lines.sanity_python(chosen.asked, layers))) == pytest.approx(float(said[0]), abs=0.006)
    rows = typed(lines.coverage_python(chosen.asked)).splitlines()
    assert len(rows) == len(covering.operations(part, target, 1.0))
    typed(lines.explain_python(chosen.asked))
    typed(lines.compare_python(chosen.asked, ["gradient"]))
    for out in ("out", "out-gradient"):
        kinds = [path.parent.name for path in (tmp_path / out).rglob("*") if path.is_file()]
        assert sorted(kinds) == ([out] * 4 if wrt else ["image"] * 4 + ["other"] * 4)
    words = shlex.split(lines.explain_command(chosen.asked))
    assert words[2:4] == ["image=garden.png", "other=garden.npy"]
    assert words[words.index("--wrt") + 1] == wrt if wrt else "--wrt" not in words
    assert callable(parse(words[1:]))
    assert lines.recipe_command("fig7", chosen.asked) == ""


def test_a_clicked_pixel_is_the_same_on_every_input(opened):
    session = opened("dense")
    image, other = session.inputs
    # the network sees the middle half of the 64 x 32 photo, and all of the other
    target = image.pixel_at(0.25 + 0.5 * 0.7, 0.4)
    assert other.pixel_at(0.7, 0.4) == target
    with pytest.raises(TargetError, match="does not see"):
        image.pixel_at(0.1, 0.4)
    assert session.score(target) == other.score(target)
    maps = [part.explain(target, "gradient").explanation for part in (image, other)]
    assert maps[0].target == maps[1].target
    places = [
        (one.heatmap.abs().sum(axis).argmax() + 0.5) / one.heatmap.shape[1 - axis] for one in maps for axis in (0, 1)
    ]
    assert places == pytest.approx([0.7, 0.4] * 2, abs=0.1)
    right = equipoise.explain(sources("dense"), "dense.toml", "gradient", target)
    for part, one in zip(session.inputs, maps, strict=True):
        torch.testing.assert_close(one.attribution, right[part.input].attribution)
    assert explaining.explain(session, [target], 1.0, STYLE).count("data-clicks") == 2


def test_what_is_wrong_names_the_input_and_no_folder(networks, tmp_path):
    network, given = networks["pair.toml"], sources("pair")
    np.save(tmp_path / "flat.npy", np.zeros(5, dtype=np.float32))
    (tmp_path / "torn.png").write_bytes(b"nothing")
    with pytest.raises(ShapeError, match=r"^input 'other': the array is \(5,\), and the network takes 1 channel of"):
        Session.open_each({**given, "other": str(tmp_path / "flat.npy")}, network)
    with pytest.raises(ImageError, match=r"^input 'image': torn\.png: is not an image"):
        Session.open_each({**given, "image": str(tmp_path / "torn.png")}, network)


@pytest.mark.filterwarnings("ignore")  # as below
def test_only_equipoise_decodes_photos():
    """Also after a property was set, when gradio makes a component anew."""
    made = photo_input(label="a")
    again = type(made)(**made.constructor_args)
    for one in (made, again):
        assert one.preprocess(SimpleNamespace(path="photo.png")) == "photo.png"
        assert one.preprocess(None) is None
        assert one.get_block_name() == "image"


def test_a_visitors_work_with_several_inputs_is_stopped(networks):
    network, stop = networks["pair.toml"], Stop()
    session = Session.open_each(sources("pair"), network, stop)
    for part in session.inputs:
        stop.request()
        with pytest.raises(CancelledError):
            part.explain(0, "gradient")
        stop.reset()
        assert part.explain(0, "gradient").explanation.heatmap.any()
        assert not part.network.module._forward_pre_hooks  # nothing stays
    stop.request()
    with pytest.raises(CancelledError):
        Session.open_each(sources("pair"), network, stop)
    assert session.parts("other")[0].network.lane is session.network.lane  # one after another


@pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another
def test_the_page_asks_for_every_input(networks, tmp_path, reader):
    page = Page(PageContent(networks, None, tmp_path / "made", reader))
    assert [slot.input for slot in page.uploads.slots] == ["", *["image", "other"] * 3]
    _, image, depth, _, heart, *_ = page.uploads.slots
    assert [image.photo.label, depth.photo.label] == [
        f"{one}: drop, paste or choose a photo" for one in ("image", "other")
    ]
    seen = [(one.photos.visible, one.arrays.visible) for one in (image, depth, heart)]
    assert seen == [(True, False), (True, True), (False, True)]
    assert [one["visible"] for one in page.uploads.seen("mixed.toml")[:4]] == [False, False, True, False]
    network = networks["mixed.toml"]
    assert greeting(network) == "Give a photo as image and an array as other, or take an example."
    assert "other: arrays are taken as they are, 60 values of 2 channels" in known_html(network)
    assert examples_html(page.content.examples("mixed.toml")).count('alt="Example garden"') == 1

    count = len(page.uploads.components)
    picked = page.content.picked("mixed.toml", 0)
    assert {name: path.rpartition("/")[2] for name, path in picked.items()} == {
        "image": "garden.png", "other": "garden.npy"
    }  # fmt: skip
    values = [
        None if one == gr.skip() or isinstance(one, dict) else one for one in page.uploads.filled("mixed.toml", picked)
    ]
    more = ("mixed.toml", 0, "contour", "blur")
    session, *_, opened, wrt, mode, seen, canvas, status = tabs.given(page, *values, *more)
    assert (opened, status, wrt["visible"], seen["visible"]) == (1, "", True, True)
    assert wrt["choices"] == [("each", ""), ("image", "image"), ("other", "other")]
    assert mode["value"] == "overlay"
    assert "contour" not in mode["choices"]
    assert canvas["value"] == "mean"
    chosen = [session, ["0"], [], None, None, 1.0, "overlay", 0.9, False, False, "other"]
    shown, *_ = page._show(*chosen, VIEWS[0], 0)
    assert re.findall(r'eq-title">(\w+)</div>', shown) == ["other"]
    said, _ = page._share(*chosen, {"index": 0, "box": [0.1, 0, 0.6, 1]})
    assert "The span holds" in said
    assert "of the samples of other." in said
    both, _ = page._share(*chosen[:-1], "", {"index": 0, "box": [0.3, 0.1, 0.6, 0.9]})
    assert "of the pixels of image." in both

    lacking = [*values]
    lacking[count - 2 * 3 - 2] = None  # the array of the second input of the second network
    session, *_, status = tabs.given(page, *lacking, *more)
    assert session is None
    assert "image is there; give other, too." in status
    nothing, *_, status = tabs.given(page, *[None] * count, *more)
    assert (nothing, status) == (None, "")
    del page
    gc.collect()  # what gradio leaves unclosed complains now, where that is ignored
