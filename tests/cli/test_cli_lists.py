"""Lists, version, help, samples."""

import fake_net
import pytest
from PIL import Image

from equipoise import __version__ as version
from equipoise import samples


def test_version_and_help(equipoise):
    assert equipoise("--version") == (0, f"equipoise {version}\n", "")
    for arguments in ([], ["--help"], ["explain", "--help"]):
        status, out, err = equipoise(*arguments)
        assert (status, err) == (0, "")
        assert "Usage" in out


@pytest.mark.parametrize("arguments", [["nonsense"], ["list", "photos"], ["explain"], ["list", "layers", "--model"]])
def test_usage_errors_are_one_line(equipoise, arguments):
    status, out, err = equipoise(*arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "--help" in err


def test_methods(equipoise, monkeypatch):
    monkeypatch.setattr(fake_net.CoarseMap, "costly", True, raising=False)
    status, out, err = equipoise("list", "methods")
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["share", "pixel", "signed", "fast", "test", "method"],
        ["coarse", "map", "unsigned", "costly", "test", "map"],
    ]


def test_models(equipoise, monkeypatch):
    from equipoise import models

    names = ["bundled/efficientnet_lite0", "torchvision/vgg16"]
    monkeypatch.setattr(models, "list_models", lambda pattern=None: [n for n in names if (pattern or "") in n])
    assert equipoise("list", "models") == (0, "\n".join(names) + "\n", "")
    assert equipoise("list", "models", "vgg") == (0, "torchvision/vgg16\n", "")
    status, out, err = equipoise("list", "models", "vgg61")
    assert (status, out) == (2, "")
    assert "vgg61" in err


def test_layers(equipoise, fakes):
    status, out, err = equipoise("list", "layers", "--model", "x", "--weights", "w")
    assert (status, err) == (0, "")
    assert fakes == [("x", "w", None)]
    assert out.split() == ["features", "Conv2d", "4", "x", "32", "x", "32", "default"]


def test_samples(tmp_path, capsys):
    assert samples.main([str(tmp_path / "photos")]) == 0
    paths = capsys.readouterr().out.splitlines()
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            image.load()
            sizes.append(image.size)
    assert sizes == [(451, 300), (600, 400), (512, 600)]


def test_samples_that_are_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(samples, "SAMPLES", {"x.png": ("no_such_package", "x.png")})
    assert samples.main([str(tmp_path)]) == 2
    assert "equipoise[demo]" in capsys.readouterr().err
    assert samples.main([]) == 2
    (tmp_path / "file").write_text("")
    assert samples.main([str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 2
