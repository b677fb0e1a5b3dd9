"""Classifiers of `transformers`: their processors, names and tasks; small random ones, made here, without a network."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import equipoise
from equipoise.cli import main
from equipoise.errors import DescriptionError, MissingPackageError, OptionError, UnsupportedModelError, WeightsError
from equipoise.loading import load
from equipoise.models.from_huggingface import CNNS
from equipoise.models.hf_preprocessing import PROCESSORS, BytePreprocessing, read_preprocessor
from equipoise.models.own_preprocessing import OwnPreprocessing

transformers = pytest.importorskip("transformers")

NAMES = {0: "ant", 1: "bee", 2: "cat"}
TWO = {"hidden_sizes": [8, 16], "depths": [1, 1]}
SMALL = {
    "bit": ("Bit", {"embedding_size": 32, "hidden_sizes": [128, 128], "depths": [1, 1]}),
    "convnext": ("ConvNext", {**TWO, "num_stages": 2}),
    "convnextv2": ("ConvNextV2", {**TWO, "num_stages": 2}),
    "efficientnet": ("EfficientNet", {"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320}),
    "focalnet": ("FocalNet", {**TWO, "embed_dim": 8, "focal_levels": [2, 2], "focal_windows": [3, 3],
                              "image_size": 64}),
    "hgnet_v2": ("HGNetV2", {}),
    "mobilenet_v1": ("MobileNetV1", {"depth_multiplier": 0.25}),
    "mobilenet_v2": ("MobileNetV2", {"depth_multiplier": 0.25}),
    "poolformer": ("PoolFormer", {**TWO, "num_encoder_blocks": 2, "patch_sizes": [7, 3], "strides": [4, 2],
                                  "padding": [2, 1]}),
    "regnet": ("RegNet", {**TWO, "embedding_size": 8, "groups_width": 8}),
    "resnet": ("ResNet", {**TWO, "embedding_size": 8, "layer_type": "basic"}),
}  # fmt: skip


def made(kind="resnet", **config):
    torch.manual_seed(4)
    name, options = SMALL[kind]
    said = {"id2label": NAMES, **options, **config}
    network = getattr(transformers, f"{name}ForImageClassification")(getattr(transformers, f"{name}Config")(**said))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture
def folder(tmp_path):
    """A function that saves a network and its processor in a folder."""

    def saved(network, processor=None):
        network.save_pretrained(tmp_path / "hf")
        if processor is not None:
            processor.save_pretrained(tmp_path / "hf")
        return f"hf:{tmp_path / 'hf'}"

    return saved


def photo(width=110, height=83):
    torch.manual_seed(9)
    pixels = nn.functional.interpolate(torch.rand(1, 3, 9, 12) * 255, size=(height, width), mode="bicubic")
    return Image.fromarray(pixels.clamp(0, 255)[0].byte().permute(1, 2, 0).numpy())


def test_every_kind_has_a_small_one():
    assert set(SMALL) == CNNS


@pytest.mark.parametrize("kind", SMALL)
def test_scores_and_maps(folder, kind):
    network = made(kind)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 64})
    found = equipoise.explain(photo(), folder(network, processor), "ae", "bee")
    inputs = processor(photo(), return_tensors="pt")["pixel_values"]
    assert found.notes == () or all("image 0" in note for note in found.notes)
    assert found.target.logit == pytest.approx(network(inputs).logits[0, 1].item(), abs=1e-5)
    bounds = BytePreprocessing(mean=(0.5,) * 3, std=(0.5,) * 3).bounds()
    right = equipoise.attribute(network, inputs, 1, output="logits", input_bounds=bounds)[0]
    torch.testing.assert_close(found.attribution, right, rtol=1e-4, atol=1e-5)


def test_timms_networks(folder):
    import timm

    config = transformers.TimmWrapperConfig(
        architecture="test_resnet", pretrained_cfg=timm.get_pretrained_cfg("test_resnet").to_dict(), id2label=NAMES
    )
    network = transformers.TimmWrapperForImageClassification(config).eval()
    found = load(folder(network))
    assert (found.spec.classes, found.assumed, found.spec.preprocessing.crop) == (("ant", "bee", "cat"), {}, (160, 160))
    name = folder(network)
    path = Path(name.removeprefix("hf:")) / "config.json"
    path.write_text(path.read_text().replace('"test_resnet"', '"vit_tiny_patch16_224"'))
    with pytest.raises(UnsupportedModelError, match="vit_tiny_patch16_224 is a transformer"):
        load(name)


def processor_cases():
    make = transformers
    return [
        make.ConvNextImageProcessor(), make.ConvNextImageProcessor(size={"shortest_edge": 224}),
        make.ConvNextImageProcessor(size=96, crop_pct=0.9, image_mean=[0.485, 0.456, 0.406], image_std=[0.2, 0.3, 0.4]),
        make.EfficientNetImageProcessor(size=64), make.EfficientNetImageProcessor(do_normalize=False, size=50),
        make.EfficientNetImageProcessor(
            size={"height": 70, "width": 90}, rescale_factor=1 / 127.5, rescale_offset=True, include_top=False
        ),
        make.EfficientNetImageProcessor(
            rescale_factor=1 / 127.5, rescale_offset=True, do_center_crop=True, image_std=[0.2, 0.3, 0.4]
        ),
        make.MobileNetV1ImageProcessor(), make.MobileNetV2ImageProcessor(size={"shortest_edge": 100}, crop_size=89),
        make.ViTImageProcessor(), make.ViTImageProcessor(do_rescale=False),
        make.ViTImageProcessor(do_normalize=False, size=50), make.ViTImageProcessor(resample=0),
        make.BitImageProcessor(), make.CLIPImageProcessor(
            size={"shortest_edge": 77}, crop_size={"height": 90, "width": 50}
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("index", range(15))
def test_a_processors_file_says_what_the_processor_does(tmp_path, index):
    processor = processor_cases()[index]
    processor.save_pretrained(tmp_path)
    found = read_preprocessor(tmp_path / "preprocessor_config.json")
    for size in ((500, 375), (375, 500), (64, 64), (301, 223), (40, 150), (223, 225)):
        image = photo(*size)
        right = processor(image, return_tensors="pt")["pixel_values"][0].float()
        torch.testing.assert_close(found(image), right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("older", [
    {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875},
    {"image_processor_type": "ConvNextImageProcessorFast", "size": {"shortest_edge": 224}},
    {"image_processor_type": "ViTImageProcessor", "size": [60, 70]},
])  # fmt: skip
def test_older_files(tmp_path, older):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(older))
    found = read_preprocessor(tmp_path / "preprocessor_config.json")
    right = transformers.AutoImageProcessor.from_pretrained(tmp_path)(photo(), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(found(photo()), right, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("text", "words"), [
    ("[", "is not JSON"), ("[]", "no image processor"), ("{}", "image processor without a name"),
    ('{"image_processor_type": "ViTImageProcesor"}', "the nearest is ViTImageProcessor"),
    ('{"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 7}}', "depends on their shape"),
    ('{"image_processor_type": "ViTImageProcessor", "do_resize": false}', "depends on their shape"),
    ('{"image_processor_type": "ViTImageProcessor", "image_mean": "a"}', "that cannot be"),
    ('{"image_processor_type": "ViTImageProcessor", "rescale_factor": -1}', "that cannot be"),
])  # fmt: skip
def test_files_that_say_no_preprocessing(tmp_path, text, words):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(DescriptionError) as caught:
        read_preprocessor(tmp_path / "p.json")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_description_takes_a_processors_file(tmp_path):
    transformers.ViTImageProcessor(size=48).save_pretrained(tmp_path)
    (tmp_path / "mynet.toml").write_text(
        'architecture = "efficientnet_lite0"\n[preprocessing]\nfrom = "preprocessor_config.json"\nsize = 40\n'
    )
    known = load(str(tmp_path / "mynet.toml")).spec.preprocessing
    assert isinstance(known, BytePreprocessing)
    assert (known.crop, known.mean, known.crop_mode) == ((40, 40), (0.5, 0.5, 0.5), "squash")


def test_a_processor_that_fields_cannot_say_is_used_itself(folder):
    processor = transformers.ViTImageProcessor(size={"shortest_edge": 40})
    found = load(folder(made(), processor))
    assert isinstance(found.spec.preprocessing, OwnPreprocessing)
    right = processor(photo(), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found.prepare(photo()), right)
    assert found.spec.preprocessing.describe()["function"] == "ViTImageProcessor"


def test_without_processor_or_names(folder):
    found = load(folder(made(id2label={index: f"LABEL_{index}" for index in range(4)})))
    assert found.spec.classes == ("class 0", "class 1", "class 2", "class 3")
    assert "preprocessor_config.json" in found.assumed["preprocessing"]
    assert "id2label" in found.assumed["classes"]


@pytest.mark.parametrize(("config", "task", "activation"), [
    ({"problem_type": "multi_label_classification"}, "multi-label", "sigmoid"),
    ({"id2label": {0: "age"}}, "regression", None),
    ({"problem_type": "single_label_classification"}, "classification", "softmax"),
])  # fmt: skip
def test_tasks(folder, config, task, activation):
    network = made(**config)
    spec = load(folder(network, transformers.ViTImageProcessor(size=64))).spec
    bare = load(network)
    assert spec.task == bare.spec.task == task
    assert spec.classes == bare.spec.classes
    scores = torch.tensor([[1.0, -2.0, 0.5]])[:, : spec.outputs]
    found = spec.probabilities(scores)
    right = {"softmax": scores.softmax(-1), "sigmoid": scores.sigmoid(), None: None}[activation]
    assert found is right or torch.equal(found, right)


def test_a_bare_network_has_its_own_names():
    network = made()
    found = equipoise.explain(photo(), network, "gradient", "cat")
    assert {score.name for score in found.scores} == {"ant", "bee", "cat"}
    assert "no preprocessing was given" in found.notes[0]


def test_other_weights(folder, tmp_path):
    name = folder(made(), transformers.ViTImageProcessor(size=64))
    other = made()
    with torch.no_grad():
        other.classifier[1].bias.add_(1)
    torch.save(
        {"state_dict": {f"model.{key}": value for key, value in other.state_dict().items()}}, tmp_path / "w.ckpt"
    )
    module, spec = equipoise.load_model(name, weights=tmp_path / "w.ckpt")
    assert torch.equal(module.classifier[1].bias, other.classifier[1].bias)
    assert spec.weights == str(tmp_path / "w.ckpt")
    with pytest.raises(OptionError, match="takes no arguments"):
        load(name, arguments={"num_classes": 3})


def test_what_is_no_convolutional_classifier(folder, tmp_path):
    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    with pytest.raises(UnsupportedModelError, match=r"ViTForImageClassification, and vit is not known as a conv"):
        load(folder(transformers.ViTForImageClassification(config)))
    torch.manual_seed(0)
    base = transformers.ResNetModel(made().config)
    with pytest.raises(UnsupportedModelError, match="is a ResNetModel, which is no image classifier"):
        load(folder(base))
    lines = json.loads((tmp_path / "hf/config.json").read_text())
    (tmp_path / "hf/config.json").write_text(json.dumps({**lines, "architectures": ["ResNetForImageClassification"]}))
    with pytest.raises(WeightsError, match=r"is incomplete: .* are missing .*classifier\.1\.bias"):
        load(f"hf:{tmp_path / 'hf'}")


@pytest.mark.parametrize(("name", "words"), [
    ("hf:./none", "there is no folder ./none"), ("hf:", "there is no folder without a name"),
    ("hf:.", "no config.json"),
    ("hf:nobody/none-such", "hf:nobody/none-such is on the Hugging Face hub, which cannot be reached"),
    ("hf:no body", "no body is no folder here and no name on the Hugging Face hub"),
])  # fmt: skip
def test_what_is_absent_is_one_line(tmp_path, monkeypatch, capsys, name, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    photo().save("photo.png")
    assert main(["explain", "photo.png", "--model", name]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


@pytest.mark.parametrize("answers", [True, False])
def test_without_the_hub_its_client_reads_what_was_fetched(monkeypatch, answers):
    transformers = pytest.importorskip("transformers")
    asked = []

    def from_pretrained(where, **options):
        asked.append((where, options["local_files_only"]))
        raise OSError("enough")

    monkeypatch.setattr("equipoise.models.from_huggingface.hub_answers", lambda *_, **__: answers)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", from_pretrained)
    with pytest.raises(WeightsError, match="hf:a/b cannot be had: enough"):
        load("hf:a/b")
    assert asked == [("a/b", not answers)]


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackageError, match=r"pip install equipoise\[hf\]"):
        load("hf:anything")


def test_every_processor_is_tried():
    tried = {type(processor).__name__.removesuffix("Fast") for processor in processor_cases()}
    assert {PROCESSORS.canonical(name) for name in tried} == set(PROCESSORS)
