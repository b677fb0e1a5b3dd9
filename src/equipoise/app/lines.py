"""What a visitor would type for the same result: lines of Python, and a command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.app.session import OWN
from equipoise.app.views.comparing import method_options
from equipoise.app.views.inserting import SHARES


@dataclass(frozen=True)
class Asked:
    """What a visitor chose.

    Attributes:
        photo: Name of the file.
        model: Of the network.
        indices: Of the classes.
        gamma: Of Attribution Equilibrium.
    """

    photo: str
    model: str
    indices: tuple[int, ...]
    gamma: float


def explain_python(asked: Asked) -> str:
    """The maps of the first view."""
    return f"""import equipoise

seen = equipoise.explain({asked.photo!r}, {asked.model!r}, target={list(asked.indices)}, gamma={asked.gamma})
seen.save("out")  # overlay, heat map, raw numbers and record of each class
"""


def explain_command(asked: Asked, methods: Sequence[str] = (OWN,)) -> str:
    """The maps of one or several methods."""
    words = ["equipoise", "explain", asked.photo, "--model", asked.model, "--method", ",".join(methods)]
    words += ["--target", ",".join(map(str, asked.indices))]
    return shlex.join([*words, *(["--gamma", str(asked.gamma)] if OWN in methods else [])])


def compare_python(asked: Asked, methods: Sequence[str]) -> str:
    """The maps of several methods."""
    options = {method: method_options(method, asked.gamma) for method in methods}
    return f"""import equipoise

methods = {options!r}
for method, options in methods.items():
    seen = equipoise.explain({asked.photo!r}, {asked.model!r}, method, {list(asked.indices)}, **options)
    seen.save(f"out-{{method}}")
"""


def _prologue(asked: Asked, index: int, imports: str) -> str:
    return f"""import torch

import equipoise
{imports}

model, spec = equipoise.load_model({asked.model!r})
seen = equipoise.explain({asked.photo!r}, (model, spec), target={index}, gamma={asked.gamma})
"""


def insert_python(asked: Asked, index: int, *, mode: str, canvas: str) -> str:
    """The two curves of a class."""
    imports = "from equipoise.metrics import perturbation_curve"
    return f"""{_prologue(asked, index, imports)}
low, high = (bound.view(1, 3, 1, 1) for bound in spec.input_bounds)
inputs = spec.preprocess(seen.image)[None]
pixels = (inputs - low) / (high - low)  # 0 to 1, before normalization


def score(images, _numbers):
    return model(low + images * (high - low)).softmax(1)[:, {index}]


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


def sanity_python(asked: Asked, index: int, layers: int) -> str:
    """The map of a network whose top layers are random."""
    return f"""{_prologue(asked, index, "from equipoise.metrics import rank_correlation, randomize, stages")}
names = stages(model, spec.preprocess(seen.image)[None])[:{layers}]
copied = randomize(model, names) if names else model
after = equipoise.explain({asked.photo!r}, (copied, spec), target={index}, gamma={asked.gamma})
print(rank_correlation(seen.heatmap[None], after.heatmap[None]).item())
after.save("random.png")
""".replace("import torch\n\n", "")


def coverage_python(asked: Asked, index: int) -> str:
    """The rows of the coverage table."""
    return f"""import torch

import equipoise
from equipoise.images import read_image

model, spec = equipoise.load_model({asked.model!r})
low, high = spec.input_bounds
method = equipoise.METHODS["ae"](model, gamma={asked.gamma}, input_bounds=(low, high))
inputs = spec.preprocess(read_image({asked.photo!r}))[None]
for passage in method.coverage(inputs, torch.tensor([{index}])):
    print(passage)
"""
