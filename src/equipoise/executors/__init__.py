"""Who carries out tasks: `Here`, `Processes`, `Actors` of Ray, and `Dispatch`, which is the same for all."""

from __future__ import annotations

from equipoise.executors.base import Blueprint as Blueprint
from equipoise.executors.base import Crew as Crew
from equipoise.executors.base import Place as Place
from equipoise.executors.base import Worker as Worker
from equipoise.executors.dispatch import Dispatch as Dispatch
from equipoise.executors.dispatch import WorkersDiedError as WorkersDiedError
from equipoise.executors.here import Here as Here
