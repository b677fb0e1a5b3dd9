"""A call leaves nothing that waits for the garbage collector: its forward pass goes with it, and so does its memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from collector import left_to_the_collector
from equipoise.engine.recorder import record
from equipoise.errors import EquipoiseError
from helpers import Functional, Residual, make, relative_error
from registered import EVERY, HOOKS, explain, spread

KINDS = {"residual": Residual, "functional": Functional}
LEAVING = (RuntimeError, EquipoiseError)


def squashed(kind: str) -> tuple[nn.Module, Tensor]:
    model, x = make(KINDS[kind], n=2)
    return nn.Sequential(model, nn.Softmax(dim=1)).eval(), x


class Failing(nn.Module):
    """Another network before a layer that finds no memory."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        self.body(x)
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_what_it_looks_for_is_found():
    class Ring:
        pass

    def run():
        ring = Ring()
        ring.own, ring.data = ring, torch.zeros(3)

    assert left_to_the_collector(run) == ["Tensor"]
    assert left_to_the_collector(lambda: torch.zeros(3)) == []


@pytest.mark.parametrize(("method", "kind"), spread(EVERY, KINDS, but=[(name, "functional") for name in HOOKS]))
def test_of_no_method(method, kind):
    model, x = make(KINDS[kind], n=2)
    assert left_to_the_collector(lambda: explain(method, model, x, [0, 1])) == []


@pytest.mark.parametrize("method", ["ae", "grad_cam", "gradient", "contrastive_eb", "rap", "agf"])
def test_of_no_network_that_ends_in_probabilities(method):
    model, x = squashed("residual")
    assert left_to_the_collector(lambda: explain(method, model, x)) == []


@pytest.mark.parametrize("method", ["ae", "grad_cam", "gradient", "integrated_gradients"])
def test_of_no_pass_that_fails(method):
    model, x = make(Residual, n=2)
    failing = Failing(model).eval()

    def run():
        with pytest.raises(LEAVING):
            explain(method, failing, x)

    assert left_to_the_collector(run) == []


def test_a_copy_of_a_tape_outlives_it():
    model, x = make(Residual, n=2)
    trace = record(model, x)
    logits = trace.logits.clone()
    layers = {name: trace.data(value).clone() for name, value in trace.module_outputs.items()}
    copied = trace.copied()
    assert not {copied.output, *copied.module_outputs.values()} & {trace.output, *trace.module_outputs.values()}
    del trace
    assert torch.equal(copied.logits, logits)
    for name, value in copied.module_outputs.items():
        assert relative_error(copied.data(value), layers[name]) < 1e-12
