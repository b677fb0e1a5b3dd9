"""Where an operation was called, as messages say it."""

from pathlib import Path

import pytest

from equipoise.engine.sites import Site


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_an_installed_packages_file_is_told_from_the_package_on(folder):
    file = Path("/opt/some one/venv/lib/python3.11", folder, "timm", "layers", "norm_act.py")
    assert str(Site("bn1.act", str(file), 148)) == f"bn1.act ({Path('timm', 'layers', 'norm_act.py')}:148)"


def test_ones_own_file_is_told_whole():
    assert str(Site("", "/home/me/site-packages.py", 3)) == "the model itself (/home/me/site-packages.py:3)"
