"""`attribute_dataset`: every photo of a data set, explained in batches by any number of workers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.attributions.crews import Workers, shard_of
from equipoise.attributions.folder import Folder
from equipoise.attributions.memory import memory_of
from equipoise.attributions.parts import Values
from equipoise.attributions.plan import Keep, Plan
from equipoise.attributions.reading import Attributions
from equipoise.attributions.run import Where, run
from equipoise.attributions.sources import open_source
from equipoise.attributions.status import Watcher
from equipoise.errors import OptionError
from equipoise.loading import Model, load
from equipoise.models.description import Said
from equipoise.wanted import listed

if TYPE_CHECKING:
    from equipoise.attributions.sources import Source


def attribute_dataset(
    source: Any,  # whatever `open_source` takes
    model: Model = "efficientnet_lite0",
    method: Any = "ae",  # a name, any callable, or a list of them
    target: Any = None,  # see `equipoise.explain`, or "label"
    *,
    output: str | os.PathLike[str],
    batch: int | str = "auto",
    workers: int | None = None,
    ray: bool | str = False,
    precision: str = "float32",
    keep: Keep = "maps",
    values: Values = "float16",
    limit: int | None = None,
    resume: bool = False,
    shard: str | tuple[int, int] | None = None,
    memory: int | str | None = None,
    readers: int | None = None,
    threads: int | None = None,
    strict: bool = False,
    device: str | None = None,
    weights: str | None = None,
    preprocess: Any = None,
    classes: Sequence[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Attributions:
    """Explain every photo of a data set, and keep a row and a map of each method and target.

    Photos of one shape are explained together, as many as make it faster and as memory holds. What is done is written
    every few seconds; a run that is killed goes on with ``resume=True`` and ends with the rows of one that was not.

    Args:
        source: A folder; a list of files; ``"photos.csv"`` or ``"photos.parquet"`` with columns ``path`` and ``label``;
            ``"train-{000..012}.tar"`` of webdataset; a name of `equipoise.datasets.DATASETS`; ``"hf:FOLDER#split"``; a
            `torch.utils.data.Dataset` or anything else with a length and items ``image`` or ``(image, label)``.
        model: As of `equipoise.explain`. Several workers need one that is named.
        method: A name of `equipoise.METHODS`, any callable ``(model, inputs, target) -> Tensor``, or a list of them.
        target: As of `equipoise.explain`: ``None`` (the highest class), ``"top3"``, an index, a name, or a list; or
            ``"label"``: the class that the photo is labelled as.
        output: A folder, or any address that fsspec knows (``s3://``, ``gs://``, ``memory://``).
        batch: Photos at once; ``"auto"``: grown while that makes it faster and memory holds it.
        workers: Processes of this machine, each with a device or its share of the cores; ``None``: this process.
        ray: ``True``: workers are actors of a Ray that is started here; an address: of that cluster.
        precision: Of convolutions and matrix products: ``"float32"``, ``"tf32"`` or ``"bfloat16"``.
        keep: ``"maps"``, ``"sums"`` (rows alone) or ``"none"`` (rows without sums).
        values: ``"float16"`` with a scale for each map, rounded to 2^-14 of its largest value; or ``"float32"``.
        limit: At most so many photos, the first.
        resume: Go on with what is in ``output``.
        shard: ``"I/N"``, from 0: one part of so many, in a folder of its own below ``output``; ``"auto"``: as SLURM or
            torchrun says. `equipoise.attributions.merge` joins them.
        memory: The most that a worker may take, in bytes or as ``"8G"``; ``None``: what is free.
        readers: Processes that read ahead for each worker; ``None``: none on a CPU, where threads do.
        threads: Of each worker; ``None``: the cores are shared.
        strict: End at the first photo that cannot be done, in place of noting it.
        device: Where networks go.
        weights: Of a network that is named.
        preprocess: As of `equipoise.explain`.
        classes: As of `equipoise.explain`.
        data: The folder of data sets; ``None``: what ``EQUIPOISE_DATA`` names.
        watcher: Told how it goes.
        **options: Of the methods, each goes to those that take it; ``output_of`` names which part of the network's
            result is the class scores.

    Returns:
        What `equipoise.open_attributions` gives.

    Raises:
        OptionError: If the folder holds another run, another run writes there, it cannot be written, or an option is
            outside its range.
        EquipoiseError: If there are no photos, or the network or every method cannot be had.

    Example:
        >>> found = equipoise.attribute_dataset("photos/", method=["ae", "grad_cam"], output="maps/")  # doctest: +SKIP
    """
    photos: Source = open_source(source, None if data is None else Path(data))
    said = Said(preprocess=preprocess, classes=classes, output=options.pop("output_of", None))
    crew = Workers(workers, _address(ray), device, threads, os.getcwd())  # noqa: PTH109  # as text, to be sent
    plan = Plan(
        model, _with_options(method, options), _targets(target), weights, None if said == Said() else said, device,
        _size(batch), memory_of(memory), precision, keep, values, readers, strict, os.getcwd(),  # noqa: PTH109
    )  # fmt: skip
    part = shard_of(shard) if not isinstance(shard, tuple) else shard_of(f"{shard[0]}/{shard[1]}")
    return started(plan, photos, crew, Folder.at(output), watcher, resume=resume, limit=limit, shard=part)


def started(
    plan: Plan,
    source: Source,
    workers: Workers,
    folder: Folder,
    watcher: Watcher | None = None,
    *,
    resume: bool = False,
    limit: int | None = None,
    shard: tuple[int, int] | None = None,
) -> Attributions:
    """Run a plan; a network that stays in this process is loaded once.

    Raises:
        EquipoiseError: As `attribute_dataset`.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit is {limit}; it has to be at least 1")
    if shard is not None:
        folder = folder.sub(f"shard-{shard[0]:05}-of-{shard[1]:05}")
    if workers.here:
        network = load(plan.model, weights=plan.weights, device=plan.device, said=plan.said)
        plan = replace(plan, model=network, weights=None, said=None)
    return run(plan, source, Where(folder, resume, limit, shard), workers.crew(), watcher)


def _targets(target: Any) -> tuple[Any, ...]:
    several = listed(target)
    return (target,) if several is None else tuple(several)


def _with_options(method: Any, options: Mapping[str, Any]) -> tuple[tuple[Any, dict[str, Any]], ...]:
    from equipoise.errors import UnknownOptionError  # noqa: PLC0415  # needed here alone
    from equipoise.methods import METHODS  # noqa: PLC0415  # loads every method
    from equipoise.records import method_options  # noqa: PLC0415

    methods = list(method) if isinstance(method, list | tuple) else [method]
    known = {index: set(method_options(one)) if isinstance(one, str) else None for index, one in enumerate(methods)}
    for option in options:
        if not any(taken is None or option in taken for taken in known.values()):
            names = " and ".join(METHODS.canonical(one) for one in methods if isinstance(one, str))
            raise UnknownOptionError(f"{names} has no option {option!r}")
    return tuple(
        (METHODS.canonical(one) if isinstance(one, str) else one,
         {name: value for name, value in options.items() if known[index] is None or name in (known[index] or ())})
        for index, one in enumerate(methods)
    )  # fmt: skip


def _address(ray: object) -> str | None:
    if isinstance(ray, str):
        return ray or "local"
    return "local" if ray else None


def _size(batch: int | str) -> int | None:
    if batch == "auto":
        return None
    if isinstance(batch, bool) or not isinstance(batch, int):
        raise OptionError(f'batch is {batch!r}; it has to be a whole number or "auto"')
    return batch
