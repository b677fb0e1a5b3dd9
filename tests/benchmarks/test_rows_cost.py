"""A quick run of what rows cost, its table, and the rows that it makes."""

import json

import render
import rows

from equipoise.experiments.model.table import Rows
from equipoise.experiments.running.store import Store


def test_the_synthetic_rows_are_those_of_a_run(tmp_path):
    assert rows.make(tmp_path, 20) == 22 * 10 * 5 * 4
    store = Store(tmp_path, resume=True)
    found = store.merge(rows.keys(20))
    store.close()
    assert len(found) == 22 * 10 * 5 * 4
    assert len({(one["unit"], one["class"], one["method"], one["model"], one["metric"]) for one in found}) == len(found)
    mine = found.where(model="network2", unit=rows.unit_key(10), method="RSP")
    assert [(one["category"], one["metric"]) for one in mine] == [
        (category, metric) for category in (190, 203) for metric in rows.METRICS
    ]
    assert found[0]["key"] == rows.result_key("network0", 0, "AE")
    assert isinstance(found, Rows)


def test_a_quick_run_measures_both_steps(tmp_path):
    path = tmp_path / "rows.json"
    rows.main(["--quick", "--output", str(path)])
    steps = json.loads(path.read_text())["steps"]
    assert set(steps) == {"merge", "table"}
    for one in steps.values():
        assert one["rows"] == 220 * 10 * 5 * 4
        assert one["seconds"]["median"] > 0
        assert one["MiB"]["median"] > 50
    assert "| table | 44000 | " in render.page({"rows": json.loads(path.read_text())})
