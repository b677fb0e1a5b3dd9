"""What is saved says what it is: words above the picture, a color bar below, the picture's own pixels between."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from equipoise import plot
from equipoise.explaining import explain
from equipoise.plot.words import NARROWEST, _font, _lines


@pytest.fixture
def written(monkeypatch):
    """Every word that is drawn on a picture, and where: left, top, right, bottom, and the picture's size."""
    found = []
    text = ImageDraw.ImageDraw.text

    def write(self, place, words, **options):
        box = self.textbbox(place, words, font=options["font"], anchor=options["anchor"])
        found.append((words, box, self.im.size))
        return text(self, place, words, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", write)
    return found


def photo(width, height):
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    return image


def inside(saved, picture):
    """Whether a picture stands somewhere in the middle columns of what was saved, pixel for pixel."""
    big, small = np.asarray(saved), np.asarray(picture)
    left = (big.shape[1] - small.shape[1]) // 2
    middle = big[:, left : left + small.shape[1]]
    return any((middle[top : top + len(small)] == small).all() for top in range(len(big) - len(small) + 1))


@pytest.mark.parametrize("size", [(80, 40), (500, 300), (2000, 900), (30, 400)])
def test_every_saved_picture_says_class_probability_method_and_network(fakes, tmp_path, written, size):
    found = explain(photo(*size), fakes, "share", target="red thing")
    pictures = [path for path in found.save(tmp_path / "all") if path.suffix == ".png"]
    pictures += found.save(tmp_path / "one.png")
    assert len(pictures) == 3
    assert not any(words.startswith("%") for words, *_ in written), "a number and its sign stand in one line"
    said = re.sub(r"\s+", " ", " ".join(words for words, *_ in written))
    assert said.count(f"red thing (0), {100 * found.target.probability:.1f} %") == len(pictures)
    for what in ("fake", "against the class", "for the class"):
        assert said.count(what) >= len(pictures), (what, said)
    for _, (left, top, right, bottom), (wide, high) in written:
        assert left >= 0 <= top, "cut"
        assert right <= wide, "cut"
        assert bottom <= high, "cut"
    for path, own in zip(sorted(pictures), (found.heatmap_image(), found.overlay(), found.overlay()), strict=True):
        with Image.open(path) as saved:
            assert saved.width == max(own.width, NARROWEST)
            assert saved.height > own.height
            assert inside(saved, own), path.name


def test_the_bar_has_the_colors_of_the_map(fakes):
    found = explain(photo(80, 40), fakes, "share", target=0)
    usual, other = (np.asarray(one.worded(one.overlay()))[-20:] for one in (found, found.in_colors("orange_blue")))
    assert (np.ptp(usual.astype(int), axis=2) > 100).sum() > 500
    assert (usual != other).any()


@pytest.mark.parametrize("name", ["一個很長的名字 $x_1$ " * 8, "W" * 90, "iW " * 40, "\U0001f408" * 50, "a" * 300])
def test_long_words_are_wrapped_and_odd_letters_harmless(name, fakes, written):
    network, spec = fakes
    found = explain(photo(80, 40), (network, spec), "share", target=0)
    record = found.record | {"model": found.record["model"] | {"name": name}}
    picture = plot.worded(found.overlay(), type(found)(**{**vars(found), "record": record}), "red_blue")
    assert picture.width == NARROWEST
    lines = [words for words, *_ in written]
    assert 3 < len(lines) <= 8
    for words, (left, _, right, _), (wide, _) in written:
        assert left >= 0, words
        assert right <= wide, words


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1, max_size=60), size=st.integers(11, 32))
def test_no_line_is_wider_than_there_is_room(name, size, fakes):
    found = explain(photo(8, 4), fakes, "share", target=0)
    record = found.record | {"model": found.record["model"] | {"name": name}}
    shown, font = type(found)(**{**vars(found), "record": record}), _font(size)
    assert all(font.getlength(line) <= 28 * size for line in _lines(shown, font, 28 * size))


def test_a_number_is_not_parted_from_its_sign(fakes):
    found = explain(photo(80, 40), fakes, "share", target=0)
    for room in range(90, 400, 5):
        assert not any(line.startswith("%") for line in _lines(found, _font(11), room)), room
