"""A data set in batches gives what single photos give, whoever works; killed, it goes on; bad input is one sentence."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import equipoise
from collector import Hoarding, left_to_the_collector, no_collector
from equipoise.attributions import merge
from equipoise.attributions.reading import Attributions
from equipoise.errors import DataError, LayerError, OptionError, TargetError, UnknownNameError, UnknownOptionError

SAME = ("index", "key", "label", "method", "target", "name", "sha256")
NUMBERS = ("score", "probability", "sum", "positive_sum", "negative_sum", "positive_ratio", "lowest", "highest")


def same_rows(one, other, *, tolerance=1e-5):
    """The same rows in the same order; numbers within a tolerance of their size."""
    one, other = one.table().to_pylist(), other.table().to_pylist()
    assert [[row[key] for key in SAME] for row in one] == [[row[key] for key in SAME] for row in other]
    for a, b in zip(one, other, strict=True):
        for key in NUMBERS:
            assert math.isclose(a[key], b[key], rel_tol=tolerance, abs_tol=tolerance), (key, a, b)


def run(photos, network, output, *, method=("ae", "grad_cam"), target="top2", values="float32", **more):
    """A run of the small network."""
    methods = list(method) if isinstance(method, tuple) else method
    return equipoise.attribute_dataset(photos, network, methods, target, output=output, values=values, **more)


def test_rows_and_maps_are_those_of_single_photos(photos, network, tmp_path):
    found = run(photos, network, tmp_path / "out")
    assert len(found) == 11 * 2 * 2
    model, spec = equipoise.load_model(network)
    for entry in found[::5]:
        one = equipoise.explain(photos / entry.key, (model, spec), entry.method, entry.target)
        torch.testing.assert_close(entry.attribution, one.attribution, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(entry.heatmap, one.heatmap, rtol=1e-4, atol=1e-6)
        assert entry.score == pytest.approx(one.target.logit, abs=1e-5)
        assert entry.probability == pytest.approx(one.target.probability, abs=1e-5)
        assert entry.name == one.target.name
        assert entry.label == entry.key.split("/")[0]
        numbers = one.record["attribution"]
        assert entry.row["sum"] == pytest.approx(numbers["sum"], abs=1e-4)
        assert entry.row["positive_ratio"] == pytest.approx(numbers["positive_ratio"], abs=1e-4)
        assert entry.row["sha256"] == one.record["image"]["sha256"]


@pytest.mark.parametrize("batch", [1, 4, "auto"])
def test_the_batch_changes_nothing(photos, network, tmp_path, batch):
    same_rows(run(photos, network, tmp_path / "one", batch=3), run(photos, network, tmp_path / "two", batch=batch))


def test_methods_of_every_kind_go_together(photos, network, tmp_path):
    methods = ["ae", "lrp_composite", "gradient", "rise", "integrated_gradients", "random"]
    found = run(photos, network, tmp_path / "out", method=methods, target=["bee", 3], limit=3)
    assert [entry.method for entry in found[:12:2]] == methods
    model, spec = equipoise.load_model(network)
    for entry in found[:12]:
        one = equipoise.explain(photos / entry.key, (model, spec), entry.method, entry.target)
        torch.testing.assert_close(entry.attribution, one.attribution, rtol=1e-3, atol=1e-5)


def test_what_a_method_of_one_s_own_raises_costs_the_photo_and_not_the_run(photos, network, tmp_path):
    heads = iter(range(100))

    def touchy(model, inputs, target):  # a method's signature
        if next(heads) % 3 == 1:
            raise ValueError("not this one")
        return inputs

    found = run(photos, network, tmp_path / "out", method=("ae", touchy), target="top", batch=1)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert 0 < len(record["failures"]) < 11
    assert all(one["method"].endswith("touchy") for one in record["failures"])
    assert all("it raised ValueError: not this one" in one["reason"] for one in record["failures"])
    assert len(found) == 22 - len(record["failures"])
    with pytest.raises(OptionError, match="it raised ValueError: not this one"):
        run(photos, network, tmp_path / "strict", method=("ae", touchy), target="top", batch=1, strict=True)


def test_the_label_s_class_is_explained(photos, network, tmp_path):
    Image.new("RGB", (30, 30)).save(photos / "loose.png")
    (photos / "yak").mkdir()
    Image.new("RGB", (30, 30)).save(photos / "yak" / "0.png")
    found = run(photos, network, tmp_path / "out", target="label", keep="sums")
    assert {(entry.label, entry.name) for entry in found} == {("ant", "ant"), ("bee", "bee")}
    reasons = {one["key"]: one["reason"] for one in found.failures}
    assert reasons["loose.png"] == "it has no label"
    assert reasons["yak/0.png"].startswith("its label yak: tiny has no class")


def test_what_is_kept(photos, network, tmp_path):
    sums = run(photos, network, tmp_path / "sums", keep="sums")
    nothing = run(photos, network, tmp_path / "none", keep="none")
    assert not (tmp_path / "sums" / "maps").exists()
    assert sums[0].row["sum"] is not None
    assert nothing[0].row["sum"] is None
    assert nothing[0].score == sums[0].score
    with pytest.raises(DataError, match="holds no maps; they are kept with keep='maps'"):
        _ = sums[0].attribution


def test_a_coarser_precision_gives_nearly_the_same_maps(photos, network, tmp_path):
    exact = run(photos, network, tmp_path / "exact")
    coarse = run(photos, network, tmp_path / "coarse", precision="bfloat16")
    assert not torch.is_autocast_enabled("cpu")
    assert [entry.name for entry in coarse] == [entry.name for entry in exact]
    errors = [float((a.heatmap - b.heatmap).norm() / b.heatmap.norm()) for a, b in zip(coarse, exact, strict=True)]
    assert 0 < sorted(errors)[len(errors) // 2] < 0.1


def test_a_photo_that_cannot_be_read_is_named_and_the_rest_is_done(photos, network, tmp_path):
    (photos / "ant" / "broken.png").write_bytes(b"no image")
    found = run(photos, network, tmp_path / "out")
    assert len(found) == 44
    (failure,) = found.failures
    assert failure["key"] == "ant/broken.png"
    assert "is not an image" in failure["reason"]
    assert json.loads((tmp_path / "out" / "status.json").read_text())["failed"] == 1
    with pytest.raises(OptionError, match="is not an image"):
        run(photos, network, tmp_path / "strict", strict=True)


def test_a_mended_photo_is_done_when_the_run_is_resumed(photos, network, tmp_path):
    good = (photos / "ant" / "04.png").read_bytes()
    (photos / "ant" / "04.png").write_bytes(b"no image")
    assert len(run(photos, network, tmp_path / "out")) == 40
    (photos / "ant" / "04.png").write_bytes(good)
    again = run(photos, network, tmp_path / "out", resume=True)
    assert again.failures == []
    same_rows(again, run(photos, network, tmp_path / "other"))


def test_what_is_left_over_of_one_photo_costs_no_other(photos, network, tmp_path):
    with no_collector():
        found = run(photos, network, tmp_path / "out", method=(Hoarding(),), target="top", batch=1)
    whole = run(photos, network, tmp_path / "all", method="random", target="top")
    assert [entry.key for entry in found] == [entry.key for entry in whole]


def test_a_run_leaves_nothing_to_the_collector(photos, network, tmp_path):
    places = iter("ab")
    assert left_to_the_collector(lambda: run(photos, network, tmp_path / next(places))) == []


def test_a_method_that_cannot_explain_the_network_is_left_out(photos, network, tmp_path):
    from equipoise._references import resolve

    refusing = resolve("tinynet_attributions:refusing")
    found = run(photos, network, tmp_path / "out", method=["ae", refusing])
    assert {entry.method for entry in found} == {"ae"}
    told = {"tinynet_attributions.refusing": "not with this network"}
    assert found.record["left_out"] == told
    again = run(photos, network, tmp_path / "out", method=["ae", refusing], resume=True)  # nothing is left to do
    assert again.record["left_out"] == told
    with pytest.raises(LayerError, match="'head' returns"):
        run(photos, network, tmp_path / "other", method=["ae"], layer="head")


def test_workers_give_the_same_rows(photos, network, tmp_path):
    here = run(photos, network, tmp_path / "here")
    same_rows(here, run(photos, network, tmp_path / "two", workers=2, threads=1))


def test_a_photo_that_kills_its_worker_is_named_and_left_out(photos, network, tmp_path):
    Image.new("RGB", (30, 30), "white").save(photos / "ant" / "white.png")
    method = "tinynet_attributions:deadly"
    from equipoise._references import resolve

    found = run(photos, network, tmp_path / "out", method=[resolve(method)], target="top", workers=2, threads=1)
    assert len(found) == 11
    (failure,) = found.failures
    assert failure["key"] == "ant/white.png"
    assert failure["reason"] == "its worker died of it twice (killed by SIGKILL)"


SCRIPT = """
import sys
import equipoise
if __name__ == "__main__":
    equipoise.attribute_dataset(
        sys.argv[1], "tinynet_attributions:build", "ae", "top2", output=sys.argv[2], values="float32",
        resume=True, batch=1, workers=int(sys.argv[3]) or None,
    )
"""


@pytest.fixture
def many(tmp_path):
    """A folder of 80 photos."""
    folder = tmp_path / "many"
    folder.mkdir()
    dice = np.random.default_rng(1)
    for index in range(80):
        Image.fromarray(dice.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(folder / f"{index:03}.png")
    return folder


def started(photos, output, workers=0):
    """The same run in a process of its own."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(Path.cwd()), *sys.path]), OMP_NUM_THREADS="1")
    command = [sys.executable, "-c", SCRIPT, str(photos), str(output), str(workers)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)  # noqa: S603  # our own


def wait_for_parts(output, process, count=1):
    while process.poll() is None and len(list((output / "rows").glob("[0-9]*.parquet"))) < count:
        time.sleep(0.02)


def test_a_killed_run_goes_on_where_it_was(many, network, tmp_path):
    output = tmp_path / "out"
    process = started(many, output)
    wait_for_parts(output, process)
    process.kill()
    process.wait()
    process.stderr.close()
    done = sum(one.span.stop - one.span.start for one in Attributions(output).parts())
    assert 0 < len(Attributions(output)) == 2 * done  # what is there can be read
    again = run(many, network, output, method="ae", resume=True)
    same_rows(again, run(many, network, tmp_path / "other", method="ae"))
    assert {path.name for path in output.rglob(".*")} == {".lock", ".workers"}  # nothing half written is left


def test_a_signal_ends_a_run_when_what_is_under_way_is_written(many, network, tmp_path):
    output = tmp_path / "out"
    process = started(many, output)
    wait_for_parts(output, process)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate()[1]
    if process.returncode:  # else it had ended before
        assert "photos, which are kept; --resume goes on from there" in said
        assert json.loads((output / "status.json").read_text())["state"] == "stopped"
    same_rows(run(many, network, output, method="ae", resume=True), run(many, network, tmp_path / "other", method="ae"))


def test_shards_are_joined_to_the_run_that_they_are_parts_of(photos, network, tmp_path, monkeypatch):
    whole = run(photos, network, tmp_path / "whole")
    for part in (2, 0):
        run(photos, network, tmp_path / "shards", shard=f"{part}/3")
    with pytest.raises(OptionError, match="shards are missing: 1/3"):
        merge([tmp_path / "shards"], tmp_path / "merged")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "3")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    run(photos, network, tmp_path / "shards", shard="auto")
    merged = merge([tmp_path / "shards"], tmp_path / "merged")
    same_rows(merged, whole)
    for one, other in zip(merged, whole, strict=True):
        torch.testing.assert_close(one.attribution, other.attribution, rtol=1e-4, atol=1e-6)
    run(photos, network, tmp_path / "others", shard="0/2", target="top")
    with pytest.raises(OptionError, match="are shards of different runs"):
        merge([tmp_path / "shards", tmp_path / "others"], tmp_path / "never")


def test_an_address_that_is_no_folder(photos, network, tmp_path):
    found = run(photos, network, "memory://attributions-of-a-test")
    same_rows(equipoise.open_attributions("memory://attributions-of-a-test"), run(photos, network, tmp_path / "out"))
    assert found[3].attribution.shape == (1, 16, 16)


def test_a_folder_of_another_run_is_refused(photos, network, tmp_path):
    run(photos, network, tmp_path / "out", limit=2)
    with pytest.raises(OptionError, match="holds results of this run; --resume goes on with them"):
        run(photos, network, tmp_path / "out", limit=2)
    with pytest.raises(OptionError, match=r"holds another run \(--target differs\); --output names another folder"):
        run(photos, network, tmp_path / "out", limit=2, target="top", resume=True)


def test_two_runs_on_one_folder_are_refused(photos, network, tmp_path):
    from equipoise.attributions.folder import Folder
    from equipoise.attributions.leases import Owner

    folder = Folder.at(tmp_path / "out")
    folder.make()
    with closing(Owner(folder)), pytest.raises(OptionError, match="another run is writing to"):
        run(photos, network, tmp_path / "out")


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ({"method": "grad_cam_"}, UnknownNameError, "grad_cam"),
        ({"gama": 1.5}, UnknownOptionError, "has no option 'gama'"),
        ({"target": "zebra"}, UnknownNameError, "zebra"),
        ({"target": 9}, TargetError, "9"),
        ({"precision": "float8"}, UnknownNameError, "no precision is called 'float8'"),
        ({"keep": "all"}, OptionError, "keep is 'all'; choose from maps, sums, none"),
        ({"values": "int8"}, OptionError, "values is 'int8'"),
        ({"batch": 0}, OptionError, "batch is 0; it has to be at least 1"),
        ({"batch": "many"}, OptionError, 'it has to be a whole number or "auto"'),
        ({"memory": "lots"}, OptionError, "memory is 'lots'; give bytes"),
        ({"workers": 0}, OptionError, "workers is 0"),
        ({"limit": 0}, OptionError, "limit is 0"),
        ({"shard": "3/3"}, OptionError, "--shard is '3/3'; give I/N"),
        ({"shard": "auto"}, OptionError, "--shard auto needs SLURM_ARRAY_TASK_ID"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_any_work(photos, network, tmp_path, monkeypatch, what, kind, said):
    for name in ("SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(kind, match=said):
        run(photos, network, tmp_path / "out", **({"method": "ae"} | what))
    assert not list((tmp_path / "out").glob("rows/*"))


def test_what_cannot_be_sent_is_said(photos, network, tmp_path):
    model, spec = equipoise.load_model(network)
    model.extra = lambda: None
    with pytest.raises(OptionError, match="several workers need what can be sent to another process"):
        run(photos, (model, spec), tmp_path / "out", workers=2)


def test_a_place_without_a_run(tmp_path):
    with pytest.raises(OptionError, match="holds no attributions"):
        equipoise.open_attributions(tmp_path)
