"""Where visitors put their photos and arrays: a place for each input of each network that the page offers."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from equipoise.app.examples import takes
from equipoise.arrays import ARRAY_EXTENSIONS, is_array_file
from equipoise.inputs import described_inputs

if TYPE_CHECKING:
    from equipoise.app.networks import Networks

WIDTH: Final = 3
"""So many components has a `Slot`."""


# A class, since gradio makes a component anew whenever one of its properties is set; not by a class statement, at which
# gradio would write a stub file beside this one.
def _handing_over(kind: type[Any]) -> Any:
    """A component of gradio's that hands over the path of what was sent; its own decodes it, or leaves a file more."""
    return ABCMeta.__new__(
        type(kind), kind.__name__, (kind,),
        {"__module__": kind.__module__, "preprocess": lambda _self, payload: getattr(payload, "path", None)},
    )  # fmt: skip


_PathOfImage: Final = _handing_over(gr.Image)
_PathOfFile: Final = _handing_over(gr.File)


def photo_input(**options: Any) -> gr.Image:
    """An image input that hands over the path as it is: only `equipoise.images` decodes what a visitor sends.

    Args:
        options: Of ``gradio.Image``.
    """
    photo: gr.Image = _PathOfImage(sources=["upload", "clipboard"], buttons=[], **options)
    return photo


def array_input(**options: Any) -> gr.File:
    """A file input for arrays; `equipoise.arrays` reads them, and no file of theirs can run code.

    Args:
        options: Of ``gradio.File``.
    """
    endings = sorted({ending.rpartition(".")[2] for ending in ARRAY_EXTENSIONS})
    array: gr.File = _PathOfFile(file_types=[f".{ending}" for ending in endings], file_count="single", **options)
    return array


@dataclass(frozen=True)
class Slot:
    """A place for one input: a photo or an array, and which array of a file of several.

    Attributes:
        input: Name of the input; of a network of one input none.
        photos: Holds the place for a photo.
        arrays: Holds that for an array.
        photo: The photo.
        array: The array's file.
        key: Which array of it; shown where there are several.
    """

    input: str
    photos: gr.Column
    arrays: gr.Column
    photo: gr.Image
    array: gr.File
    key: gr.Dropdown

    @classmethod
    def make(cls, name: str, *, photos: bool, arrays: bool) -> Slot:
        """Lay it out here."""
        endings = ".npy, .npz, .pt, .dcm, .nii"
        words = (
            (f"{name}: drop, paste or choose a photo", f"{name} as an array: {endings}", f"{name}: which array of it")
            if name else ("Photo: drop, paste or choose", f"Array: {endings}", "Which array of the file")
        )  # fmt: skip
        with gr.Column(visible=photos) as for_photos:
            photo = photo_input(
                label=words[0], height=190 if name else 250, alt_text=f"The chosen photo {name}".rstrip()
            )
        with gr.Column(visible=arrays) as for_arrays:
            array = array_input(label=words[1], height=120)
            key = gr.Dropdown([], label=words[2], visible=False, interactive=True)
        return cls(name, for_photos, for_arrays, photo, array, key)

    @property
    def components(self) -> list[Any]:
        """All that has a value."""
        return [self.photo, self.array, self.key]


@dataclass(frozen=True)
class Given:
    """What a visitor has given of a network's inputs.

    Attributes:
        paths: Of files, by input.
        lacking: Inputs of which nothing is given yet.
        unnamed: What has to be said before a file of several arrays can be read; nothing: all is said.
    """

    paths: Mapping[str, str]
    lacking: tuple[str, ...]
    unnamed: str = ""

    @property
    def waits_for(self) -> str:
        """What the visitor has to do yet, as a sentence; nothing if all or nothing is given."""
        if self.unnamed or not self.paths or not self.lacking:
            return self.unnamed
        return f"{' and '.join(self.paths)} is there; give {' and '.join(self.lacking)}, too."


class Uploads:
    """The places of all networks, laid out here; those of the network before the visitor are seen.

    Networks of one input share one place, so that a photo stays when another network is chosen.

    Args:
        networks: What the page offers.
        names: From a file to the names of the arrays in it, as `equipoise.arrays.array_names`.

    Raises:
        EquipoiseError: If a description says something that cannot be, or the first network cannot be had.
    """

    def __init__(self, networks: Networks, names: Callable[[str], list[str]]) -> None:
        self._networks, self._names = networks, names
        self._groups: dict[str, tuple[gr.Column, list[Slot]]] = {}
        first = networks.names[0]
        for name in ["", *networks.names]:
            prepares = described_inputs(name)
            if name and not prepares:
                continue
            shown = name == first if name else not described_inputs(first)
            with gr.Column(visible=shown) as column:
                photos, arrays = takes(networks[first].prepares[""]) if not name and shown else (True, False)
                kinds = {str(key): takes(how) for key, how in prepares.items()} or {"": (photos, arrays)}
                slots = [Slot.make(key, photos=one[0], arrays=one[1]) for key, one in kinds.items()]
            self._groups[name] = column, slots

    @property
    def slots(self) -> list[Slot]:
        """All, seen or not."""
        return [slot for _, slots in self._groups.values() for slot in slots]

    @property
    def components(self) -> list[Any]:
        """All that has a value, in the order in which `given` and `filled` have them."""
        return [part for slot in self.slots for part in slot.components]

    @property
    def columns(self) -> list[Any]:
        """All that is seen or not, in the order of `seen`."""
        (_, (single,)) = self._groups[""]
        return [*(column for column, _ in self._groups.values()), single.photos, single.arrays]

    def seen(self, model: str) -> list[Any]:
        """What is seen of `columns` before a network.

        Raises:
            EquipoiseError: If it cannot be had.
        """
        prepares = self._networks[model].prepares
        group = model if model in self._groups else ""
        kinds = takes(prepares[""]) if "" in prepares else (True, False)
        return [gr.update(visible=one) for one in (*(name == group for name in self._groups), *kinds)]

    def given(self, model: str, values: Sequence[Any]) -> Given:
        """What is given to a network.

        Args:
            model: Name of the network.
            values: Of `components`.

        Raises:
            EquipoiseError: If a file cannot be read, or has no such array.
        """
        prepares = self._networks[model].prepares
        paths: dict[str, str] = {}
        unnamed = ""
        for slot, (photo, array, key) in self._of(model, values):
            photos, arrays = takes(prepares[slot.input])
            if photos and photo:
                paths[slot.input] = str(photo)
            elif arrays and array:
                names = self._names(str(array))
                if names and key not in names:
                    unnamed = f"This file holds {len(names)} arrays; choose which one the network gets."
                paths[slot.input] = f"{array}#{key}" if names else str(array)
        return Given(paths, tuple(name for name in prepares if name not in paths), unnamed)

    def filled(self, model: str, paths: Mapping[str, str]) -> list[Any]:
        """Values of `components` for files in the places of a network; other places stay as they are."""
        values: list[Any] = [gr.skip()] * len(self.components)
        for place, (slot, _) in zip(self._places(model), self._of(model, values), strict=True):
            path = paths[slot.input]
            values[place : place + WIDTH] = self.of_array(path) if is_array_file(path) else of_photo(path)
        return values

    def replaced(self, slot: Slot, values: Sequence[Any], new: Sequence[Any]) -> list[Any]:
        """Values of `components` with other ones in one place."""
        at = WIDTH * self.slots.index(slot)
        return [*values[:at], *new, *values[at + WIDTH :]]

    def of_array(self, path: str | None) -> list[Any]:
        """Values of a place that holds an array; which one is asked where the file holds several.

        Raises:
            ImageError: If it cannot be read.
        """
        names = [] if path is None else self._names(path)
        return [None, path, gr.update(choices=names, value=None, visible=bool(names))]

    def _places(self, model: str) -> list[int]:
        """Where in `components` the places of a network begin."""
        slots = self._groups[model if model in self._groups else ""][1]
        return [WIDTH * self.slots.index(slot) for slot in slots]

    def _of(self, model: str, values: Sequence[Any]) -> Iterator[tuple[Slot, Sequence[Any]]]:
        """The places of a network, and the values of each."""
        for place in self._places(model):
            yield self.slots[place // WIDTH], values[place : place + WIDTH]


def of_photo(path: str | None) -> list[Any]:
    """Values of a place that holds a photo."""
    return [path, None, gr.update(choices=[], value=None, visible=False)]
