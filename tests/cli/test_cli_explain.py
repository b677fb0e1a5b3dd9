"""``equipoise explain``: what it writes, prints and refuses."""

import json

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from collector import Hoarding, no_collector
from equipoise.plot.words import NARROWEST

KINDS = (".overlay.png", ".heatmap.png", ".safetensors", ".json")
METHOD = ("--method", "share")


def one_line(stderr):
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")
    assert "Traceback" not in stderr
    return stderr


def test_one_photo(equipoise, photo, tmp_path):
    photo()
    status, out, err = equipoise("explain", "cat.png", *METHOD)
    assert (status, err) == (0, "")
    names = {path.name for path in (tmp_path / "equipoise-out").iterdir()}
    assert names == {f"cat.share.1-egyptian_cat{kind}" for kind in KINDS}
    assert "Egyptian cat (1)" in out
    assert "equipoise-out/cat.share.1-egyptian_cat.overlay.png" in out
    assert "note: explained [[1]]" in out
    stem = tmp_path / "equipoise-out" / "cat.share.1-egyptian_cat"
    with Image.open(f"{stem}.overlay.png") as overlay, Image.open(f"{stem}.heatmap.png") as heatmap:
        assert overlay.width == heatmap.width == NARROWEST  # words need room
        assert overlay.height - heatmap.height == 40 - 32
    with safe_open(f"{stem}.safetensors", "pt") as file:
        tensor = file.get_tensor("attribution")
        metadata = json.loads(file.metadata()["record"])
    assert (tensor.shape, tensor.dtype) == ((3, 32, 32), torch.float32)
    record = json.loads((tmp_path / f"{stem}.json").read_text())
    assert record["files"] == {
        "overlay": f"{stem.name}.overlay.png",
        "heatmap": f"{stem.name}.heatmap.png",
        "attribution": f"{stem.name}.safetensors",
        "record": f"{stem.name}.json",
    }
    assert metadata == {key: value for key, value in record.items() if key != "files"}
    assert record["attribution"]["sum"] == pytest.approx(tensor.double().sum().item(), abs=1e-6)


def test_methods_by_targets_and_a_montage(equipoise, photo, tmp_path):
    photo()
    status, out, err = equipoise("explain", "cat.png", "--method", "share,coarse", "--target", "top2,red thing")
    assert (status, err) == (0, "")
    names = sorted(path.name for path in (tmp_path / "equipoise-out").iterdir())
    assert len(names) == 2 * 3 * 4 + 1
    assert "cat.montage.png" in names
    assert "cat.coarse.0-red_thing.json" in names
    assert "cat.montage.png" in out
    with Image.open(tmp_path / "equipoise-out" / "cat.montage.png") as montage:
        assert montage.width > 3 * 480  # photo and two methods
        assert montage.height > 3 * 240  # three targets


def test_all_methods(equipoise, photo, tmp_path):
    photo()
    assert equipoise("explain", "cat.png", "--method", "all", "--output", "o")[0] == 0
    assert {path.name.split(".")[1] for path in (tmp_path / "o").glob("*.json")} == {"share", "coarse"}


@pytest.mark.parametrize(
    ("arguments", "indices"),
    [
        (["tabby, tabby cat"], [3]),
        (["tabby cat, cat"], [3]),  # "cat" alone is two classes
        (["tabby, tabby cat,Egyptian cat"], [3, 1]),
        (["0", "tiger cat"], [0, 2]),
        (["2,1,2,top"], [2, 1]),
        (["top3"], [1, 2, 3]),
    ],
)
def test_targets(equipoise, photo, arguments, indices):
    photo()
    flags = [flag for argument in arguments for flag in ("--target", argument)]
    status, out, err = equipoise("explain", "cat.png", *METHOD, "--json", *flags)
    assert (status, err) == (0, "")
    assert [entry["target"]["index"] for entry in json.loads(out)["explanations"]] == indices


def test_json_lines(equipoise, photo):
    photo("in/a.png")
    photo("in/b.png")
    status, out, err = equipoise("explain", "in", *METHOD, "--json", "--gamma", "1.5", "--option", "terms=C, U")
    assert (status, err) == (0, "")
    documents = [json.loads(line) for line in out.splitlines()]
    assert [document["image"]["path"] for document in documents] == ["in/a.png", "in/b.png"]
    (entry,) = documents[0]["explanations"]
    assert entry["method"]["options"]["gamma"] == 1.5
    assert entry["method"]["options"]["terms"] == ["C", "U"]
    assert entry["files"]["overlay"] == "equipoise-out/a.share.1-egyptian_cat.overlay.png"
    assert documents[0]["montage"] is None


def test_an_option_goes_to_the_methods_that_take_it(equipoise, photo):
    photo()
    flags = ("--gamma", "1.25", "--option", "power=2", "--option", "profile=reference")
    status, out, _ = equipoise("explain", "cat.png", "--method", "all", "--json", *flags)
    assert status == 0
    share, coarse = (entry["method"]["options"] for entry in json.loads(out)["explanations"])
    assert (share["gamma"], share["profile"]) == (1.25, "reference")
    assert coarse == {"power": 2}


def test_same_names_do_not_overwrite(equipoise, photo, tmp_path):
    photo("a/cat.png")
    photo("b/cat.png")
    photo("b/CAT.jpg")
    photo("b/dog.png")
    status, _, _ = equipoise("explain", "a/cat.png", "b", "a/../a/cat.png", *METHOD)
    assert status == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "equipoise-out").glob("*.json")]
    assert {record["image"]["path"] for record in records} == {"a/cat.png", "b/cat.png", "b/CAT.jpg", "b/dog.png"}
    assert len({record["files"]["overlay"].casefold() for record in records}) == 4
    first = {path.name for path in (tmp_path / "equipoise-out").iterdir()}
    equipoise("explain", "a/cat.png", "b", *METHOD)  # again: the same names, nothing beside them
    assert {path.name for path in (tmp_path / "equipoise-out").iterdir()} == first


def test_long_and_odd_names(equipoise, photo, tmp_path):
    photo("é" * 120 + ".png")
    photo("a\nb [bold].png")
    assert equipoise("explain", ".", *METHOD)[0] == 0
    assert len(list((tmp_path / "equipoise-out").glob("*.json"))) == 2


def test_folders(equipoise, photo, fakes):
    photo("in/sub/deep.png")
    status, out, err = equipoise("explain", "in", *METHOD)
    assert (status, out) == (2, "")
    assert "--recursive" in one_line(err)
    assert fakes == []  # nothing to explain: no network was loaded
    status, out, _ = equipoise("explain", "in", "--recursive", *METHOD)
    assert status == 0
    assert "in/sub/deep.png" in out


def test_a_run_does_not_explain_its_own_pictures(equipoise, photo, tmp_path):
    photo()
    for _ in range(2):
        status, out, _ = equipoise("explain", ".", "--method", "all", "--recursive")
        assert status == 0
        assert "1 photo explained" in out
    status, out, _ = equipoise("explain", "equipoise-out/cat.montage.png", *METHOD)  # unless it is asked for
    assert "1 photo explained" in out


def test_bad_files_among_good_ones(equipoise, photo, tmp_path):
    photo("in/good.png")
    photo("in/also.png")
    (tmp_path / "in/broken.png").write_bytes(photo("x.png").read_bytes()[:60])
    (tmp_path / "in/empty.jpg").write_bytes(b"")
    (tmp_path / "in/text.gif").write_text("hello")
    status, out, err = equipoise("explain", "in", "missing.png", *METHOD, "--json")
    assert status == 2
    assert [json.loads(line)["image"]["path"] for line in out.splitlines()] == ["in/also.png", "in/good.png"]
    lines = err.splitlines()
    assert len(lines) == 4
    for name in ("missing.png", "broken.png", "empty.jpg", "text.gif"):
        assert sum(name in line for line in lines) == 1
    assert len(list((tmp_path / "equipoise-out").glob("*.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "shar"], "no method is called 'shar'; did you mean share"),
        (["--method", ","], "names no method"),
        ([*METHOD, "--gamma", "2.5"], "between 1 and 2"),
        ([*METHOD, "--gamma", "nan"], "between 1 and 2"),
        ([*METHOD, "--gamma", "x"], "--gamma"),
        (["--method", "coarse", "--gamma", "1.5"], "no option 'gamma'"),
        ([*METHOD, "--option", "gama=1"], "did you mean 'gamma'"),
        ([*METHOD, "--option", "gamma"], "key=value"),
        ([*METHOD, "--device", "quantum"], "quantum"),
        ([*METHOD, "--device", "meta"], "not available"),
        ([*METHOD, "--output", "cat.png"], "not a folder"),
        ([*METHOD, "--output", "cat.png/deeper"], "not a folder"),
        ([*METHOD, "--outputs", "x"], "--outputs"),
        (["missing.png", "--nothing"], "--nothing"),
    ],
)
def test_bad_arguments_before_any_network_is_loaded(equipoise, photo, fakes, tmp_path, arguments, words):
    photo()
    status, out, err = equipoise("explain", "cat.png", *arguments)
    assert (status, out) == (2, "")
    assert words in one_line(err)
    assert fakes == []
    assert not (tmp_path / "equipoise-out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "4"], "0 to 3"),
        (["--target", "-1"], "no class"),
        (["--target", "top5"], "asks for 5 classes"),
        (["--target", "Egyptain cat"], "Egyptian cat"),
        (["--target", "tabby,dragon"], "dragon"),
        (["--target", ","], "names no class"),
        (["--layer", "feature"], "did you mean features?"),
    ],
)
def test_bad_arguments_before_any_photo_is_read(equipoise, photo, monkeypatch, tmp_path, arguments, words):
    from equipoise.cli import together

    photo()
    monkeypatch.setattr(together.Photo, "read", lambda *_: pytest.fail("a photo was read"))
    status, out, err = equipoise("explain", "cat.png", *METHOD, *arguments)
    assert (status, out) == (2, "")
    assert words in one_line(err)
    assert not (tmp_path / "equipoise-out").exists()


def test_a_method_that_cannot_is_left_out(equipoise, photo, monkeypatch):
    import fake_net

    from equipoise.errors import UnsupportedOperationError

    def refuse(*given):
        raise UnsupportedOperationError("no rule for\nroll")

    monkeypatch.setattr(fake_net.CoarseMap, "attribute", refuse)
    photo("in/a.png")
    photo("in/b.png")
    status, out, err = equipoise("explain", "in", "--method", "share,coarse", "--json")
    assert status == 2
    assert "coarse is left out: no rule for" in one_line(err)  # said once, not for each photo
    assert [len(json.loads(line)["explanations"]) for line in out.splitlines()] == [1, 1]
    status, out, err = equipoise("explain", "in", "--method", "coarse")
    assert (status, out) == (2, "")
    assert "no rule for roll" in one_line(err)


def test_a_full_disk_is_one_line(equipoise, photo, monkeypatch):
    import os

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    photo()
    status, _, err = equipoise("explain", "cat.png", *METHOD)
    assert status == 2
    assert "No space left" in one_line(err)


def test_no_memory_for_one_photo(equipoise, photo, monkeypatch):
    import fake_net

    def attribute(self, inputs, target=None):
        if inputs[0, 0, 0, 0] < 0.5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return inputs[:, None]

    monkeypatch.setattr(fake_net.InputTimesWeight, "attribute", attribute)
    photo("in/a.png")
    Image.new("RGB", (40, 40)).save("in/b.png")
    status, out, err = equipoise("explain", "in", *METHOD)
    assert status == 2
    assert "b.png: there is not enough memory" in one_line(err)
    assert "1 photo explained" in out


def test_what_is_left_over_of_one_photo_costs_no_other(equipoise, photo, monkeypatch):
    import fake_net

    hoarding = Hoarding()
    monkeypatch.setattr(
        fake_net.InputTimesWeight,
        "attribute",
        lambda _self, inputs, target=None: hoarding(None, inputs, target).expand_as(inputs)[:, None],
    )
    for name in ("in/a.png", "in/b.png", "in/c.png"):
        photo(name)
    with no_collector():
        status, out, err = equipoise("explain", "in", *METHOD, "--json")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 3


def test_arguments_reach_the_model(equipoise, photo, fakes):
    photo()
    flags = ("--model", "any", "--weights", "w.pt", "--device", "cpu", "--layer", "features")
    assert equipoise("explain", "cat.png", *METHOD, *flags)[0] == 0
    assert fakes == [("any", "w.pt", "cpu")]
