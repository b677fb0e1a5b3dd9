"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="The network: a name (equipoise list models), package.module:build, a file mynet.toml, hf:FOLDER, a .pt2",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[,NAME...]", help="Networks, each as of equipoise explain"),
]
Weights = Annotated[
    str | None, typer.Option(metavar="FILE", help="Weights of your own: safetensors or a state dict, however wrapped.")
]
OutputOf = Annotated[
    str | None,
    typer.Option(metavar="INDEX|KEY", help="Which part of the network's result holds the class scores."),
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Names of the network's classes: one a line, a JSON list or dict, id2label."),
]
Size = Annotated[str | None, typer.Option(metavar="N|H,W", help="What the network sees of a photo, in pixels.")]
Mean = Annotated[str | None, typer.Option(metavar="A,B,C", help="Mean of each channel, for pixels between 0 and 1.")]
Std = Annotated[str | None, typer.Option(metavar="A,B,C", help="Deviation of each channel, likewise.")]
InChans = Annotated[int | None, typer.Option(metavar="N", help="How many channels the network takes.")]
Activation = Annotated[
    str | None,
    typer.Option(metavar="softmax|sigmoid|none", help="What makes probabilities of the outputs; none: they are some."),
]
TaskOf = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="What the outputs are: classification, multi-label, binary, regression, embedding, segmentation, "
        "detection",
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="png|pdf|svg", help="Also draw a figure of all maps, with its caption beside it."),
]
Dpi = Annotated[float, typer.Option(metavar="N", help="Pixels per inch of figures.")]
Cmap = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Colors: red_blue, orange_blue; perceptually uniform: even_red_blue, even_orange_blue, even_green_purple",
    ),
]
Width = Annotated[str, typer.Option(metavar="column|page", help="Width of figures, in a paper of two columns.")]
Scale = Annotated[str, typer.Option(metavar="map|shared", help="Whether maps have a color scale each, or share one.")]
Batch = Annotated[
    str, typer.Option(metavar="auto|N", help="Photos at once; auto: as many as make it faster and memory holds.")
]
MemorySize = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="The most that a worker may take, such as 8G  [default: what is free]"
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", help="Processes of this machine, each with a GPU or its share of the cores."
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(metavar="[ADDRESS]", help="Let workers be actors of Ray, started here or of a cluster."),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="[I/N]", help="One part of N, from 0; alone: as SLURM or torchrun says."),
]
Threads = Annotated[int | None, typer.Option(metavar="N", help="Of each worker  [default: the cores are shared]")]
