"""Networks of random blocks in random spellings: their maps are those of the same blocks in their base spellings.

What was found by drawing is kept as an example.
"""

import contextlib
from collections.abc import Callable

import pytest
import torch
from catalogue import FAMILIES
from comparing import TAPE, Outcome, attempt, difference
from families import BLOCK, CHANNELS, HEAD, LAYER, LOGITS, NORM, SIGNED, Family, settle
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from equipoise.engine import record
from equipoise.errors import EquipoiseError

TOLERANCE = 1e-6
SHAPE = (CHANNELS, 8, 10)
# Their numbers grow with every block until exponentials overflow, or they divide by what another block made zero.
LEFT_OUT = {"square", "squared ReLU", "a product of two signals", "unit vectors"}

Pick = tuple[str, str]
"""A family and one of its spellings; an empty one is the base."""


def result_shape(family: Family) -> tuple[int, ...]:
    p = family.build()
    settle(p)
    with torch.no_grad():
        return tuple(family.base(*family.given(p.eval(), torch.ones(2, *SHAPE))).shape[1:])


def picks(wanted: Callable[[Family], bool]) -> st.SearchStrategy[Pick]:
    """Any spelling of the families wanted; the bases first, because examples shrink to what is first."""
    families = [f for f in FAMILIES.values() if not f.integers and f.name not in LEFT_OUT and wanted(f)]
    assert families
    return st.sampled_from([(f.name, "") for f in families] + [(f.name, s) for f in families for s in f.spellings])


def is_block(family: Family) -> bool:
    return family.frame in (BLOCK, SIGNED, LAYER, NORM) and result_shape(family) == SHAPE


def is_end(family: Family) -> bool:
    """A head, or what changes the size of the map."""
    return family.frame in (HEAD, LOGITS) or (family.frame in (BLOCK, LAYER) and result_shape(family) != SHAPE)


BLOCKS = st.lists(picks(is_block), min_size=2, max_size=5)
ENDS = picks(is_end)
METHODS = st.lists(st.sampled_from(TAPE), min_size=3, max_size=3, unique=True)


class Chain(nn.Module):
    """A convolution, the blocks, a convolution with a ReLU, the end, a classifier.

    Args:
        chosen: The blocks and the end.
        base: Whether each is in its base spelling.
    """

    def __init__(self, chosen: list[Pick], *, base: bool) -> None:
        super().__init__()
        families = [FAMILIES[name] for name, _ in chosen]
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.parts = nn.ModuleList(family.build() for family in families)
        self.last = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU())
        self.after = families[-1].frame.after(families[-1].out)
        self.given = [family.given for family in families]
        self.spellings = [
            family.spellings[spelling] if spelling and not base else family.base
            for family, (_, spelling) in zip(families, chosen, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i, (p, arguments, spelling) in enumerate(zip(self.parts, self.given, self.spellings, strict=True)):
            if i == len(self.parts) - 1:
                x = self.last(x)
            x = spelling(*arguments(p, x.contiguous()))  # many a spelling calls view
        return self.after(x)


def build(chosen: list[Pick], *, base: bool) -> nn.Module:
    model = Chain(chosen, base=base)
    settle(model)
    return model.double().eval()


def check(blocks: list[Pick], end: Pick, methods: list[str]) -> None:
    base, odd = (build([*blocks, end], base=base) for base in (True, False))
    x = torch.randn(2, 3, *SHAPE[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits, expected = odd(x), base(x)
    assume(bool(expected.isfinite().all()))
    assert difference(logits, expected) < 1e-9, "these are two functions"
    with contextlib.suppress(EquipoiseError):  # what cannot be recorded is refused by every method
        assert torch.equal(record(odd, x).logits, logits)
    for method in methods:
        right = attempt(method, base, x, [1, 3])
        if isinstance(right, Outcome):
            assert right.refusal, right.crash
            continue
        for found, wanted in ((attempt(method, odd, x, [1, 3]), right), (attempt(method, odd, x[1:], [3]), right[1:])):
            if isinstance(found, Outcome):
                assert found.refusal, found.crash
            else:
                assert difference(found, wanted) < TOLERANCE, method


@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(BLOCKS, ENDS, METHODS)
@example([("a gate per channel", "expand_as"), ("ReLU", "x * (x > 0)")], ("global average pool", "sum / size"), ["ae"])
@example([("ReLU", "masked_fill"), ("SiLU", "x * sigmoid(x)")], ("2x2 max pool", ""), ["guided_backprop", "agf"])
@example([("batch norm", "x * scale + shift (frozen)"), ("ReLU", "")], ("2x2 average pool", ""), ["lrp_composite"])
@example([("1x1 convolution", "linear, channels last"), ("ReLU", "")], ("classifier on pooled features", "matmul"),
         ["full_grad", "lrp_composite", "agf"])  # fmt: skip
@example([("sum of three", "stack.sum"), ("ReLU", "")], ("global max pool", "topk"), ["ae", "rsp"])
@example([("concatenation", "narrow().add_"), ("ReLU", "")], ("global max pool", "max of max"), ["ae", "grad_cam"])
@example([("ReLU", ""), ("selective kernels: a softmax over branches", "stack.sum")], ("3x3 convolution, stride 2", ""),
         ["rap", "agf"])  # fmt: skip
@example([("selective kernels: a softmax over branches", "stack.sum"), ("sum of three", "a + (b + c)")],
         ("3x3 convolution, stride 2", ""), ["rap", "rsp", "agf"])  # fmt: skip
def test_random_networks_in_random_spellings(blocks, end, methods):
    check(blocks, end, methods)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(BLOCKS, ENDS)
def test_random_networks_by_every_method(blocks, end):
    check(blocks, end, list(TAPE))
