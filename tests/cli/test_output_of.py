"""A network that returns more than its class scores, from the command line and from `equipoise.explain`."""

import json

import fake_net
import pytest
import torch
from torch import nn

import equipoise
from equipoise import models
from equipoise.cli import main
from equipoise.errors import ModelModeError, NotFiniteError, OptionError, ShapeError


class TwoHeads(nn.Module):
    """The fake network, whose logits come second."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.eval()

    def forward(self, x):
        logits = self.body(x)
        return -logits, logits


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, photo):
    """Run ``equipoise`` in an empty folder with a photo, on a network of two heads."""
    monkeypatch.chdir(tmp_path)
    module, spec = fake_net.model()
    monkeypatch.setattr(models, "load_model", lambda *_, **__: (TwoHeads(module), spec))
    photo()

    def call(*arguments):
        status = main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_output_of_chooses_for_the_look_and_every_method(run):
    flags = ("--method", "gradient,occlusion", "--option", "window=16", "--json")
    status, out, err = run("explain", "cat.png", *flags, "--output-of", "1")
    assert (status, err) == (0, "Occlusion: 9 forward passes\n")
    document = json.loads(out)
    assert document["scores"][0]["index"] == 1, "the class that the fake network sees"
    assert [entry["method"]["options"]["output"] for entry in document["explanations"]] == [1, 1]
    other = json.loads(run("explain", "cat.png", *flags, "--output-of", "0")[1])
    assert other["scores"][0]["index"] != 1
    by_option = json.loads(run("explain", "cat.png", *flags, "--option", "output=1")[1])
    assert by_option["scores"] == document["scores"]


@pytest.mark.parametrize(("flags", "words"), [
    ((), "output=0 or output=1"),
    (("--output-of", "7"), "output is 7"),
    (("--output-of", "scores"), "did not return"),
    (("--output-of", " "), "--output-of names no part"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(run, flags, words):
    status, _, err = run("explain", "cat.png", "--method", "gradient", *flags)
    assert status == 2
    assert words in err
    assert err.count("\n") == 1


def test_explain_in_python(photo):
    module, spec = fake_net.model()
    path = photo()
    expected = equipoise.explain(path, (module, spec), "gradient")
    found = equipoise.explain(path, (TwoHeads(module), spec), "gradient", output=1)
    assert torch.equal(found.attribution, expected.attribution)
    assert found.scores == expected.scores
    assert found.record["method"]["options"]["output"] == 1
    with pytest.raises(ShapeError, match="output=0 or output=1"):
        equipoise.explain(path, (TwoHeads(module), spec), "gradient")
    with pytest.raises(OptionError):
        equipoise.explain(path, (TwoHeads(module), spec), "gradient", output=2)


def test_explain_has_the_same_entrance(photo):
    module, spec = fake_net.model()
    noisy = nn.Sequential(nn.Dropout(0.5), module).train()
    with pytest.raises(ModelModeError, match="Dropout"):
        equipoise.explain(photo(), (noisy, spec), "gradient")
    calm = nn.Sequential(nn.Dropout(0.0), module).train()
    assert equipoise.explain(photo(), (calm, spec), "gradient", 0).attribution.any()
    module.extra = nn.Parameter(torch.tensor([torch.nan]))
    with pytest.raises(NotFiniteError, match="extra"):
        equipoise.explain(photo(), (module, spec), "gradient")
