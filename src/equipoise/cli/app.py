"""The command line: its commands and options, and nothing that takes time to import."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, cast

import typer

from equipoise.cli import MENDABLE, app_dataset
from equipoise.cli.request import ExplainRequest, NetworkRequest
from equipoise.cli.typed import (
    Activation,
    Batch,
    Classes,
    Cmap,
    Dpi,
    Formats,
    InChans,
    Mean,
    MemorySize,
    Model,
    Models,
    OutputOf,
    Ray,
    Scale,
    Shard,
    Size,
    Std,
    TaskOf,
    Threads,
    Weights,
    Width,
    WorkerCount,
)
from equipoise.errors import OptionError

Job = Callable[[], int]

app = typer.Typer(
    name="equipoise",
    add_completion=False,
    help="What did the network see? Explain photos by Attribution Equilibrium and its peers.",
)
listing = typer.Typer(help="List what there is: methods, models, layers, data sets, recipes.")
app.add_typer(listing, name="list")
app.command()(app_dataset.attribute)
app.command()(app_dataset.merge)


_VALUES: Final = {
    "--ray": ("local", re.compile(r"auto|local|ray://.+|([\w.\-]+|\[[\da-fA-F:.]+\]):\d+")),
    "--shard": ("auto", re.compile(r"auto|\d+(/\d*)?")),
}
"""Options whose value may be left out: what it is then, and what looks like one."""


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """A command line in which options that may stand alone have their value."""
    found: list[str] = []
    rest = list(arguments)
    while rest:
        one = rest.pop(0)
        if one == "--":
            return [*found, one, *rest]
        found.append(one)
        if one in _VALUES:
            value, form = _VALUES[one]
            found.append(rest.pop(0) if rest and form.fullmatch(rest[0]) else value)
    return found


def parse(arguments: Sequence[str] | None = None) -> Job | int:
    """Read a command line.

    Args:
        arguments: Without the program's name; default: the process's own.

    Returns:
        What is asked for, ready to run; or an exit status if nothing is, as after ``--help``.

    Raises:
        OptionError: If the command line cannot be understood; the text is one sentence.
    """
    command = typer.main.get_command(app)
    argv = spelled_out(sys.argv[1:] if arguments is None else arguments)
    try:
        result: Any = command.main(args=argv, prog_name="equipoise", standalone_mode=False)
    except Exception as error:
        # typer up to 0.15 raises click's exceptions and later ones its own: known by what they can do
        if (say := getattr(error, "format_message", None)) is None:
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "equipoise"
        raise OptionError(f"{say()} (see {path} --help)") from error
    return cast("Job | int", result) if result is not None else 0


def _version(*, wanted: bool) -> None:
    if wanted:
        from equipoise import __version__  # noqa: PLC0415

        typer.echo(f"equipoise {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    _version(wanted=version)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command()
def explain(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE_OR_FOLDER...", help="Photos, or folders of photos.")],
    *,
    model: Model = "efficientnet_lite0",
    weights: Weights = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]|fast|paper|all",
            help="How to explain; see: equipoise list methods. fast: without the costly ones; paper: Fig. 4's; "
            "all: every one  [default: ae]",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="top|topN|INDEX|CLASS[,...]",
            help="Which class to explain, by rank, index or name; may be repeated  [default: top]",
        ),
    ] = None,
    gamma: Annotated[
        float | None,
        typer.Option(metavar="G", help="How much evidence AE keeps, 1 (least) to 2  [default: 1]"),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="L", help="Where the method starts; see: equipoise list layers")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Any other option of the method; may be repeated"),
    ] = None,
    wrt: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a network of several inputs the one to explain  [default: each]"),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="D", help="cpu, cuda, cuda:1, mps  [default: cpu]")] = None,
    output: Annotated[str, typer.Option(metavar="DIR", help="Where the files go.")] = "equipoise-out",
    output_of: OutputOf = None,
    classes: Classes = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    in_chans: InChans = None,
    activation: Activation = None,
    task: TaskOf = None,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write one HTML page with everything, such as out.html.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders of folders.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document per photo, and nothing else.")
    ] = False,
    formats: Formats = None,
    dpi: Dpi = 300.0,
    cmap: Cmap = "red_blue",
    width: Width = "page",
    scale: Scale = "map",
) -> Job:
    """Explain photos: write heat maps, overlays, raw numbers and records, and print the classes."""
    request = ExplainRequest(
        images=tuple(images),
        network=NetworkRequest(model, weights, output_of, classes, size, mean, std, in_chans, activation, task),
        methods=tuple(method or ["ae"]),
        targets=tuple(target or ["top"]),
        gamma=gamma,
        layer=layer,
        options=tuple(option or []),
        wrt=wrt,
        device=device,
        output=output,
        report=report,
        recursive=recursive,
        as_json=as_json,
        formats=tuple(formats or []),
        dpi=dpi,
        cmap=cmap,
        width=width,
        scale=scale,
    )

    def run() -> int:
        from equipoise.cli.photos import all_absent  # noqa: PLC0415  # loads Pillow

        if problems := all_absent(request.images):
            sys.stderr.writelines(f"equipoise: {problem}\n" for problem in problems)
            return MENDABLE
        from equipoise.cli.explaining import explain_photos  # noqa: PLC0415  # loads torch

        return explain_photos(request)

    return run


@app.command()
def reproduce(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="What to run, by name or as package.module:NAME; see: equipoise list recipes"
        ),
    ],
    *,
    data: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the data sets  [default: $EQUIPOISE_DATA, or data]"),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Other data sets; see: equipoise list datasets"),
    ] = None,
    model: Models = None,
    weights: Weights = None,
    classes: Classes = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    in_chans: InChans = None,
    activation: Activation = None,
    task: TaskOf = None,
    output_of: OutputOf = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[+]NAME[,...]",
            help="Only these methods, by name or as package.module:function; + adds to the recipe's; every: also "
            "those that it leaves out for what they cost",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the protocol; may be repeated"),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="At most N images, or grids, of a data set.")] = None,
    keep_maps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Keep the maps of N images for figure and gallery  [default: the recipe's]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the results in the folder.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first missing or broken file.")] = False,
    batch: Batch = "auto",
    memory: MemorySize = None,
    workers: WorkerCount = None,
    ray: Ray = None,
    shard: Shard = None,
    threads: Threads = None,
    photos: Annotated[bool, typer.Option(help="Show the photos in the figures.")] = True,
    device: Annotated[str | None, typer.Option(metavar="D", help="cpu, cuda, cuda:1, mps  [default: cpu]")] = None,
    output: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the results go  [default: equipoise-out/RECIPE]")
    ] = None,
) -> Job:
    """Run a table or figure of the paper: rows, table and figures, our numbers beside the paper's."""

    def run() -> int:
        from equipoise.cli.reproducing import ReproduceRequest  # noqa: PLC0415  # loads torch
        from equipoise.cli.reproducing import reproduce as reproduce_recipe  # noqa: PLC0415  # as above

        return reproduce_recipe(
            ReproduceRequest(
                recipe=recipe,
                data=data,
                datasets=tuple(dataset or ()),
                models=tuple(model or ()),
                said=NetworkRequest("", weights, output_of, classes, size, mean, std, in_chans, activation, task),
                methods=tuple(method or ()),
                options=tuple(option or ()),
                limit=limit,
                keep_maps=keep_maps,
                resume=resume,
                strict=strict,
                photos=photos,
                device=device,
                output=output,
                batch=batch,
                memory=memory,
                workers=workers,
                ray=ray,
                shard=shard,
                threads=threads,
            )
        )

    return run


@app.command()
def describe(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER|NAME",
            help="Weights, a .pt2 or .onnx file, a folder of Hugging Face, a registered name, or package.module:build.",
        ),
    ],
    *,
    weights: Weights = None,
    classes: Classes = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    in_chans: InChans = None,
    activation: Activation = None,
    task: TaskOf = None,
    output_of: OutputOf = None,
    output: Annotated[str, typer.Option(metavar="FILE", help="The description to write.")] = "mynet.toml",
    force: Annotated[bool, typer.Option("--force", help="Overwrite it.")] = False,
) -> Job:
    """Write what can be found out about a network into a file that every command takes as --model."""

    def run() -> int:
        from equipoise.cli.describing import write_description  # noqa: PLC0415  # loads torch

        said = NetworkRequest(what, weights, output_of, classes, size, mean, std, in_chans, activation, task)
        return write_description(said, output, force=force)

    return run


@app.command()
def serve(
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; the default is reached from this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(metavar="N", help="The port  [default: the first free from 7860]")] = None,
    model: Models = None,
    weights: Weights = None,
    classes: Classes = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    in_chans: InChans = None,
    activation: Activation = None,
    task: TaskOf = None,
    output_of: OutputOf = None,
    examples: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Photos to offer  [default: those of installed packages]")
    ] = None,
    password_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Holds the page's password  [default: what EQUIPOISE_PASSWORD holds, or none]"
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Another address of the page, such as a proxy's; may be given again."),
    ] = None,
) -> Job:
    """Open a page on this machine on which a photo is explained, compared and tested."""

    def run() -> int:
        from equipoise.cli.serving import serve_page  # noqa: PLC0415  # loads torch

        said = NetworkRequest("", weights, output_of, classes, size, mean, std, in_chans, activation, task)
        return serve_page(
            model or ["efficientnet_lite0"], said, host=host, port=port, examples=examples,
            password_file=password_file, origins=origin or (),
        )  # fmt: skip

    return run


@listing.command("datasets")
def list_datasets() -> Job:
    """Data sets: what they are, where they are looked for, how to get them."""

    def run() -> int:
        from equipoise.cli.lists import print_datasets  # noqa: PLC0415  # loads numpy

        return print_datasets()

    return run


@listing.command("recipes")
def list_recipes() -> Job:
    """Tables and figures that can be run."""

    def run() -> int:
        from equipoise.cli.lists import print_recipes  # noqa: PLC0415  # loads torch

        return print_recipes()

    return run


@listing.command("methods")
def list_methods() -> Job:
    """Names of the methods, and what each is."""

    def run() -> int:
        from equipoise.cli.lists import print_methods  # noqa: PLC0415  # loads torch

        return print_methods()

    return run


@listing.command("models")
def list_models(
    pattern: Annotated[str | None, typer.Argument(help="A part of the name, or a pattern with *.")] = None,
) -> Job:
    """Names of the networks."""

    def run() -> int:
        from equipoise.cli.lists import print_models  # noqa: PLC0415  # loads torch

        return print_models(pattern)

    return run


@listing.command("layers")
def list_layers(
    *,
    model: Model = "efficientnet_lite0",
    weights: Weights = None,
    classes: Classes = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    in_chans: InChans = None,
    activation: Activation = None,
    task: TaskOf = None,
    output_of: OutputOf = None,
) -> Job:
    """Layers where a method can start."""

    def run() -> int:
        from equipoise.cli.lists import print_layers  # noqa: PLC0415  # loads torch

        return print_layers(
            NetworkRequest(model, weights, output_of, classes, size, mean, std, in_chans, activation, task)
        )

    return run
