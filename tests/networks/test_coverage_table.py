"""The coverage page says what was measured, of the networks there are, counted as it claims."""

from __future__ import annotations

import json

import torch
from coverage_tool import DOCS, VARIANTS, page, without_rule
from torch import Tensor, nn

from equipoise.engine import record
from equipoise.models import cnn_families, representative

DATA = json.loads((DOCS / "coverage.json").read_text())


def test_page_is_what_the_tool_renders() -> None:
    assert (DOCS / "coverage.md").read_text() == page(DATA)


def test_families_are_those_of_the_registries() -> None:
    assert list(DATA["families"]) == list(cnn_families())
    assert {family: row["network"] for family, row in DATA["families"].items()} == {
        family: representative(family) for family in cnn_families()
    }
    assert tuple(DATA["variants"]) == VARIANTS


def test_attribution_equilibrium_runs_on_every_torchvision_family_and_95_percent_of_timms() -> None:
    runs = {family: row["ae"]["runs"] for family, row in DATA["families"].items()}
    assert all(runs[family] for family in runs if family.startswith("torchvision/"))
    timm = [found for family, found in runs.items() if family.startswith("timm/")]
    assert sum(timm) / len(timm) >= 0.95


class Branches(nn.Module):
    """One of everything that the count tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.LayerNorm(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))  # its derivative is the rule
        x = x + torch.sigmoid(x) * x  # an addition, a gate, a product
        x = torch.cat([x, x + 1.0], 1)[:, :4]  # none
        return self.head(self.norm(x.mean((2, 3))))  # an average pool, a norm


def test_count_of_operations_without_a_rule() -> None:
    trace = record(Branches().eval(), torch.randn(1, 3, 6, 6))
    expected = {"addition": 1, "gate activation": 1, "multiplication": 1, "average pool": 1, "normalization": 1}
    assert dict(without_rule(trace, ["stem", "head"])) == expected
    assert dict(without_rule(trace, ["stem", "head", "norm"])) == {
        kind: count for kind, count in expected.items() if kind != "normalization"
    }
