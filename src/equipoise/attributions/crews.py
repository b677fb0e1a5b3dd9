"""Who works on a run: this process, several of this machine, or Ray."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from equipoise.errors import OptionError
from equipoise.executors import Blueprint, Crew, Here, Place

_PASSED: Final = ("OMP_WAIT_POLICY", "MALLOC_ARENA_MAX", "EQUIPOISE_DATA")
"""Variables that workers of another machine get from here."""

_OF_RAY: Final = {"OMP_WAIT_POLICY": "PASSIVE", "MALLOC_ARENA_MAX": "1"}
"""What is best for a worker unless the user said: Ray runs it in a thread, whose own heap keeps no large block."""


@dataclass(frozen=True)
class Workers:
    """How many work, and where.

    Attributes:
        count: Processes; ``None``: this one alone, or with Ray one for each accelerator, else one for each core.
        ray: The address of a cluster of Ray, ``"local"`` to start one here; ``None``: without.
        device: Of the network; ``None``: one accelerator each where there are as many, else the CPU.
        threads: Of each worker; ``None``: the cores are shared.
        folder: Of a user's own modules.
    """

    count: int | None = None
    ray: str | None = None
    device: str | None = None
    threads: int | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise OptionError(f"workers is {self.count}; it has to be at least 1")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads is {self.threads}; it has to be at least 1")

    @property
    def here(self) -> bool:
        """Whether this process alone works."""
        return self.ray is None and self.count in {None, 1}

    def crew(self) -> Callable[[Blueprint], Crew]:
        """From the blueprint of workers to the crew."""
        if self.here:
            return lambda job: Here(job, Place(device=self.device, threads=self.threads))
        if self.ray is not None:
            return self._of_ray
        return self._processes

    def _processes(self, job: Blueprint) -> Crew:
        from equipoise.executors.processes import Processes  # noqa: PLC0415  # another crew needs it not

        count = self.count or 1
        threads = self.threads or max(1, (os.cpu_count() or 1) // count)
        return Processes(job, [Place(index, count, self._device(index), threads) for index in range(count)])

    def _of_ray(self, job: Blueprint) -> Crew:
        from equipoise.executors.on_ray import Actors  # noqa: PLC0415  # Ray is an extra

        threads = self.threads or 1
        variables = _OF_RAY | {name: os.environ[name] for name in _PASSED if name in os.environ}
        place = Place(device=self.device, threads=threads)
        return Actors(
            job, place, size=self.count, address=self.ray or "local", cores=threads, environment=variables,
            folder=self.folder,
        )  # fmt: skip

    def _device(self, index: int) -> str | None:
        if self.device is not None:
            return self.device
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return f"cuda:{index % found}" if found else None


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Which part of how many: ``"3/16"``, counted from 0; ``"auto"``: as SLURM or torchrun says; ``None``: all.

    Raises:
        OptionError: If it is none.
    """
    if text is None:
        return None
    if text == "auto":
        return _from_environment(os.environ)
    part, slash, of = text.partition("/")
    if not slash or not part.strip().isdecimal() or not of.strip().isdecimal() or int(part) >= int(of):
        raise OptionError(f"--shard is {text!r}; give I/N, I from 0 to N - 1, such as 0/4")
    return int(part), int(of)


def _from_environment(variables: Any) -> tuple[int, int]:
    for part, of, first in (
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
        ("SLURM_PROCID", "SLURM_NTASKS", None),
        ("RANK", "WORLD_SIZE", None),
    ):
        if part in variables and of in variables:
            start = int(variables.get(first, 0)) if first else 0
            return int(variables[part]) - start, int(variables[of])
    raise OptionError(
        "--shard auto needs SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT, or RANK and WORLD_SIZE, to be set; give I/N"
    )
