"""Every figure is drawn, and shows no photo where it must not."""

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import colors
from colors import PERFECT, UNIFORM
from equipoise import viz
from equipoise.experiments import Column, MethodRun, Plan, run
from equipoise.experiments.presenting.figures import FIGURES, curves, pictures
from equipoise.experiments.presenting.figures.base import picture
from equipoise.experiments.presenting.figures.curves import filled_edges
from equipoise.experiments.presenting.writing import write
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.protocols.grid import Grid
from equipoise.experiments.protocols.insertion import Perturbation
from equipoise.experiments.protocols.pointing import Pointing
from equipoise.experiments.protocols.sanity import Sanity
from equipoise.experiments.protocols.segmentation import Segmentation
from equipoise.experiments.protocols.study import PerturbationStudy

GAMMAS = tuple(MethodRun(f"gamma {gamma}", "ae", {"gamma": gamma}) for gamma in (1.0, 2.0))
CASES = {
    "gallery": (Gallery(explain="both"), (PERFECT, UNIFORM), Column("PR", "positive_ratio")),
    "cascade": (Sanity(stages=0), (PERFECT, MethodRun("AE", "ae")), Column("SSIM", "ssim", step=1)),
    "sweep": (Pointing(), GAMMAS, Column("PG", "pointing_game")),
    "grid": (Grid(confidence=0.9), (PERFECT, UNIFORM), Column("GridPG", "grid_pointing_game")),
    "insertion": (Perturbation(shares=(0.1, 0.2)), (PERFECT, UNIFORM), Column("at 0.1", "accuracy", step=0.1)),
    "study": (PerturbationStudy(), (PERFECT, UNIFORM), Column("flip", "flip")),
}


def test_every_figure_is_tested():
    assert set(CASES) == set(FIGURES)


@pytest.mark.parametrize("name", CASES)
def test_a_figure_is_drawn(name, world, tmp_path, make_recipe):
    protocol, methods, column = CASES[name]
    recipe = make_recipe(protocol, methods, columns=(column,), figure=name, keep_maps=None)
    finished = run(Plan(recipe, tmp_path / "run", world))
    lines, files = write(finished)
    assert lines
    drawn = [path for path in files if path.suffix == ".png"]
    assert drawn
    for path in drawn:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert min(pixels.shape[:2]) > 100
        assert pixels.std() > 3, "an empty figure"
    assert (tmp_path / "run/table.md").read_text(encoding="utf-8").startswith("# A small table")


@pytest.mark.parametrize("name", CASES)
def test_without_photos_no_photo_is_shown(name, world, tmp_path, make_recipe):
    """The photos are black but for a saturated square: a large black area would be one."""
    protocol, methods, column = CASES[name]
    recipe = make_recipe(protocol, methods, columns=(column,), figure=name, keep_maps=None)
    finished = run(Plan(recipe, tmp_path / "run", world))

    def black(photos):
        drawn = FIGURES[name](finished, photos)
        pixels = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in drawn.values()]
        return sum((one.max(axis=2) < 25).sum() for one in pixels)

    shown, hidden = black(True), black(False)
    assert hidden < 60_000 if name != "study" else hidden < shown
    if name in {"gallery", "study"}:
        assert shown > hidden + 50_000


def swapped():
    """The network that takes red for green, and green for red."""
    network, spec = colors.build()
    with torch.no_grad():
        network.head.weight.copy_(network.head.weight[[1, 0, 2, 3]])
    return network, replace(spec, name="somebody/swapped", weights_checksum="1" * 64)


@pytest.mark.parametrize("name", CASES)
def test_every_figure_names_the_network_in_its_own_words(name, world, tmp_path, make_recipe, monkeypatch):
    """``colors``, not ``colors:swapped``, by which it was asked for; the photo by its file, nothing cut."""
    monkeypatch.setattr(colors, "swapped", swapped, raising=False)
    written = []

    def write(self, x, y, s, *arguments, **more):
        written.append(s)
        return text(self, x, y, s, *arguments, **more)

    text = Figure.text
    monkeypatch.setattr(Figure, "text", write)
    protocol, methods, column = CASES[name]
    recipe = make_recipe(protocol, methods, columns=(column,), figure=name, keep_maps=None)
    finished = run(Plan(replace(recipe, pairs=(("folder", "colors:swapped"),)), tmp_path / "run", world))
    figures = []
    for module in (curves, pictures):
        monkeypatch.setattr(module, "png", lambda figure: figures.append(figure) or b"")
    FIGURES[name](finished, photos=False)
    of = [one.get_text() for figure in figures for one in figure.findobj(Text)]
    said = "\n".join([*written, *of])
    assert "swapped" in said.replace("colors:swapped", "")
    assert "colors:swapped" not in said
    assert "somebody" not in said
    if name == "study":
        assert any(one.startswith("photo") and one.endswith("\nmap") for one in written)


@pytest.mark.parametrize("explain", ["predicted", "labels"])
@pytest.mark.parametrize("methods", [(UNIFORM,), (PERFECT, UNIFORM)])
def test_a_gallery_of_two_networks(methods, explain, world, tmp_path, make_recipe, monkeypatch):
    """One method: the networks side by side; several: below one another. A class stands by the map it is of."""
    monkeypatch.setattr(colors, "swapped", swapped, raising=False)
    drawn = {}

    def montage(rows, sides, heads, **said):
        drawn.update(sizes={len(row) for row in rows}, sides=sides, heads=heads, **said)
        return Image.new("RGB", (4, 4))

    monkeypatch.setattr(viz, "montage", montage)
    pairs = (("folder", "colors:build"), ("folder", "colors:swapped"))
    column = Column("PR", "positive_ratio")
    recipe = make_recipe(Gallery(explain=explain), methods, columns=(column,), figure="gallery", keep_maps=None)
    finished = run(Plan(replace(recipe, pairs=pairs), tmp_path / "run", world, limit=7))
    FIGURES["gallery"](finished, photos=True)
    assert drawn["sizes"] == {len(drawn["heads"])}
    if len(methods) > 1:
        assert drawn["heads"] == ["photo", "perfect", "uniform"]
        assert len(drawn["sides"]) == 14
        assert [side.rpartition("\n")[2] for side in drawn["sides"]] == ["colors", "swapped"] * 7
        assert drawn["captions"] is None
        names, sure = zip(*(side.split("\n")[:2] for side in drawn["sides"]), strict=True)
        assert all(one.endswith("%") for one in sure)
        wrong = [one != other for one, other in zip(names[::2], names[1::2], strict=True)]
        assert any(wrong) is (explain == "predicted")
        return
    assert drawn["heads"] == ["photo", "colors", "swapped"]
    assert "UNIFORM" not in drawn["title"]
    assert "uniform" in drawn["title"]
    if explain == "labels":
        assert {one for row in drawn["captions"] for one in row[1:]} == {"over 99.9 %", "under 0.1 %"}
        assert set(drawn["sides"]) <= set(colors.NAMES)
    else:
        assert all(side.startswith("photo") for side in drawn["sides"])
        pairs = {tuple(row[1:]) for row in drawn["captions"]}
        assert pairs & {("red\nover 99.9 %", "green\nover 99.9 %"), ("green\nover 99.9 %", "red\nover 99.9 %")}


@pytest.mark.parametrize("protocol", [Segmentation(), Pointing(), Gallery()])
def test_a_map_is_laid_where_the_network_looked(protocol, tmp_path, make_recipe):
    """A wide photo with a square right of its middle: seen whole by one protocol, cut at the sides by the other."""
    (tmp_path / "world/images").mkdir(parents=True)
    photo = Image.new("RGB", (200, 100), (0, 0, 0))
    photo.paste((255, 0, 0), (110, 40, 140, 70))
    photo.save(tmp_path / "world/images/wide.png")
    (tmp_path / "world/boxes.csv").write_text(
        "image,class,left,top,right,bottom\nwide.png,red,110,40,140,70\n", encoding="utf-8"
    )
    recipe = make_recipe(protocol, (PERFECT,), keep_maps=None)
    finished = run(Plan(recipe, tmp_path / "run", tmp_path / "world"))
    (block,) = finished.blocks
    (one,) = finished.store.maps(block.keys[block.units[0].key, "perfect"])
    shown = np.asarray(picture(one.heatmap, block, block.units[0], photos=True)).astype(int)
    red = (shown[..., 0] - shown[..., 2] > 60).nonzero()
    assert abs(red[1].mean() - 125) < 5
    assert abs(red[0].mean() - 55) < 5


@pytest.mark.parametrize("count", [1, 2, 10, 36, 49, 50, 400])
def test_no_bin_of_the_grid_game_is_empty(count):
    edges = filled_edges(count)
    cuts = [count * end // 100 for end in edges]
    assert (edges[0], edges[-1]) == (0, 100)
    assert all(first < second for first, second in itertools.pairwise(cuts))
    if count >= 50:
        assert edges == [0, 2, 5, 50, 95, 98, 100]
    assert filled_edges(36) == [0, 5, 50, 95, 98, 100]


def test_no_figure_of_mean_maps_is_drawn_of_none(world, tmp_path, make_recipe, monkeypatch):
    protocol, methods, column = CASES["grid"]
    figures = []
    monkeypatch.setattr(curves, "png", lambda figure: figures.append(figure) or b"")
    for keep, kinds in ((0, ["scores"]), (None, ["bins", "scores"])):
        recipe = make_recipe(protocol, methods, columns=(column,), figure="grid", keep_maps=keep)
        drawn = FIGURES["grid"](run(Plan(recipe, tmp_path / str(keep), world)), photos=False)
        assert sorted(name.rpartition("-")[2] for name in drawn) == kinds
    of = [one.get_text() for one in figures[-1].findobj(Text)]
    assert any("largest of each map" in one for one in of), "a color bar"
    assert any("colors" in one for one in of), "the network"
