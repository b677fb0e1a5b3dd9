"""The networks of ``examples``: decoded as their manifests say, and right about most photos."""

import hashlib
import importlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.datasets import open_dataset
from equipoise.errors import WeightsError

FOLDERS = {
    "resnet50": "resnet50_pqf",
    "resnet18": "resnet18_pqf",
    "mobilenet_v2": "mobilenet_v2_coral",
    "vgg16": "vgg16_distilled",
    "squeezenet": "squeezenet10_deep_compression",
}
PHOTOS = 24


@pytest.fixture(scope="module", autouse=True)
def _importable(pytestconfig):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(pytestconfig.rootpath))
        yield


@pytest.fixture(scope="module", params=FOLDERS)
def built(request, data):
    folder = data / "extra" / FOLDERS[request.param]
    if not folder.is_dir():
        pytest.skip(f"no weights of {request.param}")
    return folder, *importlib.import_module(f"examples.{request.param}").build()


def few_photos():
    """The same ones always, spread over the classes."""
    samples = [sample for sample in open_dataset("imagenet") if sample.categories]
    return samples[:: len(samples) // PHOTOS][:PHOTOS]


@pytest.mark.data
def test_most_photos_get_their_class(built):
    _, network, spec = built
    photos = few_photos()
    with torch.no_grad():
        scores = network(torch.stack([spec.preprocess(photo.image()) for photo in photos]))
    right = [top == photo.categories[0] for top, photo in zip(scores.argmax(1).tolist(), photos, strict=True)]
    assert 0.5 < np.mean(right) < 1
    assert not any(module.training for module in network.modules())
    assert scores.shape[1] == len(spec.classes) == 1000
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


@pytest.mark.data
def test_weights_are_those_of_the_file(built):
    """Every codebook entry at its place, every other array as it is; only SqueezeNet's first layer is turned."""
    folder, network, spec = built
    state, (file,) = network.state_dict(), [
        path for path in folder.glob("*.npz") if hashlib.sha256(path.read_bytes()).hexdigest() == spec.weights_checksum
    ]  # fmt: skip
    assert spec.weights_checksum in (folder / "manifest.json").read_text()
    with np.load(file) as arrays:
        for name in arrays.files:
            layer, _, kind = name.rpartition(".")
            if kind == "codes":
                rows = state[f"{layer}.weight"].reshape(-1, arrays[f"{layer}.codebook"].shape[1])
                wanted = [arrays[f"{layer}.codebook"][code] for code in arrays[name].flatten()[::97]]
                assert np.array_equal(rows[::97].numpy(), np.array(wanted, dtype=np.float32))
            elif kind != "codebook" and name != "features.0.weight":
                assert np.array_equal(state[name].numpy(), arrays[name].astype(np.float32))


def packed(folder, **arrays):
    """A folder of ``extra`` with one file, and a manifest that knows it."""
    place = folder / "extra" / "net"
    place.mkdir(parents=True)
    np.savez(place / "w.npz", **arrays)
    digest = hashlib.sha256((place / "w.npz").read_bytes()).hexdigest()
    (place / "manifest.json").write_text(json.dumps({"sha256": digest}))
    return place


def net():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2, eps=1e-3))


PLAIN = {"0.bias": np.zeros(2), "1.weight": np.ones(2), "1.bias": np.zeros(2)}


def test_codebooks_and_folded_norms_are_decoded(tmp_path, monkeypatch):
    from examples.packed import decode, unpacked

    codes, book = np.array([[1, 0, 1], [0, 0, 1]], dtype=np.uint8), np.array([[0.5], [-2.0]], dtype=np.float16)
    packed(tmp_path, **{"0.codes": codes, "0.codebook": book}, **PLAIN)
    monkeypatch.setenv("EQUIPOISE_DATA", str(tmp_path))
    arrays, digest = unpacked("net", "w.npz")
    network = decode(net(), arrays)
    assert network[0].weight.flatten().tolist() == [-2, 0.5, -2, 0.5, 0.5, -2]
    x = torch.randn(2, 3, 4, 4)
    assert torch.allclose(network(x), network[0](x), atol=1e-6)  # the norm changes nothing
    assert len(digest) == 64


def test_a_file_that_is_not_the_manifests_is_refused(tmp_path, monkeypatch):
    from examples.packed import unpacked

    place = packed(tmp_path, a=np.zeros(1))
    monkeypatch.setenv("EQUIPOISE_DATA", str(tmp_path))
    np.savez(place / "w.npz", a=np.ones(1))
    with pytest.raises(WeightsError, match="its manifest says"):
        unpacked("net", "w.npz")
    with pytest.raises(WeightsError, match=r"there is no .*other\.npz"):
        unpacked("net", "other.npz")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (PLAIN, r"no 0\.weight"),
        ({**PLAIN, "0.weight": np.zeros(5)}, r"5 numbers, the network wants \(2, 3, 1, 1\)"),
        ({**PLAIN, "0.weight": np.zeros(6), "9.weight": np.zeros(1)}, r"no place for 9\.weight"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, said):
    from examples.packed import decode

    with pytest.raises(WeightsError, match=said):
        decode(net(), arrays)
