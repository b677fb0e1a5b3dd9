import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_net

from equipoise.methods import METHODS


@pytest.fixture
def fakes(monkeypatch):
    """The fake network as every model, and two fake methods beside the real ones."""
    monkeypatch.setattr(
        METHODS, "_entries", METHODS._entries | {"share": fake_net.InputTimesWeight, "coarse": fake_net.CoarseMap}
    )
    return fake_net.model()
