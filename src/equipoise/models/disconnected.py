"""Networks on a grid of photos whose scores can see one cell alone, so that relevance elsewhere is wrong.

Rao et al. (CVPR 2022, section 3.1) give each cell of a grid a classification head of its own. In *DiFull* each cell
passes the network separately, so that a head's scores depend on its cell alone; in *DiPart* the features are computed
of the whole grid, and a head reads its cell of them: as far as the receptive fields reach, its neighbors too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, fx, nn

from equipoise.errors import OptionError, ShapeError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

GRID: Final = "grid"
"""Name of the module, within `Disconnected`, whose output is the last feature map of all cells side by side."""

_DEEPEST: Final = 8  # wrappers within wrappers


class Disconnected(nn.Module):
    """A network before a grid of photos, read by the head of one cell.

    Args:
        body: From images to the last feature map ``(n, c, h, w)``.
        head: From a feature map of one cell to scores ``(n, C)``.
        cells: How many cells a row and a column hold.
        cell: Whose head is read, counted row by row from 0.
        apart: Whether each cell passes ``body`` on its own (DiFull), or all do in one image (DiPart).

    Raises:
        OptionError: If there is no such cell.

    References:
        Rao et al. 2022 (*Towards Better Understanding Attribution Methods*), section 3.1.
    """

    def __init__(self, body: nn.Module, head: nn.Module, *, cells: int, cell: int, apart: bool) -> None:
        super().__init__()
        if not 0 <= cell < cells**2:
            raise OptionError(f"cell is {cell}; a grid of {cells} by {cells} has 0 to {cells**2 - 1}")
        self.body, self.head, self.grid = body, head, nn.Identity()
        self.cells, self.cell, self.apart = cells, cell, apart
        self.training = self.grid.training = body.training

    def at(self, cell: int) -> Disconnected:
        """The same network, read by another cell's head; the weights are shared.

        Raises:
            OptionError: If there is no such cell.
        """
        return Disconnected(self.body, self.head, cells=self.cells, cell=cell, apart=self.apart)

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(n, C)`` of grids ``(n, 3, cells * h, cells * w)``.

        Raises:
            ShapeError: If the cells do not divide the image or, in DiPart, its feature map.
        """
        maps: Tensor = self.grid(self._stitched(images) if self.apart else self.body(images))
        if self.apart:  # else the other cells' maps would be no part of the network, and a map read there of one cell
            mask = torch.zeros_like(maps[:1, :1])
            self._cell(mask, self.cell).fill_(1.0)
            maps = maps * mask
        scores: Tensor = self.head(self._cell(maps, self.cell))
        return scores

    def _stitched(self, images: Tensor) -> Tensor:
        rows = range(0, self.cells**2, self.cells)
        return torch.cat(
            [
                torch.cat([self.body(self._cell(images, first + place)) for place in range(self.cells)], 3)
                for first in rows
            ],
            2,
        )

    def _cell(self, maps: Tensor, cell: int) -> Tensor:
        height, width = (size // self.cells for size in maps.shape[-2:])
        if (height * self.cells, width * self.cells) != tuple(maps.shape[-2:]):
            raise ShapeError(f"{self.cells} by {self.cells} cells do not divide a map of {tuple(maps.shape[-2:])}")
        row, column = divmod(cell, self.cells)
        return maps[:, :, row * height : (row + 1) * height, column * width : (column + 1) * width]


def disconnected(
    module: nn.Module, *, cells: int = 2, cell: int = 0, apart: bool = True, size: tuple[int, int] = (224, 224)
) -> Disconnected:
    """The network with a head for each cell of a grid, read by one of them.

    Args:
        module: A network whose scores depend on its last feature map alone, such as one that averages that map over
            its positions and ends in a linear layer, or a VGG; in the mode it stays in. It is not changed.
        cells: How many cells a row and a column hold.
        cell: Whose head is read, counted row by row from 0.
        apart: ``True``: DiFull, each cell passes the network on its own. ``False``: DiPart.
        size: Height and width of a cell, in pixels.

    Returns:
        A network on the same weights.

    Raises:
        UnsupportedModelError: If the network cannot be cut at its last feature map, or, in DiPart, the map of a
            grid is not made of as many positions as those of its cells together.
        OptionError: If there is no such cell.
    """
    name = type(module).__name__
    graph, last, shapes = _cut(module, cells, size)
    own, whole = shapes
    if not apart and (own[0] * cells, own[1] * cells) != whole:
        raise UnsupportedModelError(
            f"{name} makes feature maps of {own} for {size} pixels and of {whole} for a grid of {cells} by {cells}, "
            "which cannot be shared out among the cells"
        )
    body = fx.GraphModule(module, _before(graph, last))
    head = fx.GraphModule(module, _behind(graph, last, name))
    body.training = head.training = module.training
    return Disconnected(body, head, cells=cells, cell=cell, apart=apart)


class _Outline(fx.Tracer):
    """Follows a forward pass without looking into modules, save those that are opened."""

    def __init__(self, opened: set[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002  # as the base class
        return module_qualified_name not in self._opened


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the height and width of each map ``(1, c, h, w)``."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self.sizes: dict[fx.Node, tuple[int, int]] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if isinstance(found, Tensor) and found.dim() == 4:
            self.sizes[n] = (found.shape[2], found.shape[3])
        return found


def _cut(
    module: nn.Module, cells: int, size: tuple[int, int]
) -> tuple[fx.Graph, fx.Node, tuple[tuple[int, int], tuple[int, int]]]:
    """A network's graph, the node of its last map that grows with the image, and its sizes: of a cell, of a grid."""
    opened: set[str] = set()
    for _ in range(_DEEPEST):
        try:
            graph = _Outline(opened).trace(module)
        except Exception as error:  # whatever its forward says to a value that is none
            raise UnsupportedModelError(
                f"{type(module).__name__} cannot be followed, so its heads cannot be taken apart: {error}"
            ) from error
        own = _sizes(module, graph, size)
        whole = _sizes(module, graph, (cells * size[0], cells * size[1]))
        grown = [node for node in graph.nodes if node in whole and node in own and whole[node] > own[node]]
        if grown and grown[-1].op != "placeholder":
            return graph, grown[-1], (own[grown[-1]], whole[grown[-1]])
        inner = {str(node.target) for node in graph.nodes if node.op == "call_module"}
        inner = {one for one in inner if list(module.get_submodule(one).children())} - opened
        if not inner:
            break
        opened |= inner
    raise UnsupportedModelError(
        f"{type(module).__name__} has no feature map that grows with the image, where its heads could be taken apart"
    )


def _sizes(module: nn.Module, graph: fx.Graph, size: tuple[int, int]) -> dict[fx.Node, tuple[int, int]]:
    """As far as the network takes an image of that size."""
    like = next((parameter for parameter in module.parameters()), torch.zeros(()))
    shapes = _Shapes(module, graph)
    shapes.extra_traceback = False
    try:
        with torch.no_grad():
            shapes.run(torch.zeros(1, 3, *size, dtype=like.dtype, device=like.device))
    except (RuntimeError, ValueError):  # a classifier made for one size
        pass
    return shapes.sizes


def _before(graph: fx.Graph, last: fx.Node) -> fx.Graph:
    """What leads to a node."""
    wanted = set(_needed([last], stop=None))
    found = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node in wanted or node.op == "placeholder":
            copies[node] = found.node_copy(node, lambda one: copies[one])
    found.output(copies[last])
    return found


def _behind(graph: fx.Graph, last: fx.Node, name: str) -> fx.Graph:
    """What follows on a node."""
    (output,) = [node for node in graph.nodes if node.op == "output"]
    wanted = set(_needed([output], stop=last))
    if any(node.op == "placeholder" for node in wanted):
        raise UnsupportedModelError(
            f"the scores of {name} depend on more than its last feature map, so its heads cannot be taken apart"
        )
    found = fx.Graph()
    copies = {last: found.placeholder("maps")}
    for node in graph.nodes:
        if node in wanted and node is not last:
            copies[node] = found.node_copy(node, lambda one: copies[one])
    return found


def _needed(nodes: list[fx.Node], stop: fx.Node | None) -> Iterator[fx.Node]:
    """The nodes and all that they depend on, no further than ``stop``."""
    waiting, seen = list(nodes), set(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if node is not stop:
            new = [one for one in node.all_input_nodes if one not in seen]
            seen.update(new)
            waiting += new
