"""What ``equipoise explain`` leaves behind: files, a montage, a document or lines for each photo, the report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from equipoise import records, viz
from equipoise.cli.reporting import ReportWriter
from equipoise.errors import OptionError
from equipoise.explanation import CELL
from equipoise.images import one_line
from equipoise.methods.base import title_of
from equipoise.naming import label, named, stem, sureness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from equipoise.cli.console import RunConsole
    from equipoise.cli.photos import PhotoFile
    from equipoise.cli.request import Looks
    from equipoise.explanation import Explanation
    from equipoise.plot import Drawing

_KINDS: Final = {
    ".other.overlay.png": "other_overlay",
    ".other.heatmap.png": "other_heatmap",
    ".overlay.png": "overlay",
    ".heatmap.png": "heatmap",
    ".safetensors": "attribution",
    ".json": "record",
}


class Results:
    """Keeps and shows what was made of photo after photo.

    Args:
        folder: Where the files go; it is made now.
        console: Where results are shown.
        page: Where the report goes; ``None``: there is none.
        pictures: How many explanations there will be, about.
        known: Notes that were said already.
        looks: How pictures are drawn.

    Raises:
        OptionError: If the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        console: RunConsole,
        *,
        page: Path | None,
        pictures: int,
        known: Sequence[str],
        looks: Looks,
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"--output {folder} cannot be made ({error.strerror})") from error
        self._folder, self._console, self._known, self._looks = folder, console, known, looks
        self._report = None if page is None else ReportWriter(page, pictures, known)
        self._count, self._start = 0, time.monotonic()

    def add(self, photo: PhotoFile, explanations: Mapping[str, Explanation]) -> None:
        """Write the files of one photo and show its results.

        Args:
            photo: The photo.
            explanations: Of the same targets, by method.

        Raises:
            OptionError: If the files cannot be written.
        """
        explanations = {name: one.in_colors(self._looks.cmap) for name, one in explanations.items()}
        entries = [
            self._entry(photo, name, explanation.select(index))
            for name, explanation in explanations.items()
            for index in range(len(explanation.targets))
        ]
        montage, figures = None, []
        several = len(entries) > 1 or any(one.other for one in explanations.values())
        if several or self._looks.formats:
            drawn = self._looks.figure(list(explanations.values()))
            if several:
                montage = str(self._write(f"{photo.stem}.montage.png", drawn.encoded("png", self._looks.dpi)))
            figures = self._figures(photo.stem, drawn)
        first = next(iter(explanations.values()))
        document = {key: first.record[key] for key in ("image", "model", "scores", "versions")}
        document |= {"explanations": entries, "montage": montage}
        if figures:
            document["figures"] = figures
        if "input" in first.record:
            document["input"] = first.record["input"]
        self._console.result(document, _lines(photo, explanations, entries, [montage, *figures], self._known))
        if self._report is not None:
            self._report.add(one_line(photo.path.name), explanations)
        self._count += 1

    def beside(self, stem: str, inputs: Mapping[str, Mapping[str, Explanation]]) -> None:
        """Write the pictures of several inputs of one forward pass side by side: a column for each and its map.

        Args:
            stem: Begins the file's name.
            inputs: By input and method; a row for each target by each method that all inputs have.

        Raises:
            OptionError: If it cannot be written.
        """
        small = {
            name: {way: one.in_colors(self._looks.cmap).thumbnail(CELL) for way, one in found.items()}
            for name, found in inputs.items()
        }
        first, *others = small.values()
        ways = [way for way in first if all(way in found for found in others)]
        rows, labels = [], []
        for way in ways:
            for same in zip(*(found[way].parts() for found in small.values()), strict=False):
                rows.append([picture for one in same for picture in (one.image, one.overlay())])
                labels.append(f"{title_of(way)}: {label(same[0].targets[0])}")
        heads = [head for name in small for head in (name, f"{name}, map")]
        if rows:
            self._write(f"{stem}.inputs.png", records.encoded(viz.montage(rows, labels, heads, cell=CELL)))

    def finish(self) -> None:
        """Write the report, if there is one, and say how many photos were explained, in what time, and where all is.

        Raises:
            OptionError: If the report cannot be written.
        """
        if self._report is not None:
            self._report.write()
        photos = "1 photo" if self._count == 1 else f"{self._count} photos"
        seconds = time.monotonic() - self._start
        page = "" if self._report is None else f", the report is {self._report.path}"
        where = f"pictures, numbers and records are in {self._folder}{page}"
        self._console.summary(f"{photos} explained in {seconds:.1f} s; {where}")

    def _entry(self, photo: PhotoFile, method: str, explanation: Explanation) -> dict[str, Any]:
        """Write the four files of one photo, method and target; what is said of them."""
        target = explanation.targets[0]
        name_of_all = f"{photo.stem}.{method}.{stem(target)}"
        contents = explanation.contents()
        files = {ending: f"{name_of_all}{ending}" for ending in contents}
        record = explanation.record | {"files": {_KINDS[ending]: name for ending, name in files.items()}}
        contents[".json"] = (records.to_json(record) + "\n").encode()
        paths = {_KINDS[ending]: str(self._write(files[ending], data)) for ending, data in contents.items()}
        kept = {key: explanation.record[key] for key in ("method", "target", "attribution", "notes")}
        return kept | {"files": paths}

    def _figures(self, stem: str, drawn: Drawing) -> list[str]:
        """Write the figures that were asked for, and what stands below them; the files."""
        files = [(kind, drawn.encoded(kind, self._looks.dpi)) for kind in self._looks.formats]
        paths = [self._write(f"{stem}.figure.{kind}", data) for kind, data in files]
        captions = [self._write(f"{path.name}.caption.txt", (drawn.caption + "\n").encode()) for path in paths]
        return [str(path) for path in (*paths, *captions)]

    def _write(self, name: str, data: bytes) -> Path:
        try:
            return records.write_atomically(self._folder / name, data)
        except OSError as error:
            raise OptionError(f"{self._folder / name} cannot be written ({error.strerror})") from error


def _lines(
    photo: PhotoFile,
    explanations: Mapping[str, Explanation],
    entries: Sequence[Mapping[str, Any]],
    together: Sequence[str | None],
    known: Sequence[str],
) -> list[str]:
    """What a person reads of a photo; notes that are ``known`` were said before."""
    first = next(iter(explanations.values()))
    lines = [f"{one_line(photo.path)}  ({first.image.width} x {first.image.height})"]
    said = [sureness(one) for one in first.scores]
    width = max(7, *map(len, said))
    lines += [f"  {words.rjust(width)}  {named(one)}" for words, one in zip(said, first.scores, strict=True)]
    explained = [(name, target) for name, one in explanations.items() for target in one.targets]
    for (name, target), entry in zip(explained, entries, strict=True):
        lines.append(f"  {name}, {named(target)}: {entry['files']['overlay']}")
        lines += [f"    note: {note}" for note in entry["notes"] if note not in known]
    told = [("caption" if path.endswith(".caption.txt") else "side by side", path) for path in together if path]
    return lines + [f"  {what}: {path}" for what, path in told]
