"""``equipoise explain --report``: all explanations of a run on one page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise import report
from equipoise.errors import OptionError
from equipoise.images import one_line
from equipoise.methods.base import title_of
from equipoise.naming import number, sureness
from equipoise.palettes import PALETTES
from equipoise.wording import WORDINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from equipoise.answers import ClassScore
    from equipoise.explanation import Explanation
    from equipoise.wording import Wording

_SHOWN = 640  # pixels: overlays are drawn at this side and then shrunk, not at the photo's full size


def check_report(name: str) -> Path:
    """``name``, if a report can be written there; nothing is written yet.

    Raises:
        OptionError: If it does not end in ``.html``, is a folder, or its folder is absent or cannot be written.
        MissingPackageError: If jinja2 is not installed.
    """
    report.require()
    path = Path(name)
    if path.suffix.lower() not in {".html", ".htm"}:
        raise OptionError(f"--report {one_line(name)}: a report is an HTML file; give a name that ends in .html")
    if path.is_dir():
        raise OptionError(f"--report {one_line(name)} is a folder")
    if not path.parent.is_dir():
        raise OptionError(f"--report {one_line(name)}: there is no folder {one_line(path.parent)}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OptionError(f"--report {one_line(name)}: {one_line(path.parent)} cannot be written")
    return path


class ReportWriter:
    """Gathers the explanations of a run, as small pictures, and writes the page.

    Args:
        path: Of the page.
        pictures: How many there will be, about; so many share the page's size.
        assumed: What was assumed of the network, one sentence each: said once.
    """

    def __init__(self, path: Path, pictures: int, assumed: Sequence[str] = ()) -> None:
        self.path = path
        self._limit = report.byte_limit(pictures)
        self._pictures: list[report.Picture] = []
        self._rows: list[tuple[report.Cell, ...]] = []
        self._notes: dict[str, None] = {}
        self._common: dict[str, Any] = {}
        self._assumed = tuple(assumed)
        self._kind, self._inputs, self._palette = "photo", False, PALETTES["red_blue"]

    def add(self, name: str, explanations: Mapping[str, Explanation]) -> None:
        """Take in one photo: its explanations, of the same targets, by method."""
        for method, explanation in explanations.items():
            self._common = {key: explanation.record[key] for key in ("model", "versions")}
            self._common["assumed"] = list(self._assumed)
            self._kind, self._palette = explanation.kind, PALETTES[explanation.colors]
            title = title_of(method)
            small = explanation.thumbnail(_SHOWN)
            own = (note for note in explanation.notes if note not in self._assumed)
            self._notes.update(dict.fromkeys(f"{name}, {title}: {note}" for note in own))
            for one in small.parts():
                target, sums = one.targets[0], one.record["attribution"]
                image = report.thumbnail(one.overlay(), self._limit)
                own_name = name if one.record["image"] == explanation.record["image"] else _name(one)
                caption = f"{own_name}: {target.name} ({sureness(target)}), {title}"
                tags = {explanation.kind: own_name, self._words.what: target.name, "method": title}
                if (which := one.record.get("input")) is not None:
                    self._inputs, tags = True, {"input": str(which), **tags}
                record = {key: value for key, value in one.record.items() if key not in self._common}
                self._pictures.append(report.Picture(image, caption, tags, record))
                self._rows.append(_row(own_name, target, title, sums, which))

    def write(self) -> Path:
        """Write the page.

        Raises:
            OptionError: If the file cannot be written.
        """
        page = report.Report(
            title="What did the network see?",
            notes=(*self._told(), *self._notes) if self._common else (),
            tables=(report.Table(self._heads(), tuple(self._rows), "Explanations"),),
            pictures=tuple(self._pictures),
            record=self._common,
            pictures_first=True,
        )
        try:
            return report.write(page, self.path)
        except OSError as error:
            raise OptionError(f"--report {one_line(self.path)} cannot be written ({error.strerror})") from error

    @property
    def _words(self) -> Wording:
        return WORDINGS[self._common.get("model", {}).get("task") or "classification"]

    def _heads(self) -> tuple[str, ...]:
        return (
            *(("input",) if self._inputs else ()),
            self._kind,
            self._words.what,
            self._words.sure,
            "method",
            "positive ratio",
            "sum",
        )

    def _told(self) -> tuple[str, ...]:
        """What a reader has to know of the network, and of the colors."""
        model = self._common["model"]
        network = f"Network: {model['name']} ({model['task']})"
        colors = self._words.legend(self._palette.positive, self._palette.negative)
        sums = (
            "Positive ratio is the share of a map's positions whose value is above zero, sum all its values added up. "
            "Sums can be compared between photos and classes of one method."
        )
        return (network, *(f"Assumed: {one}" for one in self._assumed), f"{colors}.", sums)


def _name(explanation: Explanation) -> str:
    """Of its photo's file."""
    return one_line(Path(explanation.record["image"]["path"] or "the other photo").name)


def _row(
    name: str, target: ClassScore, method: str, sums: Mapping[str, float], which: object = None
) -> tuple[report.Cell, ...]:
    return (
        *(() if which is None else (report.Cell(str(which)),)),
        report.Cell(name),
        report.Cell(target.name),
        report.Cell(sureness(target), target.logit if target.probability is None else target.probability),
        report.Cell(method),
        report.Cell(f"{sums['positive_ratio']:.3f}", sums["positive_ratio"]),
        report.Cell(number(sums["sum"], signed=True), sums["sum"]),
    )
