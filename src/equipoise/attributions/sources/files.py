"""Photos and arrays that are files: of a folder, of several, of a list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equipoise.arrays import is_array_file
from equipoise.attributions.sources.base import SOURCES, Kind, Label, Source, check_keys, check_there
from equipoise.errors import DataError, OptionError
from equipoise.images import EXTENSIONS, one_line


class Files(Source):
    """Files in a fixed order.

    Args:
        name: For people and records.
        root: What the paths are relative to.
        paths: Of the files.
        keys: What they are called; ``None``: as their paths.
        labels: The classes of each; ``None``: none.

    Raises:
        DataError: If there is none, or two share a key.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        paths: Sequence[str],
        keys: Sequence[str] | None = None,
        labels: Sequence[tuple[Label, ...]] | None = None,
    ) -> None:
        if not paths:
            raise DataError(f"{name}: there are no photos")
        self.name, self.root, self._paths = name, root, list(paths)
        self._keys = self._paths if keys is None else list(keys)
        self._labels = labels
        check_keys(name, self._keys)

    def __len__(self) -> int:
        return len(self._paths)

    def key(self, index: int) -> str:
        """See `Source`."""
        return self._keys[index]

    def read(self, index: int) -> Path:
        """See `Source`."""
        return self.root / self._paths[index]

    def labels(self, index: int) -> tuple[Label, ...]:
        """See `Source`."""
        return () if self._labels is None else self._labels[index]

    def check(self) -> None:
        """See `Source`."""
        check_there(self.root if self.root.parts else Path(self._paths[0]))


def of_folder(folder: Path) -> Files:
    """Every photo and array below a folder, sorted; the label is the first folder that a file lies in, if any.

    Raises:
        DataError: If there is none, or the folder cannot be listed.
    """
    try:
        found = sorted(
            path.relative_to(folder)
            for path in folder.rglob("*")
            if (path.suffix.lower() in EXTENSIONS or is_array(path))
            and not path.name.startswith(".")
            and path.is_file()
        )
    except OSError as error:
        raise DataError(f"{one_line(folder)}: cannot be listed ({one_line(error.strerror)})") from error
    if not found:
        raise DataError(f"{one_line(folder)}: there are no photos in this folder, or below it")
    labels = [path.parts[:1] if len(path.parts) > 1 else () for path in found]
    return Files(str(folder), folder, [path.as_posix() for path in found], labels=labels)


def is_array(path: Path) -> bool:
    """Whether a file of a folder is an array to explain; those of torch may be weights."""
    return is_array_file(path) and path.suffix.lower() not in {".pt", ".pth"}


def of_files(texts: Sequence[str]) -> Files:
    """Files and folders of a command line, in their order.

    Raises:
        DataError: If one is not there.
    """
    paths: list[str] = []
    labels: list[tuple[Label, ...]] = []
    for text in texts:
        path = Path(text)
        if path.is_dir():
            inside = of_folder(path)
            paths += [str(inside.read(index)) for index in range(len(inside))]
            labels += [inside.labels(index) for index in range(len(inside))]
        elif path.is_file():
            paths.append(text)
            labels.append(())
        else:
            raise OptionError(f"{one_line(text)}: no such file, folder or data set")
    return Files(", ".join(texts), Path(), paths, labels=labels)


SOURCES.add(
    "folder", Kind(lambda text: Path(text).is_dir(), lambda text, _: of_folder(Path(text)), "a folder of photos")
)
