"""Figures for papers: what every one says, where it is drawn, what it is saved as; pyplot never hears of it."""

import re
import subprocess
import sys
import zlib

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from equipoise import plot
from equipoise.errors import OptionError, UnknownNameError
from equipoise.explaining import explain
from equipoise.palettes import PALETTES


def red_left(width=80, height=40):
    photo = Image.new("RGB", (width, height), (0, 0, 255))
    photo.paste((255, 0, 0), (0, 0, width // 2, height))
    return photo


@pytest.fixture
def made(fakes):
    """One photo by two methods, each of two classes."""
    return [explain(red_left(), fakes, method, target=[0, 1]) for method in ("share", "coarse")]


def texts(artist):
    return [one.get_text() for one in artist.findobj(Text) if one.get_text()]


def bars(artist):
    """The axes of the color bars: one image of a scale, and ticks below."""
    return artist.findobj(lambda one: getattr(one, "get_label", str)() == "color bar")


def says_all(artist, *methods):
    """Class, probability, network and methods, and there is one color bar with words at both ends."""
    said = " ".join(" ".join(texts(artist)).split())
    for words in ("red thing (0)", "% ", "fake/rednet", "against the class", "for the class", *methods):
        assert words.strip() in said, words
    assert re.search(r"\d+\.\d %", said)
    assert len(bars(artist)) == 1
    return said


def test_a_figure_of_one_map_says_all(made):
    figure = made[0].plot(target_index=0)
    assert isinstance(figure, plot.Drawing)
    assert "Egyptian cat" not in says_all(figure, "share")
    assert figure.get_size_inches()[0] == pytest.approx(3.5)
    assert made[0].plot(target_index=1, width="page").get_size_inches()[0] == pytest.approx(7.16)
    (ax,) = figure.axes
    (image,) = ax.images
    expected = made[0].overlay(0)
    assert np.abs(np.asarray(image.get_array())[:, :, :3].astype(int) - np.asarray(expected)).max() <= 1


def test_several_maps_share_one_bar(made):
    figure = plot.compare(made)
    said = says_all(figure, "share", "coarse", "photo")
    assert "Egyptian cat (1)" in said
    assert said.count("fake/rednet") == 1
    assert said.count("share") == 1, "above the first row alone"
    assert sum(bool(one.images) for one in figure.axes[0].child_axes) == 6
    assert "photo" not in texts(plot.compare(made, photo=False))
    assert {"mine", "theirs"} <= set(texts(plot.compare({"mine": made[0], "theirs": made[1]})))
    assert says_all(made[0].plot(), "share").count("Egyptian cat (1)") == 1


def test_different_photos_and_classes_have_titles_of_their_own(fakes):
    first = explain(red_left(), fakes, "share", target=0)
    other = explain(Image.new("RGB", (50, 50), (9, 90, 9)), fakes, "share", target=1)
    said = texts(plot.compare([first, other]))
    assert "photo" not in said
    assert sum("red thing (0)" in one for one in said) == 1
    assert sum("Egyptian cat (1)" in one for one in said) == 1


def test_printed_names(fakes):
    network = fakes[0], fakes[1]
    said = "\n".join(texts(plot.compare([explain(red_left(), network, name, target=0) for name in ("ae", "grad_cam")])))
    assert "Attribution Equilibrium" in said.replace("\n", " ")
    assert "Grad-CAM" in said


@pytest.mark.parametrize("draw", ["single", "compare", "method"])
def test_given_axes_are_drawn_on(made, draw):
    figure = Figure(figsize=(9, 3))
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    calls = {
        "single": lambda: plot.single(made[0], middle),
        "compare": lambda: plot.compare(made, ax=middle),
        "method": lambda: made[0].plot(ax=middle, target_index=0),
    }
    assert calls[draw]() is middle
    says_all(middle, "share")
    assert texts(left) == texts(right)
    assert not left.images
    assert middle.images or middle.child_axes[0].images
    assert len(figure.axes) == 3, "nothing is added beside them"
    figure.canvas.draw()
    inside = middle.get_window_extent().padded(30)
    for one in middle.child_axes:
        if one.images:
            assert inside.fully_contains(*one.get_window_extent().min)
            assert inside.fully_contains(*one.get_window_extent().max)


def test_pyplot_knows_of_no_figure():
    code = (
        "import sys; import numpy; from equipoise import plot; assert 'matplotlib.pyplot' not in sys.modules;"
        "d = plot.Drawing(); d.add_subplot(); d.encoded('png'); d.encoded('pdf');"
        "assert 'matplotlib.pyplot' not in sys.modules; import matplotlib.pyplot as p; assert p.get_fignums() == []"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_the_defaults_of_matplotlib_stay(made, tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    for kind in plot.FORMATS:
        made[0].plot(target_index=0).save(tmp_path / f"a.{kind}")
    assert dict(mpl.rcParams) == before


def pages(data):
    return [zlib.decompress(one) for one in re.findall(rb"stream\r?\n(x.*?)\r?\nendstream", data, re.DOTALL)]


@pytest.mark.parametrize("kind", plot.FORMATS)
def test_every_format_is_a_valid_file_with_its_caption(made, tmp_path, kind):
    figure = plot.compare(made, width="column")
    path = tmp_path / "sub" / f"cat.{kind}"
    assert figure.save(path, dpi=150) == [path, path.with_name(f"cat.{kind}.caption.txt")]
    data = path.read_bytes()
    assert data == figure.encoded(kind, 150), "equal figures are equal files"
    if kind == "png":
        with Image.open(path) as image:
            assert image.size[0] == 525
            assert np.asarray(image.convert("RGB")).std() > 20
    elif kind == "pdf":
        assert data.startswith(b"%PDF-")
        assert data.rstrip().endswith(b"%%EOF")
        assert b"/Type3" not in data, "journals refuse such letters"
        assert any(b"Tj" in one or b"TJ" in one for one in pages(data)), "letters stay letters"
    else:
        import xml.etree.ElementTree as ET

        root = ET.fromstring(data)  # noqa: S314  # our own file
        assert root.tag.endswith("svg")
        assert len(root.findall(".//{http://www.w3.org/2000/svg}image")) == 7  # and the bar
    caption = (tmp_path / "sub" / f"cat.{kind}.caption.txt").read_text()
    assert caption == figure.caption + "\n"


def test_an_explanation_saves_its_figure(made, tmp_path):
    assert [path.name for path in made[0].save(tmp_path / "cat.pdf")] == ["cat.pdf", "cat.pdf.caption.txt"]
    with pytest.raises(OptionError, match=r"\.pdf"):
        made[0].save(tmp_path / "cat.tiff")
    with pytest.raises(OptionError, match=r"cat\.jpg is no figure"):
        made[0].plot().save(tmp_path / "cat.jpg")


def test_the_caption_says_what_the_scale_is(made):
    own = plot.compare(made).caption
    assert own == plot.caption(made)
    assert own.startswith("share and coarse on fake/rednet: red thing (0), ")
    assert "Egyptian cat (1), " in own
    assert "Red pixels speak for the class, blue pixels against it." in own
    assert "Each map has its own color scale" in own
    assert "99.9th percentile of the absolute relevance" in own
    assert "inside the frame" in own
    shared = plot.compare(made, scale="shared", cmap="even_green_purple", percentile=100).caption
    assert "All maps share one color scale" in shared
    assert "Green pixels" in shared
    assert "the largest absolute relevance of the map where that is largest, " in shared


def test_a_shared_scale_gives_equal_relevance_equal_colors(made):
    """The second map is far stronger: on its scale the first one is pale, and the bar tells the numbers."""

    def strength(figure):
        first = figure.axes[0].child_axes[0].images[0].get_array()[:, :, :3].astype(int)
        return np.abs(first[..., 0] - first[..., 2])[10:30, 26:54].max()

    assert strength(plot.compare(made, photo=False)) > 100
    shared = plot.compare(made, photo=False, scale="shared")
    assert strength(shared) < 60
    (bar,) = bars(shared)
    assert bar.get_xlim()[1] == pytest.approx(1 / 3, rel=0.05)  # the coarse map: the mean of the channels
    assert [one.get_text() for one in bar.get_xticklabels()][1] == "0"


@pytest.mark.parametrize("cmap", PALETTES)
def test_the_bar_has_the_colors_of_the_maps(made, cmap):
    figure = made[0].plot(target_index=0, cmap=cmap)
    (bar,) = bars(figure)
    (scale,) = [one for one in bar.collections if one.get_array() is not None]
    ends = scale.get_cmap()(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(ends, PALETTES[cmap].colormap()(np.array([0.0, 0.5, 1.0])))
    assert PALETTES[cmap].positive.capitalize() in figure.caption
    colored = made[0].in_colors(cmap)
    assert colored.overlay(0).tobytes() == made[0].overlay(0, colors=cmap).tobytes()
    assert colored.heatmap_image(0).tobytes() == made[0].heatmap_image(0, colors=cmap).tobytes()


@pytest.mark.parametrize("count", [1, 5, 8])
def test_no_text_leaves_the_figure(made, count):
    """Labels of rows take as many lines as low pictures make of them."""
    figure = plot.compare([made[0]] * count)
    FigureCanvasAgg(figure).draw()
    for one in figure.findobj(Text):
        if one.get_text() and one.get_visible():
            box = one.get_window_extent()
            assert box.x0 >= 0, one.get_text()
            assert box.x1 <= figure.bbox.x1 + 1, one.get_text()
            assert box.y0 >= 0, one.get_text()
            assert box.y1 <= figure.bbox.y1, one.get_text()


@pytest.mark.parametrize("count", [1, 4, 9, 30])
@pytest.mark.parametrize("width", plot.WIDTHS)
def test_a_grid_fits_its_width_and_a_page(made, count, width):
    figure = plot.compare([made[0].select(0)] * count, width=width)
    wide, high = figure.get_size_inches()
    assert wide == pytest.approx(plot.WIDTHS[width])
    assert high <= 9.3
    cells = [one.get_position() for one in figure.axes[0].child_axes if one.images]
    assert len(cells) == count + 1
    assert all(one.x0 >= 0 and one.x1 <= 1 and one.y0 >= 0 and one.y1 <= 1 for one in cells)


def test_letters_that_are_a_formula_or_strange(fakes, tmp_path):
    model, spec = fakes
    from dataclasses import replace

    odd = (model, replace(spec, classes=("$\\frac$ 漢", "b", "c", "d")))
    figure = explain(red_left(), odd, "share", target=0).plot()
    assert figure.picture(100).size[0] == 350


WRONG = {
    "nothing": (lambda _: plot.compare([]), OptionError, "no explanation"),
    "palette": (lambda one: one.plot(cmap="jet"), UnknownNameError, "palette.*'jet'"),
    "width": (lambda one: one.plot(width="colum"), UnknownNameError, "did you mean column"),
    "scale": (lambda one: plot.compare([one], scale="all"), UnknownNameError, "scale"),
    "percentile": (lambda one: plot.compare([one], percentile=0), OptionError, "percentile is 0"),
    "across": (lambda one: plot.compare([one], across=-1), OptionError, "across is -1"),
    "dpi": (lambda one: one.plot().encoded("png", 5), OptionError, "dpi is 5"),
    "format": (lambda one: one.plot().encoded("pgn"), UnknownNameError, "did you mean png"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(made, case):
    call, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        call(made[0])
