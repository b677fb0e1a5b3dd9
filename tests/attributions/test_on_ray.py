"""Ray gives the rows of one process; whatever dies there is done again."""

import os
import signal

import pytest
from test_attribute_dataset import run, same_rows

import equipoise
from equipoise.attributions import open_attributions
from equipoise.errors import MissingPackageError, OptionError
from equipoise.executors import on_ray

pytestmark = pytest.mark.filterwarnings("ignore")


def test_rays_rows_are_those_of_one_process_though_a_worker_dies(photos, network, tmp_path, monkeypatch):
    killed = []

    class Watched(on_ray.Actors):
        def give(self, member, task, upcoming):
            super().give(member, task, upcoming)
            if not killed:
                killed.append(self.pid(member))
                os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(on_ray, "Actors", Watched)
    found = run(photos, network, tmp_path / "ray", ray=True, workers=1)
    assert killed
    same_rows(found, run(photos, network, tmp_path / "here"))
    assert len(open_attributions(tmp_path / "ray")) == 44


def test_no_cluster_and_no_ray_are_one_sentence(photos, network, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match=r"no Ray cluster can be joined at 127\.0\.0\.1:9"):
        equipoise.attribute_dataset(photos, network, output=tmp_path / "out", ray="127.0.0.1:9")
    monkeypatch.setattr(on_ray.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"--ray needs Ray; pip install 'equipoise\[ray\]'"):
        equipoise.attribute_dataset(photos, network, output=tmp_path / "out", ray=True, resume=True)
