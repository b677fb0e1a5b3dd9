"""Drawn scenes whose classes have known causes: up to three objects, textures, a watermark, on a noisy ground.

What decides a class is the shape of an object, one score for each shape. Color, texture, place, ground and watermark
are drawn without regard to it (`Bias` says otherwise, for a network that is to learn a shortcut). A scene is kept as
what it was drawn from, so that one thing can be changed and everything else stay pixel by pixel: `Scenes.without`,
`Scenes.with_watermark`, `Scenes.textured`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from torch import Tensor

from equipoise._registry import Registry
from equipoise._typing import Bool, Float, Int
from equipoise.errors import OptionError

SIDE: Final = 56
"""Height and width of a scene, in pixels."""
MOST: Final = 3
"""Objects in a scene at most."""

_CELL: Final = 18  # each object has a cell of its own, three by three of them, so that no two overlap
_ROOM: Final = 2.0  # pixels by which its center may be off the middle of its cell
_MARK_TOP, _MARK_LEFT = 51, 41
_MARK = ("10101110111010", "11101010100110", "11101110110010", "01001010111010")  # the watermark, four rows

Offsets = Tensor

SHAPES: Registry[Callable[[Offsets, Offsets], Tensor]] = Registry("shape")
"""Whether a pixel at ``(down, across)`` from the center, in units of the object's size, belongs to it."""

SHAPES.add("circle", lambda y, x: y**2 + x**2 <= 0.85)
SHAPES.add("square", lambda y, x: torch.maximum(y.abs(), x.abs()) <= 0.8)
SHAPES.add("triangle", lambda y, x: (y <= 0.8) & (y >= 2 * x.abs() - 1.0))
SHAPES.add("cross", lambda y, x: (torch.minimum(y.abs(), x.abs()) <= 0.3) & (torch.maximum(y.abs(), x.abs()) <= 1))

TEXTURES: Registry[Callable[[Tensor, Tensor], Tensor]] = Registry("texture")
"""Brightness by which an object's color is multiplied at pixel ``(down, across)`` of the scene."""

TEXTURES.add("plain", lambda y, x: torch.ones_like(y + x))
TEXTURES.add("stripes", lambda y, x: torch.where((y + x) % 4 < 2, 1.0, 0.45))
TEXTURES.add("dots", lambda y, x: torch.where((y % 3 == 0) & (x % 3 == 0), 0.2, 1.0))
TEXTURES.add("checks", lambda y, x: torch.where((y // 3 + x // 3) % 2 == 0, 1.0, 0.55))


@dataclass(frozen=True)
class Bias:
    """Shortcuts in the data: how often something goes with a class that it has nothing to do with.

    Attributes:
        watermark: Probability that the watermark tells whether there is a circle; 0.5: it says nothing.
        texture: Probability that a square is striped and that no other shape is; ``None``: textures are free.
        faint: Probability that a circle hardly differs from the ground, so that the watermark tells more than it.
    """

    watermark: float = 0.5
    texture: float | None = None
    faint: float = 0.0

    def __post_init__(self) -> None:
        for value in (self.watermark, self.texture, self.faint):
            if value is not None and not 0 <= value <= 1:
                raise OptionError(f"a bias is a probability, not {value}")


UNBIASED: Final = Bias()
SHORTCUT: Final = Bias(watermark=0.97, texture=0.97, faint=0.6)
_FAINTNESS: Final = 0.1  # of the difference to the ground, what is left


@dataclass(frozen=True)
class Scenes:
    """``n`` scenes as what they are drawn from.

    Attributes:
        shapes: Which shape each object has, ``(n, 3)``, a place in `SHAPES`; -1: there is no such object.
        textures: Likewise, in `TEXTURES`.
        centers: In pixels, ``(n, 3, 2)``, down and across.
        sizes: In pixels, ``(n, 3)``.
        colors: 0 to 1, ``(n, 3, 3)``, red, green and blue of each object.
        ground: What lies behind, 0 to 1, ``(n, 3, h, w)``.
        marked: Which have the watermark, ``(n,)``.
    """

    shapes: Int[Tensor, "n o"]
    textures: Int[Tensor, "n o"]
    centers: Float[Tensor, "n o 2"]
    sizes: Float[Tensor, "n o"]
    colors: Float[Tensor, "n o 3"]
    ground: Float[Tensor, "n 3 h w"]
    marked: Bool[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def labels(self) -> Bool[Tensor, "n s"]:
        """Which shapes are there, ``(n, shapes)``: the classes."""
        return torch.stack([(self.shapes == shape).any(1) for shape in range(len(SHAPES))], dim=1)

    def masks(self) -> Bool[Tensor, "n o h w"]:
        """The pixels of each object, ``(n, 3, h, w)``; none of an object that is not there or under the watermark."""
        y, x = (axis.to(torch.float32) for axis in torch.meshgrid(*[torch.arange(SIDE)] * 2, indexing="ij"))
        down = (y - self.centers[..., 0, None, None]) / self.sizes[..., None, None]
        across = (x - self.centers[..., 1, None, None]) / self.sizes[..., None, None]
        found = torch.zeros(down.shape, dtype=torch.bool)
        for number, name in enumerate(SHAPES.names()):
            found |= SHAPES[name](down, across) & (self.shapes == number)[..., None, None]
        return found & ~(self.watermark & self.marked[:, None, None])[:, None]

    def causes(self, shape: int) -> Bool[Tensor, "n h w"]:
        """The pixels of all objects of one shape, ``(n, h, w)``: the cause of that class."""
        return (self.masks() & (self.shapes == shape)[..., None, None]).any(1)

    @property
    def watermark(self) -> Bool[Tensor, "h w"]:
        """The rectangle where the watermark is, or would be."""
        found = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        found[_MARK_TOP : _MARK_TOP + len(_MARK), _MARK_LEFT : _MARK_LEFT + len(_MARK[0])] = True
        return found

    def images(self) -> Float[Tensor, "n 3 h w"]:
        """The pictures, 0 to 1."""
        whole = torch.meshgrid(*[torch.arange(SIDE)] * 2, indexing="ij")
        brightness = torch.stack([TEXTURES[name](*whole) for name in TEXTURES.names()])
        images, masks = self.ground.clone(), self.masks()
        for index in range(MOST):
            painted = self.colors[:, index, :, None, None] * brightness[self.textures[:, index]][:, None]
            images = torch.where(masks[:, index, None], painted, images)
        letters = torch.tensor([[float(bit) for bit in row] for row in _MARK])
        corner = images[..., _MARK_TOP : _MARK_TOP + len(_MARK), _MARK_LEFT : _MARK_LEFT + len(_MARK[0])]
        corner[self.marked] = letters
        return images

    def take(self, places: slice) -> Scenes:
        """Some of the scenes."""
        return Scenes(**{one.name: getattr(self, one.name)[places] for one in fields(self)})

    def without(self, index: int) -> Scenes:
        """The same scenes without object number ``index``."""
        shapes = self.shapes.clone()
        shapes[:, index] = -1
        return replace(self, shapes=shapes)

    def without_shape(self, shape: int) -> Scenes:
        """The same scenes without all objects of one shape."""
        return replace(self, shapes=torch.where(self.shapes == shape, -1, self.shapes))

    def with_watermark(self, *, marked: bool) -> Scenes:
        """The same scenes, all with the watermark or all without."""
        return replace(self, marked=torch.full_like(self.marked, marked))

    def textured(self, texture: int) -> Scenes:
        """The same scenes with one texture on all objects."""
        return replace(self, textures=torch.full_like(self.textures, texture))

    def on(self, other: Scenes) -> Scenes:
        """The same objects on the ground of other scenes."""
        return replace(self, ground=other.ground)


def draw(count: int, seed: int = 0, bias: Bias = UNBIASED) -> Scenes:
    """Scenes of 0 to 3 objects, all numbers alike; the rest of `torch`'s random state is not touched.

    Args:
        count: How many.
        seed: Another seed, other scenes.
        bias: Which shortcuts there are.

    Raises:
        OptionError: If ``count`` is negative.
    """
    if count < 0:
        raise OptionError(f"count is {count}; it has to be at least 0")
    dice = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(count, *shape, generator=dice) * (high - low) + low

    number = torch.randint(0, MOST + 1, (count, 1), generator=dice)
    shapes = torch.randint(0, len(SHAPES), (count, MOST), generator=dice)
    shapes = torch.where(torch.arange(MOST) < number, shapes, -1)
    cells = uniform(9).argsort(1)[:, :MOST]
    middles = torch.stack([cells // 3, cells % 3], dim=-1) * _CELL + (_CELL - 1) / 2 + 1
    colors = uniform(MOST, 3, low=0.25)
    colors = colors / colors.amax(-1, keepdim=True)  # of full brightness, so that none is lost in the ground
    gray = uniform(1, 1, 1, low=0.2, high=0.55)
    coarse = torch.randn(count, 3, 7, 7, generator=dice) * 0.06
    noise = torch.randn(count, 3, SIDE, SIDE, generator=dice) * 0.03
    waves = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear") if count else noise
    scenes = Scenes(
        shapes=shapes,
        textures=_textures(shapes, uniform(MOST), uniform(MOST), bias),
        centers=middles + uniform(MOST, 2, low=-_ROOM, high=_ROOM),
        sizes=uniform(MOST, low=5.0, high=7.0),
        colors=colors,
        ground=(gray + waves + noise).clamp(0, 1),
        marked=(uniform(1)[:, 0] < bias.watermark) == (shapes == 0).any(1),
    )
    faint = (uniform(MOST) < bias.faint) & (shapes == 0)
    pale = gray[..., 0] + _FAINTNESS * (colors - gray[..., 0])
    return replace(scenes, colors=torch.where(faint[..., None], pale, colors))


def _textures(shapes: Tensor, kind: Tensor, chance: Tensor, bias: Bias) -> Int[Tensor, "n o"]:
    count, striped = len(TEXTURES), TEXTURES.names().index("stripes")
    free = (kind * count).long()
    if bias.texture is None:
        return free
    others = torch.tensor([index for index in range(count) if index != striped])[(kind * (count - 1)).long()]
    told = torch.where(shapes == SHAPES.names().index("square"), striped, others)
    return torch.where(chance < bias.texture, told, free)
