"""The tables of families name every module, and say of each what its networks do."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch.overrides import TorchFunctionMode

from equipoise import models
from equipoise.errors import UnknownNameError, UnsupportedModelError
from equipoise.models import families
from equipoise.models.construction import skeleton
from equipoise.models.families import Kind
from equipoise.models.zoo import find

ATTENTION = {"scaled_dot_product_attention", "matmul", "__matmul__", "einsum", "bmm"}
# Softmax pooling of the whole map, and experts mixed per image: products of matrices without attention.
GATED_BY_MATMUL = ("gcres", "gc_efficientnet", "efficientnet_cc_", "tf_efficientnet_cc_")


class Names(TorchFunctionMode):
    """Collects the names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.add(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


def run_on_meta(name, classes=7):
    entry = find(name)
    network = skeleton(entry.construct, classes).to("meta").eval()
    with torch.no_grad(), Names() as names:
        output = network(torch.empty(2, 3, *entry.preprocessing.crop, device="meta"))
    return output, names.seen


def parameters(name):
    return sum(parameter.numel() for parameter in skeleton(find(name).construct, 1000).parameters())


@pytest.mark.parametrize("module", timm.list_modules())
def test_every_module_of_timm_is_in_the_table(module):
    assert module in families.TIMM_MODULES


def test_every_module_of_torchvision_is_in_the_table():
    assert set(families.torchvision_architectures().values()) <= set(families.TORCHVISION_MODULES)


@pytest.mark.parametrize("table", [families._TIMM, families._TORCHVISION])
def test_no_module_is_in_the_table_twice(table):
    names = [name for modules in table.values() for name in modules.split()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("module", "pattern", "kind"), [row[:3] for row in families._EXCEPTIONS])
def test_every_exception_changes_the_kind_of_some_architecture(module, pattern, kind):
    assert kind is not families.TIMM_MODULES[module]
    assert kind in {families.timm_kind(name) for name in timm.list_models(pattern, module=module)}


@pytest.mark.parametrize("family", models.cnn_families())
def test_representative_runs_without_attention(family):
    output, operations = run_on_meta(models.representative(family))
    assert output.shape == (2, 7)
    assert not operations & ATTENTION
    assert "conv2d" in operations


@pytest.mark.parametrize(
    "architecture",
    [
        "bat_resnext26ts",
        "resnet50_clip",
        "fastvit_sa12",
        "lowformer_e3",
        "caformer_s18",
        "mobilenetv4_hybrid_medium",
        "edgenext_xx_small",
        "levit_128s",
        "vit_tiny_patch16_224",
    ],
)
def test_what_is_refused_runs_attention(architecture):
    assert families.timm_kind(architecture) in {Kind.HYBRID, Kind.TRANSFORMER}
    with torch.device("meta"):
        network = timm.create_model(architecture).eval()
    size = timm.get_pretrained_cfg(architecture).input_size
    with torch.no_grad(), Names() as names:
        network(torch.empty(1, *size, device="meta"))
    assert names.seen & ATTENTION


@pytest.mark.slow
@pytest.mark.parametrize("family", models.cnn_families())
def test_no_architecture_of_a_cnn_family_runs_attention(family):
    for name in models.cnn_families()[family]:
        output, operations = run_on_meta(name)
        assert output.shape == (2, 7), name
        gated = {"matmul"} if name.partition("/")[2].startswith(GATED_BY_MATMUL) else set()
        assert not operations & (ATTENTION - gated), name


SMALL_FAMILIES = ["timm/starnet", "timm/vovnet", "timm/fastvit", "timm/repghost", "timm/lowformer"]
SMALL_FAMILIES += ["torchvision/mobilenetv3", "torchvision/squeezenet", "torchvision/shufflenetv2"]


@pytest.mark.parametrize("family", SMALL_FAMILIES)
def test_representative_is_the_smallest(family):
    counts = {name: parameters(name) for name in models.cnn_families()[family]}
    assert models.representative(family) == min(counts, key=counts.get)


@pytest.mark.slow
@pytest.mark.parametrize("family", models.cnn_families())
def test_every_representative_is_the_smallest(family):
    counts = {name: parameters(name) for name in models.cnn_families()[family]}
    assert models.representative(family) == min(counts, key=counts.get)


def test_every_family_has_a_representative_of_its_own():
    assert set(families._REPRESENTATIVES) == set(models.cnn_families())
    for family, members in models.cnn_families().items():
        assert models.representative(family) == f"{family.partition('/')[0]}/{families._REPRESENTATIVES[family]}"
        assert models.representative(family) in members


def test_representative_falls_back_on_the_first_of_its_family(monkeypatch):
    monkeypatch.setattr(families, "_REPRESENTATIVES", {})
    assert models.representative("timm/vgg") == "timm/vgg11"


def test_representative_of_an_unknown_family():
    with pytest.raises(UnknownNameError, match="'timm/resnets'; did you mean timm/resnet"):
        models.representative("timm/resnets")


def test_families_hold_the_classifiers_of_torchvision():
    listed = {
        name.partition("/")[2]
        for family, members in models.cnn_families().items()
        for name in members
        if family.startswith("torchvision/")
    }
    everything = set(torchvision.models.list_models(module=torchvision.models))
    refused = {name for name in everything if name.startswith(("vit_", "swin_", "maxvit"))}
    assert listed == everything - refused
    assert len(refused) == 12


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("vit_b_16", "vit_b_16 is a transformer"),
        ("torchvision/swin_t", "transformer"),
        ("maxvit_t", "hybrid"),
        ("vit_base_patch16_224", "transformer"),
        ("timm/deit_tiny_patch16_224", "transformer"),
        ("vit_base_patch16_224.augreg_in1k", "transformer"),
        ("convit_tiny", "transformer"),
        ("coatnet_0_rw_224", "hybrid"),
        ("edgenext_small", "hybrid"),
        ("halonet26t", "hybrid"),
        ("botnet26t_256", "hybrid"),
        ("lambda_resnet26t", "hybrid"),
        ("caformer_s18", "hybrid"),
        ("fastvit_sa12", "hybrid"),
        ("mobilenetv4_hybrid_medium", "hybrid"),
        ("resnet50_clip.openai", "hybrid"),
        ("mixer_b16_224", "MLP mixer"),
        ("sequencer2d_s", "recurrent"),
    ],
)
def test_others_are_refused_by_name(name, word):
    with pytest.raises(UnsupportedModelError, match=word) as caught:
        models.load_model(name, "random")
    assert "equipoise explains convolutional networks, for example resnet50" in str(caught.value)
    with pytest.raises(UnsupportedModelError, match=word):
        models.build(name)


def test_a_module_newer_than_the_table_is_refused(monkeypatch):
    monkeypatch.setattr(families, "TIMM_MODULES", {})
    with pytest.raises(UnsupportedModelError, match="does not know"):
        models.build("timm/resnet18")
