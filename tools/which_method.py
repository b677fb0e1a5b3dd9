"""Write docs/which-method.md from what was measured: python tools/which_method.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from method_pages import FOLDER, costs, data, documented, median_correlation, shown, units

from equipoise.methods import METHODS

PATH = FOLDER.parent / "which-method.md"
# What the values of an attribution add up to; tests/methods/test_sums.py holds each of these.
SUMS = {
    "ae": "`gamma - 2`, on a network without branches, after every layer with a kernel larger than 1x1",
    "integrated_gradients": "the score less the baseline's, up to the quadrature",
    "deep_lift": "the score less the baseline's, but for max pools",
    "lrp_alpha_beta": "1",
    "deep_taylor": "1",
    "rap": "1",
    "lrp_composite": "the score, but for biases and stabilizers",
    "eb": "1",
    "contrastive_lrp": "0",
    "input_x_gradient": "the score, on a network of ReLUs without biases",
}
NO_GRADIENT = ("occlusion", "rise", "lime", "kernel_shap", "score_cam")

TEXT = """<!-- made by tools/which_method.py from docs/methods and benchmarks/results; do not edit -->
# Which method when

What was measured and nothing else; no ranking. [The methods](methods/README.md) has a page for each.

## The class matters: what speaks for this class and not for that one?

Median correlation of the maps of two classes in one photo, over {photos} photos (not of costly methods), by
{network}. Low: the map is the class's own. High: it shows what the network sees at all, whichever
class you ask for.

| method | correlation |
|---|---|
{classes}

{no_classes}The maps of `random` differ, too: that maps differ does not say that they are right.
`equipoise reproduce table1` measures that on photos with boxes.

## Time

Largest of three networks, in forward and backward passes of the same network.

| at most | methods |
|---|---|
{times}

Long ones say how many forward passes they are about to take, show how far they are, and halve `chunk` when memory runs
out. `--method fast` leaves out those of more than 30 units.

## Pixels or a map

- A value for each color of each pixel: {pixel}.
- A coarse map, resized to the image: {map}.

## Evidence against the class

- Can be negative: {signed}.
- Never negative: {unsigned}.

A negative value is evidence against the class where the values add up to something (below), and in the maps of `ae`,
`rsp`, `agf`, `relevance_cam` and `contrastive_eb`, which set the class against what competes with it. A gradient's sign
says in which direction a pixel would have to change.

## Sums that mean something

| method | the values of an image add up to |
|---|---|
{sums}

## The network

- Runs on all {families} families that were tried: {everywhere}.
- Does not run on some: {somewhere}. [Families](methods/families.md) says on which and why.
- Needs the scores and no gradient: {no_gradient} (`score_cam` also reads a feature map).

## What to compare with

`random` has seen nothing: what a metric gives it is that metric's floor. `guided_backprop` and `eb` show how much of a
picture is owed to the photo alone. Several methods that agree by different ways say more than one:
`equipoise explain photo.jpg --method paper --target "tiger cat,bull mastiff"` sets them side by side.
"""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"[`{name}`](methods/{name}.md)" for name in names)


def _those(holds: Callable[[str], bool]) -> str:
    return _listed(name for name in documented() if holds(name))


def worst(name: str) -> float:
    """The largest cost over the networks where the method runs; 0 if it was not measured yet."""
    return max((value for found in costs(name).values() if (value := units(found)) is not None), default=0.0)


def _times() -> str:
    limits = (1, 3, 10, 30, 300, 3000)
    lines, below = [], 0.0
    for limit in limits:
        names = [name for name in documented() if below < worst(name) <= limit]
        if names:
            row = ", ".join(f"[`{name}`](methods/{name}.md) {shown(worst(name))}" for name in sorted(names, key=worst))
            lines.append(f"| {limit} | {row} |")
        below = limit
    return "\n".join(lines)


def page() -> str:
    """The page as Markdown."""
    measured = data(FOLDER / "classes.json")
    families = data(FOLDER / "families.json")
    correlations = {name: value for name in documented() if (value := median_correlation(name)) is not None}
    without = [name for name in documented() if name not in correlations]

    def runs(name: str, *, everywhere: bool) -> bool:
        row = families["methods"].get(name)  # None: not measured yet
        return row is not None and everywhere is not any(row.values())

    return TEXT.format(
        photos=len(measured["photos"]),
        network=measured["network"],
        classes="\n".join(
            f"| [`{name}`](methods/{name}.md) | {value:.2f} |"
            for name, value in sorted(correlations.items(), key=lambda pair: pair[1])
        ),
        no_classes=f"Not measured here (costly) or not run on this network: {_listed(without)}. " if without else "",
        times=_times(),
        pixel=_those(lambda name: METHODS[name].level == "pixel"),
        map=_those(lambda name: METHODS[name].level == "map"),
        signed=_those(lambda name: METHODS[name].signed),
        unsigned=_those(lambda name: not METHODS[name].signed),
        sums="\n".join(f"| [`{name}`](methods/{name}.md) | {what} |" for name, what in SUMS.items()),
        families=len(families["families"]),
        everywhere=_those(lambda name: runs(name, everywhere=True)),
        somewhere=_those(lambda name: runs(name, everywhere=False)),
        no_gradient=_listed(NO_GRADIENT),
    )


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
