"""Published weights: found where the hubs keep them, fetched when there is a network, explained when not."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from email.message import Message

import huggingface_hub
import pytest
import torch
import torchvision
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import save_file

from equipoise import models
from equipoise.errors import WeightsError
from equipoise.models import downloads


@pytest.fixture(autouse=True)
def hub(monkeypatch, tmp_path):
    """An empty torch hub; nothing in the Hugging Face cache; no network."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", FakeHub({}))
    real = urllib.request.urlopen

    def urlopen(request, *args, **kwargs):
        url = request if isinstance(request, str) else request.full_url
        if url.startswith("file:"):
            return real(request, *args, **kwargs)
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(torch.hub, "urlopen", urlopen)
    return tmp_path / "hub" / "checkpoints"


class FakeHub:
    """Stands for `huggingface_hub.hf_hub_download`; ``files`` maps names to paths."""

    def __init__(self, files, *, cached=()):
        self.files, self.cached, self.calls = files, cached, []

    def __call__(self, repo_id, file, *, revision, local_files_only, etag_timeout):
        self.calls.append((repo_id, file, revision, local_files_only))
        assert etag_timeout <= 10
        if local_files_only and file not in self.cached:
            raise LocalEntryNotFoundError("not in the cache")
        if file not in self.files:
            raise EntryNotFoundError("no such file")
        return str(self.files[file])


def answer(monkeypatch):
    """Let every server answer, though with an error, as one does that dislikes HEAD."""

    def urlopen(request, *args, **kwargs):
        raise urllib.error.HTTPError(request.full_url, 405, "no", Message(), None)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "resnet50",
            [
                "resnet50-11ad3fa6.pth",
                "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
                "checkpoints",
            ],
        ),
        (
            "timm/resnet10t.c3_in1k",
            ["model.safetensors", "timm/resnet10t.c3_in1k", "https://huggingface.co/"],
        ),
        ("legacy_senet154", ["legacy_senet154-e9eb9fe6.pth", "https://github.com/", "checkpoints"]),
    ],
)
def test_without_a_network_one_sentence_within_seconds(name, parts, capfd, caplog):
    before, start = dict(os.environ), time.monotonic()
    with caplog.at_level(logging.INFO), pytest.raises(WeightsError) as caught:
        models.load_model(name)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert "\n" not in message
    for part in [*parts, "cannot be reached (Name or service not known)", "--weights FILE", "weights="]:
        assert part in message
    assert message.endswith("or use efficientnet_lite0, which works offline")
    assert dict(os.environ) == before
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_server_that_never_answers(monkeypatch):
    release = threading.Event()

    def hang():
        release.wait(10)
        raise OSError("too late")

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: hang())
    monkeypatch.setattr(downloads, "PATIENCE", 0.2)
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"cannot be reached \(no answer in 0.2 s\)"):
        models.load_model("resnet18")
    assert time.monotonic() - start < 3
    release.set()


def test_patience_is_less_than_ten_seconds():
    assert 1 <= downloads.PATIENCE < 10


def publish(folder, content=b"weights", digits=None):
    digits = digits or hashlib.sha256(content).hexdigest()[:8]
    folder.mkdir(exist_ok=True)
    file = folder / f"net-{digits}.pth"
    file.write_bytes(content)
    return file.as_uri(), file.name


def test_a_file_is_downloaded_once(tmp_path, hub):
    url, name = publish(tmp_path / "server")
    assert downloads.fetch_url(url, name="net") == hub / name
    assert (hub / name).read_bytes() == b"weights"
    (tmp_path / "server" / name).unlink()
    assert downloads.fetch_url(url, name="net") == hub / name


def test_a_file_of_another_checksum_is_not_kept(tmp_path, hub):
    url, _ = publish(tmp_path / "server", digits="0123abcd")
    with pytest.raises(WeightsError, match=r"and the download failed .*hash"):
        downloads.fetch_url(url, name="net")
    assert list(hub.iterdir()) == []


def test_a_missing_file_on_the_server(tmp_path):
    with pytest.raises(WeightsError, match=r"net needs the weights file gone\.pth from file:"):
        downloads.fetch_url((tmp_path / "gone.pth").as_uri(), name="net")


def test_torchvision_reads_the_file_put_into_the_folder_of_checkpoints(hub):
    hub.mkdir(parents=True)
    source = models.build("squeezenet1_1")
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    file = hub / weights.url.rpartition("/")[2]
    torch.save(source.state_dict(), file)
    network, spec = models.load_model("squeezenet1_1")
    assert torch.equal(network.classifier[1].weight, source.classifier[1].weight)
    assert not network.training
    assert (spec.name, spec.weights) == ("torchvision/squeezenet1_1.IMAGENET1K_V1", "IMAGENET1K_V1")
    assert spec.weights_checksum == hashlib.sha256(file.read_bytes()).hexdigest()
    assert spec.classes[281] == "tabby"


def test_torchvision_names_a_damaged_file(hub):
    hub.mkdir(parents=True)
    file = hub / torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    file.write_bytes(b"half a file")
    with pytest.raises(WeightsError, match=file.name):
        models.load_model("squeezenet1_1")


@pytest.fixture
def safetensors(tmp_path):
    source = models.build("timm/test_resnet")
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    return source, tmp_path / "model.safetensors"


def test_timm_reads_the_cache_of_the_hub(monkeypatch, safetensors):
    source, file = safetensors
    fake = FakeHub({"model.safetensors": file}, cached=("model.safetensors",))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    network, spec = models.load_model("timm/test_resnet")
    assert torch.equal(network.fc.weight, source.fc.weight)
    assert not network.training
    assert (spec.name, spec.weights) == ("timm/test_resnet.r160_in1k", "r160_in1k")
    assert spec.weights_checksum == hashlib.sha256(file.read_bytes()).hexdigest()
    assert spec.license == "apache-2.0"
    assert fake.calls == [("timm/test_resnet.r160_in1k", "model.safetensors", None, True)]


def test_timm_downloads_when_the_hub_answers(monkeypatch, safetensors):
    source, file = safetensors
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", FakeHub({"model.safetensors": file}))
    answer(monkeypatch)
    assert torch.equal(models.load_model("timm/test_resnet")[0].fc.weight, source.fc.weight)


def test_the_older_file_of_a_hub_repository(monkeypatch, tmp_path):
    source, file = models.build("timm/test_resnet"), tmp_path / "pytorch_model.bin"
    torch.save(source.state_dict(), file)
    fake = FakeHub({"pytorch_model.bin": file})
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    answer(monkeypatch)
    assert torch.equal(models.load_model("timm/test_resnet")[0].fc.weight, source.fc.weight)
    assert [call[1:] for call in fake.calls][-2:] == [
        ("model.safetensors", None, False),
        ("pytorch_model.bin", None, False),
    ]


def test_a_revision_of_a_hub_repository(monkeypatch, tmp_path):
    fake = FakeHub({"x.bin": tmp_path / "x.bin"}, cached=("x.bin",))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    assert downloads.fetch_hub("a/b@v2", "x.bin", name="net") == tmp_path / "x.bin"
    assert fake.calls == [("a/b", "x.bin", "v2", True)]


def test_an_empty_hub_repository(monkeypatch):
    answer(monkeypatch)
    with pytest.raises(WeightsError, match=r"and the download failed \(no such file\)"):
        downloads.fetch_hub("a/b", None, name="net")


def test_the_wish_to_stay_offline_is_kept(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        downloads.fetch_hub("a/b", None, name="net")


def test_the_hub_out_of_reach_is_said_before_its_client_is_asked(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    start = time.monotonic()
    with pytest.raises(
        WeightsError, match=r"hf:a/b is on the Hugging Face hub, which cannot be reached \(Name or serv"
    ):
        downloads.hub_answers("a/b", name="hf:a/b")
    assert time.monotonic() - start < 3
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "config.json")
    assert downloads.hub_answers("a/b", name="hf:a/b") is False
    answer(monkeypatch)
    assert downloads.hub_answers("a/b", name="hf:a/b") is True
    with pytest.raises(WeightsError, match="hf:a b: a b is no folder here and no name on the Hugging Face hub"):
        downloads.hub_answers("a b", name="hf:a b")


def test_timm_names_a_file_that_does_not_fit(monkeypatch, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    fake = FakeHub({"model.safetensors": tmp_path / "model.safetensors"}, cached=("model.safetensors",))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
    with pytest.raises(WeightsError, match=r"model\.safetensors does not fit timm/test_resnet\.r160_in1k") as caught:
        models.load_model("timm/test_resnet")
    assert "\n" not in str(caught.value)
