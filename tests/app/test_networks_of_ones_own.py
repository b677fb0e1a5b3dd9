"""Networks of a user's own before a visitor: what is offered, said and drawn for every task, without a browser."""

import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import own
import pytest
import torch
from PIL import Image

from equipoise.app import files, lines
from equipoise.app.controls import (
    Choice,
    PageContent,
    class_choices,
    examples_html,
    known_html,
    network_choices,
    score_choices,
)
from equipoise.app.drawing import Style, outlined
from equipoise.app.examples import examples_of
from equipoise.app.networks import Networks
from equipoise.app.session import Session
from equipoise.app.tasks import OFFERS
from equipoise.app.views import comparing, covering, explaining, inserting, randomizing, seeing
from equipoise.cli.app import parse
from equipoise.errors import EquipoiseError, ImageError, OptionError, TargetError
from equipoise.metrics import CANVASES
from equipoise.models.spec import ACTIVATIONS
from equipoise.wording import WORDINGS

STYLE = Style()
TASKS = ("classes", "labels", "binary", "value", "gray", "vector", "pixels", "boxes")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return own.write(tmp_path, f"mine_{abs(hash(str(tmp_path)))}")


@pytest.fixture
def networks(folder):
    return Networks([f"{name}.toml" for name in own.SAID])


@pytest.fixture
def opened(networks):
    """A session of the first photo before a network."""
    return lambda name, photo="photos/garden.png": Session.open(photo, networks[f"{name}.toml"])


def choice(session, checked=(), others=(), this=None, that=None, *, seen=False):
    return Choice.of([session, list(checked), list(others), this, that, 1.0, "overlay", 0.9, False, seen, ""])


def raw_output(session):
    with torch.no_grad():
        return session.network.module(session.view.inputs)


def test_every_task_has_words_and_an_offer():
    assert set(WORDINGS) == set(OFFERS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", TASKS)
def test_every_view_of_every_task(opened, name):
    """All that the page does, on a network of each task."""
    session = opened(name)
    one = choice(session, seen=True)
    target = one.targets[0]
    html = explaining.explain(session, one.targets, 1.0, one.style)
    assert html.count("eq-view") == len(one.targets)
    assert "What the network saw: 32 x 32 pixels" in html
    compared = list(comparing.compare(session, one.targets, ["gradient", "grad_cam", "ae"], 1.0, STYLE))[-1]
    assert compared.count("<img") == 3 * len(one.targets)
    assert "eq-error" not in compared
    made = inserting.curves(session, target, 1.0, mode="insertion", canvas="blur")
    assert inserting.show(session, made, 0.5).count("<polyline") == 2
    assert "rank correlation" in randomizing.show(session, target, 1.0, 1, STYLE)
    assert covering.operations(session, target, 1.0)
    assert "The box holds" in explaining.in_box(session, target, (0.3, 0.2, 0.7, 0.9))
    assert len(files.of_maps(session, one.targets, ["ae"], 1.0, STYLE)) == 4 * len(one.targets)
    assert files.of_curves(session, made, STYLE)
    assert files.of_coverage(session, target, 1.0, STYLE)


def test_names_and_chips(opened):
    session = opened("classes")
    scores = raw_output(session)[0].softmax(0)
    best = int(scores.argmax())
    assert score_choices(session)[0] == (
        f"{('rose', 'tulip', 'daisy', 'oak')[best]}, {100 * scores[best]:.1f} %", str(best),
    )  # fmt: skip
    assert [label for label, _ in class_choices(session)] == ["rose (0)", "tulip (1)", "daisy (2)", "oak (3)"]
    assert session.targets([]) == [best]


def test_labels_start_from_every_class_above_the_threshold(opened):
    session = opened("labels")
    assert sorted(session.targets([])) == [0, 1, 2, 3]  # the threshold is 0
    sure = raw_output(session)[0].sigmoid()
    assert {label for label, _ in score_choices(session)} == {
        f"{name}, {100 * value:.1f} %" for name, value in zip(session.network.spec.classes, sure.tolist(), strict=True)
    }


def test_one_logit_shows_both_classes(opened):
    session = opened("binary")
    second = raw_output(session).sigmoid().item()
    chips = dict(score_choices(session))
    assert set(chips) == {f"healthy, {100 * (1 - second):.1f} %", f"ill, {100 * second:.1f} %"}
    maps = [session.explain(index, options={"gamma": 1.0}).explanation for index in (0, 1)]
    assert [one.target.name for one in maps] == ["healthy", "ill"]
    gradients = [session.explain(index, "gradient").explanation.heatmap for index in (0, 1)]
    torch.testing.assert_close(gradients[0], -gradients[1])
    curve = inserting.curves(session, 0, 1.0, mode="insertion", canvas="black").found["most_relevant"]
    assert curve[-1] == pytest.approx(1 - second, abs=1e-5)
    after = randomizing.randomized(session, 1, 1.0, randomizing.steps(session)[1])
    assert after.explanation.target.name == "ill"


def test_a_value_has_its_unit_and_moves(opened):
    session = opened("value")
    value = raw_output(session).item()
    ((label, target),) = score_choices(session)
    assert (label, target) == (f"age, {value:.4g} years", "0")
    html = explaining.explain(session, [0], 1.0, STYLE)
    assert "Red raises the value, blue lowers it" in html
    assert "speak for" not in html
    assert 'data-positive="raises the value" data-negative="lowers the value"' in html
    assert re.search(r"sum .* raising, .* lowering", html)
    said = explaining.in_box(session, 0, (0.3, 0.2, 0.7, 0.9))
    assert re.search(r"% of what raises .*“age”", said)
    made = inserting.curves(session, 0, 1.0, mode="insertion", canvas="black")
    assert made.found["most_relevant"][-1] == pytest.approx(value, abs=1e-4)
    shown = inserting.show(session, made, 1.0)
    assert f"{value:.4g} years, age" in shown
    assert "value of age in years over pixels shown" in shown
    heights = [float(y) for path in re.findall(r'points="(.*?)"', shown) for y in re.findall(r",([\d.]+)", path)]
    assert 13.9 <= min(heights) <= max(heights) <= 244.1  # inside the plot, though the values are not 0 to 1


def test_a_photo_in_gray(opened):
    session = opened("gray")
    photo, seen = seeing.beside(session)
    assert seen.title == "What the network saw: 32 x 32 pixels, in gray"
    red, green, blue = np.asarray(seen.picture).transpose(2, 0, 1)
    assert (red == green).all()
    assert (green == blue).all()
    assert seen.picture.size == (704, 704)  # each pixel a square
    assert photo.picture.size == (704, 352)
    pixels = inserting.pixels_of(session)
    assert pixels.shape == (1, 1, 32, 32)
    assert np.asarray(inserting.picture_of(session, pixels[0])).shape == (32, 32, 3)


@pytest.mark.parametrize("canvas", CANVASES)
def test_every_canvas_of_one_channel(opened, canvas):
    pixels = inserting.pixels_of(opened("gray"))
    assert CANVASES[canvas](pixels).shape == (1, 1, 32, 32)


def test_blue_first_is_shown_in_a_persons_order(opened):
    session = opened("classes")
    spec = session.network.spec
    bgr = replace(session.network, spec=replace(spec, preprocessing=replace(spec.preprocessing, color_order="BGR")))
    other = Session.open("photos/garden.png", bgr)
    plain, swapped = (np.asarray(inserting.picture_of(one, inserting.pixels_of(one)[0])) for one in (session, other))
    assert (plain == swapped).all()


def test_the_seen_part_is_outlined(opened):
    photo, _ = seeing.beside(opened("classes"))
    plain = np.asarray(own.photo().resize((704, 352), Image.Resampling.NEAREST)).astype(int)
    drawn = np.asarray(photo.picture).astype(int)
    columns = (drawn != plain).any((0, 2)).nonzero()[0]
    assert (columns.min(), columns.max()) == (16 * 11, 48 * 11)  # the middle 32 of 64 pixels


def test_the_share_of_pixels_and_a_clicked_one(opened):
    session = opened("pixels")
    raw = raw_output(session)[0]
    share = torch.stack([(raw.argmax(0) == index).float().mean() for index in range(4)])
    assert score_choices(session)[0][0].endswith(f", {100 * share.max():.1f} % of the pixels")
    assert len(score_choices(session)) == int((share > 0).sum())  # a class of no pixel has nothing to explain
    target = session.pixel_at(0.5, 0.25)  # column 32 of 64, which is 16 of the 32 seen; row 8
    name = session.network.spec.classes[int(raw[:, 8, 16].argmax())]
    assert target == f"pixel:{name}|32.0|8.0"
    assert session.targets([target]) == [target]
    found = session.explain(target, "gradient").explanation
    assert found.target.logit == pytest.approx(float(raw[:, 8, 16].max()), abs=1e-5)
    rows, columns = found.heatmap.nonzero().T
    assert rows.min() >= 6
    assert rows.max() <= 10
    assert (columns.min(), columns.max()) >= (14, 14)
    frame = session.view.box
    assert seeing.places_of(session, target, frame) == [(32.0, 8.0, 33.0, 9.0)]
    with pytest.raises(TargetError, match="does not see"):
        session.pixel_at(0.01, 0.5)
    assert "data-clicks" in explaining.explain(session, session.targets([]), 1.0, STYLE)
    with pytest.raises(TargetError, match="no class for each pixel"):
        opened("classes").pixel_at(0.5, 0.5)


def test_boxes_are_listed_and_drawn(opened):
    session = opened("boxes")
    scores = raw_output(session)[0]["scores"].tolist()
    labels = [label for label, _ in score_choices(session)]
    order = sorted(range(2), key=lambda index: -scores[index])
    names = ["cat at 0, 0, 8, 8", "dog at 16, 16, 32, 32"]
    assert labels == [f"{names[index]}, {100 * scores[index]:.1f} %" for index in order]
    assert session.targets(["dog"]) == [1]
    assert class_choices(session)[2] == ("dog (2)", "dog")  # a number would be that of a box
    frame = session.view.box
    assert seeing.places_of(session, 1, frame) == [(32.0, 16.0, 48.0, 32.0)]
    html = explaining.explain(session, [1], 1.0, STYLE)
    assert "What the network found" in html
    assert "Red pixels speak for the box" in html
    curve = inserting.curves(session, 1, 1.0, mode="deletion", canvas="black").found["most_relevant"]
    assert curve[0] == pytest.approx(scores[1], abs=1e-5)


def test_a_detector_that_finds_nothing_gets_a_sentence(opened):
    session = opened("nothing")
    assert session.scores == ()
    with pytest.raises(TargetError, match="finds nothing in this photo"):
        session.targets([])


def test_why_this_rather_than_that(opened):
    session = opened("classes")
    chosen = choice(session, this="0", that="2")
    assert chosen.targets == ["contrast:0|2"]
    html = explaining.explain(session, chosen.targets, 1.0, STYLE)
    assert "rose rather than daisy, score" in html
    scores = raw_output(session)[0]
    one = session.explain("contrast:0|2", "gradient").explanation
    assert one.target.logit == pytest.approx(float(scores[0] - scores[2]), abs=1e-5)
    this, that = (session.explain(index, "gradient").explanation.heatmap for index in (0, 2))
    torch.testing.assert_close(one.heatmap, this - that, rtol=1e-3, atol=1e-6)
    assert choice(session, ["1"], this="0", that="2").targets == ["contrast:0|2", 1]
    assert choice(session, ["1"], this="0").targets == [1]
    with pytest.raises(EquipoiseError, match="between two classes"):
        choice(session, this="0", that="0")


def test_how_like_another_photo(opened):
    session = opened("vector")
    target = session.compare_with("photos/meadow.png")
    assert target == "similarity:meadow.png"
    other = opened("vector", "photos/meadow.png")
    right = torch.cosine_similarity(raw_output(session), raw_output(other)).item()
    found = session.explain(session.targets([target])[0], "gradient").explanation
    assert found.target.logit == pytest.approx(right, abs=1e-5)
    assert found.target.name == "similarity to meadow.png"
    assert found.other.target.name == "similarity to garden.png"
    assert "The other photo: similarity to garden.png" in explaining.explain(session, [target], 1.0, STYLE)
    assert "Gradient, the other photo" in list(comparing.compare(session, [target], ["gradient"], 1.0, STYLE))[-1]
    assert session.targets([target, "0"]) == [target, 0]
    with pytest.raises(ImageError, match=r"^absent\.png"):
        session.compare_with("photos/absent.png")


@pytest.mark.parametrize("words", ["similarity:photos/meadow.png", "region:rose|photos/meadow.png", "Similarity:x.png"])
def test_no_words_read_a_file_of_the_server(opened, words):
    with pytest.raises(OptionError, match="reads a file, which the page does not"):
        opened("classes").targets([words])


def test_each_network_brings_its_photos(networks, tmp_path):
    content = PageContent(networks, None, tmp_path / "made")
    assert [one.name for one in content.examples("classes.toml")] == ["garden.png", "meadow.png"]
    assert content.examples("unsaid.toml") == examples_of(None, networks["unsaid.toml"].prepares)
    assert 'alt="Example garden.png"' in examples_html(content.examples("classes.toml"))
    copied = Path(content.picked("classes.toml", 1)[""])
    assert copied.name == "meadow.png"
    assert copied.is_relative_to(tmp_path / "made")
    assert copied.read_bytes() == (tmp_path / "photos" / "meadow.png").read_bytes()
    for index in (2, -1, "1", None):
        assert content.picked("classes.toml", index) == {}
    (tmp_path / "others").mkdir()
    (tmp_path / "photos" / "meadow.png").rename(tmp_path / "others" / "meadow.png")
    given = PageContent(networks, tmp_path / "others", tmp_path / "made")
    assert [one.name for one in given.examples("unsaid.toml")] == ["meadow.png"]


def test_descriptions_are_offered_by_their_files_names(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("net.toml", f"{folder}.toml"):
            (tmp_path / folder / name).touch()
    names = [str(tmp_path / one) for one in ("a/net.toml", "b/net.toml", "b/b.toml")] + ["resnet50"]
    labels = [label for label, _ in network_choices(names)]
    assert labels == [names[0], names[1], "b.toml", "resnet50"]
    assert [name for _, name in network_choices(names)] == names


def test_what_was_assumed_is_said_once(networks, opened):
    said = known_html(networks["classes.toml"])
    assert "Photos are resized to 32 and cropped to 32 pixels" in said
    assert "assumed" not in said
    unsaid = networks["unsaid.toml"]
    html = known_html(unsaid)
    assert len(unsaid.notes) == 2
    assert html.count("<li>") == 2
    assert html.count("ImageNet") == 1
    assert "no class names were given" in html
    assert "no class names" not in explaining.explain(opened("unsaid"), [0], 1.0, STYLE)


@pytest.mark.parametrize(("name", "wanted"), [
    ("classes", "0"), ("classes", "contrast:0|2"), ("labels", "1"), ("binary", "0"), ("value", "0"), ("gray", "1"),
    ("pixels", ""), ("pixels", "pixel:1|32|8"), ("boxes", "1"), ("boxes", "box:33|17|47|31"),
])  # fmt: skip
def test_what_a_visitor_would_type_gives_the_same(opened, name, wanted, tmp_path, capsys):
    """The very lines, run: the curves and the likeness on the page, and as many operations."""
    session = opened(name, "photos/garden.png")
    (tmp_path / "garden.png").write_bytes((tmp_path / "photos" / "garden.png").read_bytes())
    chosen = choice(session, others=[wanted] if wanted else [])
    target = chosen.targets[0]

    def typed(code):
        exec(compile(code, "typed.py", "exec"), {})  # noqa: S102  # that is the test
        return capsys.readouterr().out

    made = inserting.curves(session, target, 1.0, mode="insertion", canvas="blur")
    for line in typed(lines.insert_python(chosen.asked, mode="insertion", canvas="blur")).splitlines():
        order, _, values = line.partition(" ")
        assert eval(values) == pytest.approx(made.found[order], abs=1e-4)  # noqa: S307  # our own
    (said,) = re.findall(r"map ([+-]\d\.\d\d)", randomizing.show(session, target, 1.0, 1, STYLE))
    layers = len(randomizing.steps(session)[1].layers)
    assert float(typed(lines.sanity_python(chosen.asked, layers))) == pytest.approx(float(said), abs=0.006)
    rows = typed(lines.coverage_python(chosen.asked)).splitlines()
    assert len(rows) == len(covering.operations(session, target, 1.0))
    typed(lines.explain_python(chosen.asked))
    typed(lines.compare_python(chosen.asked, ["gradient"]))
    assert len(list((tmp_path / "out").iterdir())) == len(list((tmp_path / "out-gradient").iterdir())) == 4
    assert callable(parse(shlex.split(lines.explain_command(chosen.asked))[1:]))


def test_outlines_stay_inside_the_picture():
    plain = Image.new("RGB", (40, 30), (90, 90, 90))
    drawn = outlined(plain, [(-20.0, 10.0, 90.0, 5.0)], ["a name"])
    assert drawn.size == plain.size
    assert plain.getcolors() == [(1200, (90, 90, 90))]
    assert math.prod(drawn.size) > drawn.getcolors(5000)[0][0]
