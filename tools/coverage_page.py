"""The page docs/coverage.md from the numbers of docs/coverage.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = """<!-- made by tools/coverage_table.py from docs/coverage.json; do not edit -->
# Which networks are explained

Every family of convolutional classifiers of torchvision and timm, one network of each (the smallest), with
random weights, one image of {size}x{size} pixels, float32. Measured with {versions}. "AE" is Attribution
Equilibrium in its `paper` profile; [captum](https://captum.ai)'s `LRP` and
[zennit](https://github.com/chr5tphr/zennit)'s LRP are beside it.

| | AE | captum LRP | zennit |
|---|---|---|---|
| families where it runs | {ae_runs} of {total} | {captum_runs} of {total} | {zennit_runs} of {total} |
| ... and every operation has a rule | {ae_whole} of {total} | {captum_whole} of {total} | {zennit_whole} of {total} |

## How it was counted

"Runs" means: no exception, and a result that is finite and not zero everywhere. The model is passed as its
library makes it; no module is rewritten by hand.

captum and zennit attach rules to modules. An operation that is no module of a known type (a functional
addition, a product with a gate, a layer norm) gets no rule but its plain derivative, without a word: relevance is
then copied into both branches of an addition, or scaled by a gate. "N without a rule" counts these operations on
the way from the image to the scores. Left out of the count, because their derivative already does what a rule
would: views, slices, casts, concatenation, maximum pools, the addition of a constant, and ReLU (where it
stops the signal, no relevance arrives). A functional average pool is counted: its derivative spreads relevance
evenly, not by activity. A product with a constant (a layer scale) is counted: its derivative rescales relevance.
The count says what a method's rules do not cover, not how good a heat map is.

- AE: the engine watches the torch calls themselves, and stops with an error at an operation without a rule.
- captum: `LRP(model).attribute` with its default rules. It refuses any leaf module whose exact type it does
  not list. A user can attach rules to such modules by hand; that is not measured.
- zennit: `EpsilonGammaBox` with the canonizer that fits (`ResNetCanonizer` for torchvision's ResNet,
  `SequentialMergeBatchNorm` for the others); where the canonizer raises or changes what the network computes,
  without it; where that fails, `EpsilonPlus`. A canonizer written for a network would lower its count.

The count of families with AE is the result of this one run. The laws (bit-equal forward pass, the right sum after
every operation, no influence of the batch, the exact gradient) are tested in `tests/networks` for all of them.

## What is refused, and why

- Transformers, MLP mixers, recurrent networks and hybrids with attention: `load_model` refuses them by name. Given
  as a module, a network most of whose layers work on tokens has no map to start from:
  `{vit}`
- Attention between two maps: every relevance method stops there. Class activation maps and gradient methods pass
  it. Attention behind the last spatial map (EfficientFormer) belongs to the classification stage of a method that
  starts at a map, such as AE, which is the plain gradient.
  `{attention}`
- Convolutions whose weights are computed from the image (CondConv, timm's `tf_efficientnet_cc_*`), with more than
  one image: they fold the batch into the channels, so relevance could not be told apart by image. One image at a
  time works; there the computed weights count as constants.
  `{condconv}`

## Families
"""


def page(data: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    families = data["families"].values()
    numbers = {f"{name}_runs": sum(row[name]["runs"] for row in families) for name in ("ae", "captum", "zennit")}
    numbers |= {
        f"{name}_whole": sum(row[name]["runs"] and not row[name]["without_rule"] for row in families)
        for name in ("ae", "captum", "zennit")
    }
    head = _HEAD.format(
        size=data["size"],
        versions=", ".join(f"{name} {version}" for name, version in data["versions"].items()),
        total=len(data["families"]),
        vit=data["refusals"]["timm/test_vit"],
        attention=data["refusals"]["timm/edgenext_xx_small"],
        condconv=data["refusals"]["timm/tf_efficientnet_cc_b0_4e"],
        **numbers,
    )
    more = "\n## Other networks of torchvision's modules\n\n"
    named = {row["network"]: row for row in data["variants"].values()}
    return head + "\n" + _table("family", data["families"]) + more + _table("network", named)


def _table(first: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {first} | network | AE | captum LRP | zennit |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        cells = [name, row["network"].partition("/")[2], *(_cell(row[key]) for key in ("ae", "captum", "zennit"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(result: Mapping[str, Any]) -> str:
    if not result["runs"]:
        return f"no: {result['why']}".replace("|", "/")
    notes = []
    if result["without_rule"]:
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(result["without_rule"].items()))
        notes.append(f"{sum(result['without_rule'].values())} without a rule ({parts})")
    if "composite" in result:
        notes += [result["composite"]] if result["composite"] != "EpsilonGammaBox" else []
        notes += ["no canonizer"] if result["canonizer"] is None else []
    return "; ".join(["runs", *notes])
