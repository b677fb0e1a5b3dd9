"""What a visitor would type for the same result: lines of Python, and a command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.app.session import OWN, Explained
from equipoise.app.views.comparing import method_options
from equipoise.app.views.inserting import SHARES


@dataclass(frozen=True)
class Asked:
    """What a visitor chose.

    Attributes:
        photo: Name of the file.
        model: Of the network.
        targets: What is explained.
        gamma: Of Attribution Equilibrium.
        whole: Whether what is explained is read off more than class scores: a pixel, a box.
    """

    photo: str
    model: str
    targets: tuple[Explained, ...]
    gamma: float
    whole: bool = False


def explain_python(asked: Asked) -> str:
    """The maps of the first view."""
    return f"""import equipoise

seen = equipoise.explain({asked.photo!r}, {asked.model!r}, target={list(asked.targets)}, gamma={asked.gamma})
seen.save("out")  # overlay, heat map, raw numbers and record of each class
"""


def explain_command(asked: Asked, methods: Sequence[str] = (OWN,)) -> str:
    """The maps of one or several methods."""
    words = ["equipoise", "explain", asked.photo, "--model", asked.model, "--method", ",".join(methods)]
    words += ["--target", ",".join(map(str, asked.targets))]
    return shlex.join([*words, *(["--gamma", str(asked.gamma)] if OWN in methods else [])])


def compare_python(asked: Asked, methods: Sequence[str]) -> str:
    """The maps of several methods."""
    options = {method: method_options(method, asked.gamma) for method in methods}
    return f"""import equipoise

methods = {options!r}
for method, options in methods.items():
    seen = equipoise.explain({asked.photo!r}, {asked.model!r}, method, {list(asked.targets)}, **options)
    seen.save(f"out-{{method}}")
"""


def _prologue(asked: Asked, imports: str) -> str:
    return f"""{imports}

network = load({asked.model!r})
seen = equipoise.explain({asked.photo!r}, network, target={asked.targets[0]!r}, gamma={asked.gamma})
"""


_FOR_CLASSES = """import equipoise
from equipoise.loading import load
"""

_FOR_NAMED = """import torch

import equipoise
from equipoise.errors import TargetError
from equipoise.loading import load
"""

_CERTAIN = """

def score(images, _numbers):
    return network.certainty(network.pictures.normalize(images), {target!r})"""

_NAMED = """(wanted,) = View.of({photo!r}, network).targets([parse_target({target!r}, network.spec)])


def score(images, _numbers):
    found = []
    for one in network.pictures.normalize(images):
        try:
            found.append(network.answers(one[None]).score(wanted).logit)
        except TargetError:  # no such box is found any more
            found.append(0.0)
    return torch.tensor(found)"""


def insert_python(asked: Asked, *, mode: str, canvas: str) -> str:
    """The two curves of the first target."""
    target = asked.targets[0]
    named = asked.whole or not isinstance(target, int)
    imports = (_FOR_NAMED if named else _FOR_CLASSES) + "from equipoise.metrics import perturbation_curve"
    imports += "\nfrom equipoise.view import View\nfrom equipoise.wanted import parse_target" if named else ""
    score = (_NAMED if named else _CERTAIN).format(photo=asked.photo, target=target)
    return f"""{_prologue(asked, imports)}
pixels = network.pictures.pixels(seen.image)[None]  # 0 to 1, before normalization
{score}


shares = {SHARES}
for order in ("most_relevant", "random"):
    curve = perturbation_curve(
        score, pixels, seen.heatmap[None], shares=shares, mode={mode!r}, order=order, canvas={canvas!r}
    )
    print(order, curve[0].tolist())
"""


def recipe_command(recipe: str, asked: Asked, options: Sequence[str] = ()) -> str:
    """The same question for a folder of photos, each in a folder named like its class."""
    words = ["equipoise", "reproduce", recipe, "--dataset", "folder", "--data", "photos", "--model", asked.model]
    return shlex.join([*words, "--method", OWN, *(word for one in options for word in ("--option", one))])


def sanity_python(asked: Asked, layers: int) -> str:
    """The map of a network whose top layers are random."""
    imports = """from dataclasses import replace

import equipoise
from equipoise.loading import load
from equipoise.metrics import rank_correlation, randomize, stages"""
    return f"""{_prologue(asked, imports)}
names = stages(network.module, network.prepare(seen.image))[:{layers}]
copied = replace(network, module=randomize(network.module, names)) if names else network
after = equipoise.explain({asked.photo!r}, copied, target={asked.targets[0]!r}, gamma={asked.gamma})
print(rank_correlation(seen.heatmap[None], after.heatmap[None]).item())
after.save("random.png")
"""


def coverage_python(asked: Asked) -> str:
    """The rows of the coverage table."""
    imports, bound = "", f'network.bind("ae", gamma={asked.gamma})'
    score = "score"
    if asked.whole:
        imports = "from equipoise.methods.reading import Reading, only_column\n"
        bound = f'network.bind("ae", gamma={asked.gamma}, output=Reading(network.reads.output, score))'
        score = "only_column"
    return f"""from equipoise.loading import load
{imports}from equipoise.view import View
from equipoise.wanted import parse_target

network = load({asked.model!r})
seen = View.of({asked.photo!r}, network)
(score,) = seen.targets([parse_target({asked.targets[0]!r}, network.spec)])
bound = {bound}
for passage in bound.attributor.coverage(seen.inputs, {score}):
    print(passage)
"""
