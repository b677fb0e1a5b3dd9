"""A quick comparison with another commit, and its table."""

import json

import against_commit
import pytest
import render


@pytest.mark.skipif(not (against_commit.HERE.parent / ".git").exists(), reason="not a checkout")
def test_a_quick_run_compares_with_a_commit(tmp_path):
    path = tmp_path / "against_commit.json"
    against_commit.main(["--quick", "--commit", "HEAD", "--output", str(path)])
    data = json.loads(path.read_text())
    assert set(data["models"]) == {"efficientnet_lite0"}
    assert 0.2 < data["models"]["efficientnet_lite0"]["now / before"]["median"] < 5
    text = render.page({"against_commit": data})
    assert "## Against commit HEAD" in text
    assert "| efficientnet_lite0 | " in text
