"""What a visitor would type for the same result: lines of Python, and a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from equipoise.app.session import OWN, Explained
from equipoise.app.views.comparing import FINE, method_of, method_options
from equipoise.app.views.inserting import SHARES


@dataclass(frozen=True)
class Asked:
    """What a visitor chose.

    Attributes:
        photo: Name of the file; of several inputs those of each, by its name.
        model: Of the network.
        targets: What is explained.
        gamma: Of Attribution Equilibrium.
        whole: Whether what is explained is read off more than class scores: a pixel, a box.
        wrt: Of several inputs the one that is explained; ``None``: each.
        first: Of several inputs the one that is looked at where it can be one alone.
        flat: Whether that is no picture but a signal or a volume.
    """

    photo: str | Mapping[str, str]
    model: str
    targets: tuple[Explained, ...]
    gamma: float
    whole: bool = False
    wrt: str | None = None
    first: str = ""
    flat: bool = False

    @property
    def source(self) -> str:
        """The photo, or a photo for each input, as Python has it."""
        return repr(self.photo if isinstance(self.photo, str) else dict(self.photo))

    @property
    def words(self) -> list[str]:
        """The same, as a command has it."""
        return [self.photo] if isinstance(self.photo, str) else [f"{key}={one}" for key, one in self.photo.items()]

    @property
    def whole_view(self) -> str:
        """Where the places of a target are: in the photo, of several inputs in the first."""
        return "view" if isinstance(self.photo, str) else f"views[{next(iter(self.photo))!r}]"

    @property
    def only(self) -> str:
        """The argument that names the one input that is explained, where one is."""
        return "" if self.wrt is None else f", wrt={self.wrt!r}"


def explain_python(asked: Asked) -> str:
    """The maps of the first view."""
    return f"""import equipoise

seen = equipoise.explain({asked.source}, {asked.model!r}, target={list(asked.targets)}, gamma={asked.gamma}{asked.only})
{_saved(asked, '"out"')}  # overlay, heat map, raw numbers and record of each class
"""


def _saved(asked: Asked, folder: str) -> str:
    """The line that writes what was explained, of several inputs each into a folder of its own."""
    if isinstance(asked.photo, str) or asked.wrt is not None:
        return f"seen.save({folder})"
    inner = folder.removesuffix('"').removeprefix("f").removeprefix('"')
    return f'for name, one in seen.items():\n    one.save(f"{inner}/{{name}}")'


def explain_command(asked: Asked, methods: Sequence[str] = (OWN,)) -> str:
    """The maps of one or several methods; those of the sharper profile are a command, and a line, of their own."""
    usual = [one for one in methods if one != FINE]
    commands: list[tuple[list[str], list[str]]] = [(usual, [])] if usual else []
    if FINE in methods:
        commands.append(([OWN], ["--option", "profile=fine", "--output", "out-fine"]))
    return "\n".join(_explain_command(asked, *one) for one in commands)


def _explain_command(asked: Asked, methods: Sequence[str], more: Sequence[str]) -> str:
    words = ["equipoise", "explain", *asked.words, "--model", asked.model, "--method", ",".join(methods)]
    words += ["--target", ",".join(map(str, asked.targets)), *([] if asked.wrt is None else ["--wrt", asked.wrt])]
    return shlex.join([*words, *(["--gamma", str(asked.gamma)] if OWN in methods else []), *more])


def compare_python(asked: Asked, methods: Sequence[str]) -> str:
    """The maps of several methods."""
    options = {choice: (method_of(choice), method_options(choice, asked.gamma)) for choice in methods}
    saved = _saved(asked, 'f"out-{choice}"').replace("\n", "\n    ")
    return f"""import equipoise

methods = {options!r}
for choice, (method, options) in methods.items():
    seen = equipoise.explain({asked.source}, {asked.model!r}, method, {list(asked.targets)}{asked.only}, **options)
    {saved}
"""


def _looked(asked: Asked) -> tuple[list[str], str]:
    """Imports, and lines that make ``view`` and ``network``: of several inputs those of the first that was chosen."""
    if isinstance(asked.photo, str):
        imports = ["from equipoise.loading import load", "from equipoise.view import View"]
        return imports, f"network = load({asked.model!r})\nview = View.of({asked.photo!r}, network)"
    return ["from equipoise.inputs import SeveralInputs"], (
        f"views = SeveralInputs.described({asked.model!r}).views({asked.source})\n"
        f"view = views[{asked.first!r}]\nnetwork = view.network"
    )


def _code(imports: Sequence[str], *parts: str) -> str:
    """Lines of Python below their imports, sorted as usual: those of torch first."""
    plain = sorted({one for one in imports if not one.startswith("from equipoise")})
    own = sorted({one for one in imports if one.startswith("from equipoise")})
    return "\n".join([*plain, *([""] if plain else []), *own, "", *parts]) + "\n"


_WANTED = "(wanted,) = {view}.targets([parse_target({target!r}, network.spec)])"
_MAP = 'seen = Explanation.of(view, network.bind("ae", gamma={gamma}), [wanted]).select(0)'
_FOR_MAP = ("from equipoise.explanation import Explanation", "from equipoise.wanted import parse_target")

_CERTAIN = """

def score(images, _numbers):
    return network.certainty({inputs}, {target!r})

"""

_NAMED = """

def score(images, _numbers):
    found = []
    for one in {inputs}:
        try:
            found.append(network.answers(one[None]).score(wanted).logit)
        except TargetError:  # no such box is found any more
            found.append(0.0)
    return torch.tensor(found)

"""


def insert_python(asked: Asked, *, mode: str, canvas: str) -> str:
    """The two curves of the first target."""
    target = asked.targets[0]
    named = asked.whole or not isinstance(target, int)
    imports, looked = _looked(asked)
    imports += [*_FOR_MAP, "from equipoise.metrics import perturbation_curve"]
    imports += ["import torch", "from equipoise.errors import TargetError"] if named else []
    images, pixels, heat = "images", "view.pixels", "seen.heatmap[None]"
    if asked.flat:  # all positions in a row
        images = "images.reshape(-1, *view.inputs.shape[1:])"
        pixels, heat = "view.pixels.flatten(2).unsqueeze(2)", "seen.heatmap.reshape(1, 1, -1)"
    inputs = f"network.spec.preprocessing.normalize({images})"
    score = (_NAMED if named else _CERTAIN).format(inputs=inputs, target=target)
    return _code(
        imports, looked, _WANTED.format(view=asked.whole_view, target=target), _MAP.format(gamma=asked.gamma),
        f"pixels = {pixels}  # 0 to 1, before normalization", score,
        f"""shares = {SHARES}
for order in ("most_relevant", "random"):
    curve = perturbation_curve(
        score, pixels, {heat}, shares=shares, mode={mode!r}, order=order, canvas={canvas!r}
    )
    print(order, curve[0].tolist())""",
    )  # fmt: skip


def recipe_command(recipe: str, asked: Asked, options: Sequence[str] = ()) -> str:
    """The same question for a folder of photos, each in a folder named like its class; nothing where there is none.

    Recipes take networks of one photo.
    """
    if not isinstance(asked.photo, str) or asked.flat:
        return ""
    words = ["equipoise", "reproduce", recipe, "--dataset", "folder", "--data", "photos", "--model", asked.model]
    return shlex.join([*words, "--method", OWN, *(word for one in options for word in ("--option", one))])


def sanity_python(asked: Asked, layers: int) -> str:
    """The map of a network whose top layers are random."""
    imports, looked = _looked(asked)
    imports += [*_FOR_MAP, "from dataclasses import replace"]
    imports += ["from equipoise.metrics import rank_correlation, randomize, stages"]
    after = _MAP.format(gamma=asked.gamma).replace("seen", "after").replace("network", "copied")
    return _code(
        imports, looked, _WANTED.format(view=asked.whole_view, target=asked.targets[0]), _MAP.format(gamma=asked.gamma),
        f"""names = stages(network.module, view.inputs)[:{layers}]
copied = replace(network, module=randomize(network.module, names)) if names else network
{after}
flat = [one.heatmap.reshape(1, 1, -1) for one in (seen, after)]
print(rank_correlation(*flat).item())
after.save("random.png")""",
    )  # fmt: skip


def coverage_python(asked: Asked) -> str:
    """The rows of the coverage table."""
    imports, looked = _looked(asked)
    imports.append("from equipoise.wanted import parse_target")
    bound, score = f'network.bind("ae", gamma={asked.gamma})', "wanted"
    if asked.whole:
        imports.append("from equipoise.methods.reading import Reading, only_column")
        bound = f'network.bind("ae", gamma={asked.gamma}, output=Reading(network.reads.output, wanted))'
        score = "only_column"
    return _code(
        imports, looked, _WANTED.format(view=asked.whole_view, target=asked.targets[0]),
        f"""bound = {bound}
for passage in bound.attributor.coverage(view.inputs, {score}):
    print(passage)""",
    )  # fmt: skip
