"""Keyword arguments of a registered name: built with, followed by preprocessing, contradictions refused."""

import pytest
import timm
import torch
import torchvision

from equipoise import models
from equipoise.errors import OptionError, WeightsError
from equipoise.loading import load

NAME = "timm/test_resnet"


def build(**arguments):
    torch.manual_seed(2)
    return timm.create_model("test_resnet", **arguments)


@pytest.mark.parametrize("name", [NAME, "torchvision/resnet18", "torchvision/densenet121", "efficientnet_lite0",
                                  "torchvision/googlenet", "torchvision/squeezenet1_1"])  # fmt: skip
def test_classes_and_channels(name):
    network, spec = models.load_model(name, "random", num_classes=3, in_chans=1)
    assert (len(spec.classes), spec.preprocessing.channels) == (3, 1)
    assert network(torch.rand(1, 1, 96, 96)).shape == (1, 3)
    known = models.load_model(name, "random")[1].preprocessing
    assert spec.preprocessing.mean == pytest.approx((sum(known.mean) / 3,))


def test_arguments_of_the_constructor():
    network, _ = models.load_model(NAME, "random", drop_rate=0.25, global_pool="max")
    assert network.drop_rate == 0.25
    right = build(drop_rate=0.25, global_pool="max").eval()
    right.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(network(image), right(image))
    assert models.load_model("torchvision/mobilenet_v2", "random", width_mult=0.35)[0].last_channel == 1280


@pytest.mark.parametrize("name", [NAME, "torchvision/mobilenet_v3_small", "efficientnet_lite0"])
def test_the_file_says_how_many_classes_and_channels(tmp_path, name):
    source, _ = models.load_model(name, "random", num_classes=7, in_chans=4)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    for said in ({}, {"in_chans": 4}, {"num_classes": 7, "in_chans": 4}):
        network, spec = models.load_model(name, tmp_path / "w.pth", **said)
        assert (spec.outputs, spec.preprocessing.channels) == (7, 4)
        image = torch.rand(1, 4, 96, 96)
        torch.testing.assert_close(network(image), source(image))
    with pytest.raises(WeightsError, match=r"w\.pth has 4 input channels, and in_chans = 3 was said"):
        models.load_model(name, tmp_path / "w.pth", in_chans=3)
    with pytest.raises(WeightsError, match=r"w\.pth has 7 classes, and num_classes = 9 was said"):
        models.load_model(name, tmp_path / "w.pth", num_classes=9)


def test_channels_of_torchvision_as_changed_by_hand(tmp_path):
    torch.manual_seed(1)
    mine = torchvision.models.resnet18(num_classes=2)
    mine.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    torch.save(mine.state_dict(), tmp_path / "w.pth")
    found = load("torchvision/resnet18", weights=tmp_path / "w.pth")
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(found.module(image), mine.eval()(image))
    assert "in gray" in found.assumed["preprocessing"]
    assert "--size, --mean and --std, or a description" in found.assumed["preprocessing"]


@pytest.mark.parametrize(("arguments", "words"), [
    ({"drop_rat": 0.1}, "timm/test_resnet takes no argument 'drop_rat'; did you mean 'drop_rate'?"),
    ({"zzz": 1}, "takes no argument 'zzz'; it takes num_classes, in_chans, "),
    ({"num_class": 1}, "did you mean 'num_classes'?"),
    ({"checkpoint_path": "x"}, "takes no argument 'checkpoint_path'"),
    ({"pretrained": True}, "takes no argument 'pretrained'"),
    ({"num_classes": 0}, "num_classes is 0; it has to be a positive whole number"),
    ({"in_chans": 2.5}, "in_chans is 2.5"),
    ({"num_classes": True}, "num_classes is True"),
    ({"global_pool": "none such"}, "timm/test_resnet cannot be built with global_pool='none such'"),
])  # fmt: skip
def test_what_cannot_be_said_is_one_sentence(arguments, words):
    with pytest.raises(OptionError) as caught:
        models.load_model(NAME, "random", **arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arguments_that_another_constructor_would_swallow():
    with pytest.raises(OptionError, match="takes no argument 'dropuot'; did you mean 'dropout'"):
        models.load_model("torchvision/mobilenet_v3_small", "random", dropuot=0.1)
    with pytest.raises(OptionError, match="cannot be built with"):
        models.load_model("timm/test_byobnet", "random", dropuot=0.1)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"num_classes": 5}, "have 1000 classes, not 5; give weights of your own"),
    ({"in_chans": 1}, "have 3 channels, not 1; give weights of your own"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["torchvision/resnet18", "efficientnet_lite0"])
def test_pretrained_weights_of_other_shapes_are_refused(name, arguments, words):
    with pytest.raises(OptionError, match=words):
        models.load_model(name, **arguments)


def test_pretrained_weights_with_arguments():
    plain, other = (models.load_model("efficientnet_lite0", **said)[0] for said in ({}, {"drop_rate": 0.5}))
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(plain(image), other(image))
    assert other.drop_rate == 0.5


def test_timm_adapts_its_pretrained_weights(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    source = build()
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("equipoise.models.from_timm.fetch_hub", lambda *_, **__: tmp_path / "model.safetensors")
    found = load(NAME, arguments={"in_chans": 1, "num_classes": 5})
    torch.testing.assert_close(found.module.conv1[0].weight, source.conv1[0].weight.sum(1, keepdim=True))
    assert found.spec.outputs == 5
    assert "the classifier of the 5 classes is not pretrained: it is random" in found.assumed["weights"]
    assert set(found.assumed) == {"weights", "preprocessing", "classes"}
    again = load(NAME, arguments={"in_chans": 1, "num_classes": 5})
    assert torch.equal(found.module.fc.weight, again.module.fc.weight)
