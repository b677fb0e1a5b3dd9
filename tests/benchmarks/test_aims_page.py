"""docs/benchmarks.md is what the results say, losses and gaps among it."""

import json

import aims
import pytest
import render


def spread(median):
    return {"median": median, "quartiles": [median - 0.1, median + 0.1], "runs": 7}


MACHINE = {"cpu": "A chip", "cores": 2, "torch threads": 2, "python": "3.11.7", "versions": {"torch": "2.14.1"}}
TAKEN = {
    "machine": MACHINE, "size": 224, "seed": 0, "rounds": 7,
    "measured": {"a": {"load": [0.5, 1.5], "commit": "abc"}, "b": {"load": [0.2, 1.2], "commit": "def"}},
}  # fmt: skip


def subject(units):
    return {"units": spread(units), "seconds": spread(1.0)}


def cost(units, last, further, peak):
    where = {"share_of_weights": 0.8, "operations": [{"name": "aten::mm", "share": 0.5}], "convolution_calls": 9}
    case = {
        "captum LRP": {"fails": "TypeError: no rule"}, "gradient": subject(1.0), "ae": subject(units),
        "further_class": spread(further), "ae_to_channels_last": spread(last), "where": where,
    }  # fmt: skip
    memory = {"gradient": spread(100), "ae": spread(peak)}
    return TAKEN | {"models": {"vgg16": {"1": case}}, "memory": {"vgg16": {"1": memory}}}


def whole(ratio, outside, batch, pixels):
    composite = {"ours / zennit": spread(ratio), "seconds": {"ours": spread(1.0), "zennit": spread(2.0)}}
    growth = {"times as many": 10, "a batch, per image": spread(batch), "a data set, per image": spread(batch)}
    return TAKEN | {
        "composites": {"vgg16": {"epsilon-plus": composite}},
        "overhead": {"vgg16": {"images": 300, "seconds": 100.0, "outside": outside}},
        "growth": {"vgg16": growth | {"four times the pixels": spread(pixels)}},
    }


def loop(speedup):
    found = {"images_per_second": {"equipoise": spread(4.0), "loop": spread(1.0)}, "relative_error": 4e-6}
    return TAKEN | {"batch": 8, "gamma": 1.0, "vgg16": found | {"speedup": spread(speedup)}}


def device(units):
    ae = {"units": spread(units), "images_per_second": spread(90.0), "peak_mib": 7, "roofline": spread(0.4)}
    alone = {key: value for key, value in ae.items() if key != "units"}  # the gradient ran out of memory
    batches = {"1": {"ae": ae}, "32": {"ae": alone}, "128": {"ae": {"fails": "out of memory"}}}
    return TAKEN | {
        "device": {"name": "A GPU", "cuda": "13"},
        "peak": {"tf32": {"tflop_per_second": 300.0}},
        "models": {"vgg16": {"tf32": batches}},
    }


def rows(seconds, memory, growth):
    step = {"rows": 11, "seconds": spread(seconds), "CPU seconds": spread(seconds), "MiB": spread(memory)}
    step |= {"CPU seconds per row, to a tenth of the rows": spread(growth)}
    return TAKEN | {"units": 5, "steps": {"merge": step, "table": step}}


def runs(ratio, cost, share):
    beside = {
        "bare, images per second by batch": {"1": 3.0}, "images per second": spread(3.0), "batch chosen": 4,
        "ratio to the bare method": spread(ratio), "ratio to the bare method that keeps memory too": spread(1.0),
        "size / raw float32": share,
    }  # fmt: skip
    keys = ("two Ray workers / one process", "one Ray worker / in process")
    workers = {"images per second": {"one": spread(2.0)}} | {key: spread(ratio + 0.05) for key in keys}
    growth = {key: spread(cost) for key in ("time per image at 10 times the images", "memory at 100 times the images")}
    growth |= {"photos": 100, "ms per image": spread(cost - 0.05)}
    return TAKEN | {"beside": {"efficientnet_lite0": beside}, "workers": workers, "growth": growth}


FORMATS = {
    "machine": MACHINE, "commit": "abc", "maps": 4, "shape": [3, 2, 2],
    "rows": [{
        "format": "Parquet", "values": "float16", "size / raw float32": 0.312, "write, seconds": 9.0,
        "random read, median ms": 0.8, "random read, 95 % ms": 0.9,
    }],
}  # fmt: skip
GOOD = {
    "ae_cost": cost(3.3, 3.4, 0.55, 160), "authors_loop": loop(2.5), "whole_runs": whole(0.7, 0.1, 0.6, 4.2),
    "gpu": [device(3.5)], "rows": rows(90, 1430, 1.05), "attribute_runs": runs(0.95, 1.05, 0.35),
}  # fmt: skip
BAD = {
    "ae_cost": cost(3.41, 3.5, 0.56, 161), "authors_loop": loop(2.49), "whole_runs": whole(0.71, 0.101, 1.06, 4.21),
    "gpu": [device(3.51)], "rows": rows(90.1, 1431, 1.06), "attribute_runs": runs(0.87, 1.06, 0.36),
}  # fmt: skip
PRECISIONS = TAKEN | {
    "device": {"name": "A GPU", "memory, GiB": 80.0, "cuda": "13", "cudnn": 9}, "network": "a_net", "images": 32,
    "methods": {"ae": {
        "float32": {"relative error": spread(2e-6) | {"worst": 1e-5}, "rank correlation": spread(0.5) | {"worst": 0.4}},
        "tf32": {"fails": "not measured: TF32 is a CUDA device's"},
    }},
}  # fmt: skip
MEASURED = (
    "AE / forward + backward: vgg16, batch 1",
    "AE / forward + backward, channels last: vgg16, batch 1",
    "a further class / the first: vgg16, batch 1",
    "peak memory of AE / of the gradient: vgg16, batch 1",
    "images per second of AE / of the authors' loop: vgg16, batch 8",
    "epsilon-plus / zennit's: vgg16",
    "share of a data set's time outside the network: vgg16",
    "time per image at 10 times the images, in one batch: vgg16",
    "time per image at 10 times the images, as a data set: vgg16",
    "time at 4 times the pixels: vgg16",
    "11 million rows to a table with intervals: seconds",
    "11 million rows to a table with intervals: peak memory",
    "CPU seconds per row at 10 times the rows: the table",
    "CPU seconds per row at 10 times the rows: bringing them into order",
    "images per second of attribute / of the bare method: efficientnet_lite0",
    "size on disk of a map of 224 px / raw float32: efficientnet_lite0",
    "images per second of attribute: two Ray workers of one thread / one process of two threads",
    "images per second of attribute: one Ray worker / in process, one thread",
    "overhead of attribute per image of 32 px, 10,000 images, ms",
    "time per image of attribute at 10 times the images",
    "memory of attribute at 100 times the images",
    "AE / forward + backward at the same precision: A GPU, vgg16, tf32, batch 1",
)


def test_the_page_is_the_one_in_the_docs():
    assert render.PAGE.read_text() == render.page(render.load()), "run: python benchmarks/render.py"


@pytest.mark.parametrize("what", MEASURED)
def test_each_aim_is_judged_by_its_median(what):
    (row,) = [line for line in aims.table(GOOD) if line.startswith(f"| {what} |")]
    assert row.endswith("| yes |")
    (row,) = [line for line in aims.table(BAD) if line.startswith(f"| {what} |")]
    assert row.endswith("| **no** |")


def test_the_verdicts_are_counted():
    total = len(aims.aims(BAD))
    rest = total - len(MEASURED) - 1
    assert aims.table(BAD)[0] == f"Of {total} aims 0 are reached, 23 are not, and {rest} are not measured."


def test_a_row_shows_the_median_the_quartiles_and_the_aim():
    rows = aims.table(BAD)
    assert "| AE / forward + backward: vgg16, batch 1 | 3.0 | <= 3.40 | 3.41 [3.31, 3.51] | **no** |" in rows
    assert "| share of a data set's time outside the network: vgg16 | 0% | <= 10.0% | 10.1% | **no** |" in rows
    assert any("batch 128 | 3.0 | <= 3.50 | fails: out of memory | **no** |" in row for row in rows)


def test_what_is_missed_is_explained():
    text = "\n".join(aims.table(BAD))
    assert "nine convolutions a layer" in text
    assert "holes between freed blocks" in text
    assert "On a GPU: of a small batch" in text
    assert "ResNet-50 with the channels last" not in text, "not measured, so not missed"
    assert "What bounds" not in "\n".join(aims.table({"ae_cost": GOOD["ae_cost"]}))


def test_every_explanation_belongs_to_an_aim():
    names = [aim.what for aim in aims.aims({"gpu": []})]
    assert all(any(part in name for name in names) for part in aims.BOUNDS)


def test_what_was_not_measured_says_so():
    rows = aims.table({"gpu": []})[4:]
    assert len(rows) == len(aims.aims({}))
    assert all(row.endswith("| not measured |  |") for row in rows)
    assert "No GPU numbers have been taken" in render.page({"gpu": []})


def test_the_sections_show_failures_machines_and_commits():
    text = render.page(BAD)
    assert "| vgg16 | 1 | captum LRP | does not run: TypeError: no rule | | |" in text
    assert "| vgg16 | 1 | 0.56 [0.46, 0.66] | 3.50 [3.40, 3.60] |" in text
    assert "load from 0.2 before to 1.5 after" in text
    assert "commit abc, def" in text
    assert "| vgg16 | tf32 | 128 | ae | does not run: out of memory | | | |" in text
    assert "No GPU numbers" not in text


def test_a_device_is_written_with_what_its_numbers_are():
    text = render.page(GOOD | {"precision": [PRECISIONS]})
    assert "A GPU, CUDA 13. A chip" in text
    assert "A GPU, memory 80.0 GiB, CUDA 13, cuDNN 9; a_net, 32 photos. A chip" in text
    assert "| ae | float32 | 2.0e-06 [" in text
    assert "| 1.0e-05 | 0.50000 [0.40000, 0.60000] | 0.40000 |" in text
    assert "| ae | tf32 | not measured: TF32 is a CUDA device's | | | |" in text


def test_a_gpu_run_that_was_cut_short_shows_what_it_has():
    cut = TAKEN | {"device": {"name": "A GPU"}, "peak": {}}
    text = render.page({"gpu": [cut]})
    assert "waits for the device: not measured." in text
    assert "| not measured | | | | | |" in text
    rates = {"batch": 128, "images": 2048, "seconds": 4.0, "images_per_second": 512.0, "minutes of 50,000 images": 1.63}
    more = cut | {
        "waits": {"resnet50": {"waits": 3}, "vgg16": {"fails": "no"}},
        "data set": {"resnet50": {"tf32": rates, "bfloat16": {"fails": "out of memory"}}},
        "models": {"vgg16": {"tf32": {"1": {"fails": "ZeroDivisionError"}}}},
    }
    text = render.page({"gpu": [more]})
    assert "waits for the device: resnet50 3." in text
    assert "| resnet50 | tf32 | 128 | 2048 | 512.0 | 1.6 |" in text
    assert "| resnet50 | bfloat16 | does not run: out of memory | | | |" in text
    assert "| vgg16 | tf32 | 1 | all | does not run: ZeroDivisionError | | | |" in text
    assert "vgg16, tf32, batch 1 | 3.0 | <= 3.50 | fails: ZeroDivisionError | **no** |" in text


def test_quick_results_are_not_shown(tmp_path):
    for name in ("ae_cost", "ae_cost_quick", "gpu_a", "gpu_a_quick", "precision_a_quick"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name}))
    assert render.load(tmp_path) == {"ae_cost": {"name": "ae_cost"}, "gpu": [{"name": "gpu_a"}]}


def test_whole_runs_and_formats_are_told():
    text = render.page(BAD | {"map_formats": FORMATS})
    assert (
        "| efficientnet_lite0 | 1: 3.0 | 3.00 [2.90, 3.10] | 4 | 0.360 | 0.87 [0.77, 0.97] | 1.00 [0.90, 1.10] |"
        in text
    )
    assert "| one | 2.00 [1.90, 2.10] |" in text
    assert "| Parquet | float16 | 0.312 | 9 | 0.80 | 0.90 |" in text


def test_make_bench_runs_every_script_and_the_readme_describes_each():
    recipe = (render.HERE.parent / "Makefile").read_text().partition("\nbench:")[2].partition("\n\n")[0]
    readme = (render.HERE / "README.md").read_text()
    scripts = {path.stem for path in render.HERE.glob("*.py") if "\ndef main(" in path.read_text()} - {
        "branches",
        "blur",
        "against_commit",
    }
    assert scripts == {
        "ae_cost", "attribute_runs", "authors_loop", "gpu", "map_formats", "method_cost", "precision", "rows",
        "start_up", "whole_runs",
    }  # fmt: skip
    for name in scripts:
        assert name in recipe
        assert f"## `{name}.py`" in readme
    assert recipe.rstrip().endswith("benchmarks/render.py")
