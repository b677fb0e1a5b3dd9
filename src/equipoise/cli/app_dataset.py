"""The commands ``attribute`` and ``merge``, which `equipoise.cli.app` registers; nothing here takes time to import."""

from collections.abc import Callable
from typing import Annotated

import typer

from equipoise.cli.request import NetworkRequest
from equipoise.cli.typed import (
    Activation,
    Batch,
    Classes,
    InChans,
    Mean,
    MemorySize,
    Model,
    OutputOf,
    Ray,
    Shard,
    Size,
    Std,
    TaskOf,
    Threads,
    Weights,
    WorkerCount,
)

Job = Callable[[], int]


def attribute(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTOS|DATASET...",
            help="A folder, photos, a table photos.csv or .parquet (columns path and label), train-{000..012}.tar, a "
            "data set (equipoise list datasets), hf:FOLDER#split, or package.module:build.",
        ),
    ],
    *,
    output: Annotated[str, typer.Option(metavar="DIR", help="Where rows and maps go: a folder, s3://..., gs://...")],
    model: Model = "efficientnet_lite0",
    weights: Weights = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]|fast|paper|all", help="How to explain; see: equipoise list methods  [default: ae]"
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="top|topN|label|INDEX|NAME[,...]",
            help="Which class to explain; label: what the photo is labelled as  [default: top]",
        ),
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(metavar="G", help="How much evidence AE keeps, 1 (least) to 2  [default: 1]")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="L", help="Where the method starts; see: equipoise list layers")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any other option of the method; may be repeated")
    ] = None,
    batch: Batch = "auto",
    workers: WorkerCount = None,
    ray: Ray = None,
    shard: Shard = None,
    precision: Annotated[
        str, typer.Option(metavar="float32|tf32|bfloat16", help="Of convolutions and matrix products.")
    ] = "float32",
    keep: Annotated[
        str, typer.Option(metavar="maps|sums|none", help="What is kept of a map: itself, its sums alone, nothing.")
    ] = "maps",
    values: Annotated[str, typer.Option(metavar="float16|float32", help="How a map's values are kept.")] = "float16",
    memory: MemorySize = None,
    readers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes that read ahead for each worker  [default: as the device needs]"),
    ] = None,
    threads: Threads = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="At most N photos, the first.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the results in the folder.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first photo that cannot be done.")] = False,
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder of the data sets  [default: $EQUIPOISE_DATA, or data]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="D", help="cpu, cuda, cuda:1, mps  [default: the GPUs of workers, else cpu]")
    ] = None,
    classes: Classes = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    in_chans: InChans = None,
    activation: Activation = None,
    task: TaskOf = None,
    output_of: OutputOf = None,
) -> Job:
    """Explain a whole data set in batches: a table of rows, and the maps, in Parquet."""

    def run() -> int:
        from equipoise.cli.attributing import AttributeRequest, attribute_photos  # noqa: PLC0415  # loads torch

        said = NetworkRequest(model, weights, output_of, classes, size, mean, std, in_chans, activation, task)
        return attribute_photos(
            AttributeRequest(
                photos=tuple(photos), network=said, methods=tuple(method or ["ae"]), targets=tuple(target or ["top"]),
                gamma=gamma, layer=layer, options=tuple(option or []), output=output, batch=batch, workers=workers,
                ray=ray, shard=shard, precision=precision, keep=keep, values=values, memory=memory, readers=readers,
                threads=threads, limit=limit, resume=resume, strict=strict, data=data, device=device,
            )
        )  # fmt: skip

    return run


def merge(
    shards: Annotated[list[str], typer.Argument(metavar="DIR...", help="Folders of shards, or one that holds them.")],
    *,
    output: Annotated[str, typer.Option(metavar="DIR", help="Where the whole goes.")],
) -> Job:
    """Join the shards of a run to the run that they are parts of."""

    def run() -> int:
        from equipoise.cli.attributing import need  # noqa: PLC0415  # loads rich

        need()
        from equipoise.attributions import merge as join  # noqa: PLC0415  # loads torch and pyarrow

        found = join(shards, output)
        typer.echo(f"{len(found)} rows are in {output}")
        return 0

    return run
