"""The forward pass under the engine: bit-equal, unmodified, loud about what it cannot follow."""

import gc
import linecache
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import equipoise
from equipoise.engine import Relevance, propagate, record
from equipoise.errors import ModelModeError, ShapeError, UnsupportedModelError, UntracedTensorError
from equipoise.rules.gradient import GRADIENT
from helpers import NETWORKS, Functional, Plain, Residual, make


class Head(nn.Module):
    """Wraps ``body``, a function of a feature map, between a convolution and a linear layer."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(self.body(self.conv(x)).mean((2, 3)))


def images(n=2, dtype=torch.float64):
    return torch.randn(n, 3, 8, 8, dtype=dtype)


def gradient_agrees(model, x):
    """Whether the tape's chain rule gives what autograd gives: every value, branch and alias is right."""
    leaf = x.clone().requires_grad_()
    logits = model(leaf)
    seeds = torch.randn(2, *logits.shape, dtype=logits.dtype)
    expected = torch.stack([torch.autograd.grad(logits, leaf, seed, retain_graph=True)[0] for seed in seeds])
    trace = record(model, x)
    assert torch.equal(trace.logits, logits)
    found = propagate(trace, {trace.output: Relevance(seeds)}, GRADIENT)[trace.input].value
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    return True


@pytest.mark.parametrize(("network", "dtype"), [
    *[(network, dtype) for network in NETWORKS for dtype in (torch.float32, torch.float64)],
    *[(network, torch.bfloat16) for network in (Plain, Residual, Functional)],
])  # fmt: skip
def test_forward_is_bit_equal(network, dtype):
    model, x = make(network, dtype=dtype)
    with torch.no_grad():
        assert torch.equal(record(model, x).logits, model(x))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_tape_knows_the_chain_rule(network):
    assert gradient_agrees(*make(network))


def _reuse_result(y):
    y += 1.5 * y.clone()
    return y


def _dropped_result(y):
    z = y * 2
    z.add_(y)  # the result is dropped: z itself has changed
    return z.relu()


def _written_slice(y):
    out = torch.zeros_like(y)
    out[:, :2] = y[:, 2:] * 3
    out[:, 2:] = y[:, :2]
    return out


def _kept_then_overwritten(y):
    triple = y * 3
    kept = y.clone()
    y.mul_(2).add_(1)
    return triple + kept + y.relu()


def _mixing(y, channels=4):
    """Weights of a 1x1 convolution."""
    return torch.arange(4 * channels).to(y).cos().reshape(4, channels, 1, 1)


BODIES = [
    _reuse_result,
    _dropped_result,
    _written_slice,
    _kept_then_overwritten,
    lambda y: F.relu(y, inplace=True) + F.relu(y),
    lambda y: y.flatten(2).relu_().unflatten(2, (8, 8)),
    lambda y: torch.stack(y.unbind(1)[::-1], 1),
    lambda y: y.transpose(2, 3).mT + y[..., :1] - y.amax((2, 3), keepdim=True),
    lambda y: sum([y, y, 2 * y]) / 3.0,
    lambda y: torch.add(y, y.relu(), alpha=-0.5),
    lambda y: F.conv2d(y.flip(2), _mixing(y), stride=2),
    lambda y: F.conv2d(y.flatten(2).unflatten(2, (4, 16)), _mixing(y), stride=(1, 3), padding=1),
    lambda y: F.conv2d(F.pixel_unshuffle(y, 2), _mixing(y, 16), stride=2),
    lambda y: y.half().double() if y.dtype == torch.float64 else y,
]


@pytest.mark.parametrize("body", BODIES)
def test_in_place_and_views_are_followed(body):
    assert gradient_agrees(Head(body).double().eval(), images())


def test_the_dropped_result_of_an_in_place_addition_counts():
    """``z.add_(y)`` with its result ignored: both summands must receive relevance."""
    model = Head(_dropped_result).double().eval()
    trace = record(model, images())
    assert [call.name for call in trace.recorded] == ["conv2d", "mul", "add", "relu", "mean", "linear"]
    assert trace.recorded[2].outputs[0] is trace.recorded[3].inputs[0]
    (joined,) = [call for call in trace.calls if call.members]  # of one signal, entry by entry: one activation
    y = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(joined.run(y)[0], F.relu(3 * y))


def _write_through_view(y):
    z = y * 2
    z[:, 0].zero_()
    return z


def _write_through_view_of_view(y):
    z = y * 2
    z.transpose(2, 3)[:, 1:3].flatten(2)[..., ::2].copy_(y.flatten(2)[:, :2, ::2])
    return z + y[:, :1]


def _write_through_base(y):
    view = y.flatten(2)
    y.mul_(2)
    return view.unflatten(2, (8, 8))


def _write_through_sibling(y):
    first, rest = y[:, :3], y[:, 1:]
    first.mul_(2)
    rest.add_(first)
    return torch.cat([first, rest, y], 1)[:, 2:6]


def _write_into_a_buffer_in_parts(y):
    out = y.new_zeros(y.shape)
    out.narrow(1, 0, 2).copy_(y[:, 2:])
    out.narrow(1, 2, 2).add_(y[:, :2])
    return out


WRITES = [
    _write_through_view,
    _write_through_view_of_view,
    _write_through_base,
    _write_through_sibling,
    _write_into_a_buffer_in_parts,
]


@pytest.mark.parametrize("body", WRITES)
def test_a_write_through_another_tensor_is_followed(body):
    assert gradient_agrees(Head(body).double().eval(), images())


def _in_place_unseen(y: torch.Tensor):
    y.mul_(2)
    return 1


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_a_write_that_the_engine_does_not_see_is_refused():
    hidden = torch.jit.script(_in_place_unseen)
    with pytest.raises(UntracedTensorError, match=r"changed.*in place.*out of place|changed an argument in place"):
        record(Head(lambda y: y * hidden(y)).eval(), images(dtype=torch.float32))


def _plus_one(y: torch.Tensor):
    return y + 1


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]


def test_a_custom_autograd_function_is_seen_through():
    assert gradient_agrees(Head(lambda y: y + Square.apply(y)).double().eval(), images())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_what_the_engine_cannot_see_is_loud_not_constant():
    hidden = torch.jit.script(_plus_one)
    with pytest.raises(UntracedTensorError, match=r"\(2, 4, 8, 8\).*TorchScript.*buffer"):
        record(Head(lambda y: y + hidden(y)).eval(), images(dtype=torch.float32))


@pytest.mark.parametrize("leave", [lambda y: torch.from_numpy(y.numpy()), lambda y: torch.from_numpy(np.asarray(y))])
def test_leaving_torch_is_refused(leave):
    with pytest.raises(UntracedTensorError, match="out of torch's sight"):
        record(Head(lambda y: y + leave(y)).eval(), images(dtype=torch.float32))


def test_plain_attributes_of_modules_are_constants():
    model = Head(lambda y: y * model.scale[0]).eval()
    model.scale = [torch.full((4, 1, 1), 2.0)]
    assert record(model, images(dtype=torch.float32)).logits.isfinite().all()


@pytest.mark.parametrize("spoil", [
    lambda m: m.train(),
    lambda m: m.bn1.train(),
])  # fmt: skip
def test_train_mode_is_refused(spoil):
    model, x = make(Residual)
    spoil(model)
    before = model.bn1.running_mean.clone()
    with pytest.raises(ModelModeError, match=r"bn1 \(BatchNorm2d\).*train mode.*eval"):
        record(model, x)
    assert torch.equal(model.bn1.running_mean, before)


@pytest.mark.parametrize("body", [
    lambda y: F.dropout(y, 0.5, training=True),
    lambda y: F.batch_norm(y, None, None, training=True),
])  # fmt: skip
def test_functional_randomness_is_refused(body):
    with pytest.raises(ModelModeError, match=r"test_recorder.py:\d+.*call model.eval\(\)"):
        record(Head(body).eval(), images(dtype=torch.float32))


def test_inactive_dropout_in_train_mode_is_no_reason_to_refuse():
    model = nn.Sequential(nn.Dropout(0.0), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    assert record(model, images(dtype=torch.float32)).logits.shape == (2, 4)


@pytest.mark.parametrize(("model", "error"), [
    (nn.Conv2d(3, 4, 3), ShapeError),
    (nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.Unflatten(1, (5, 1))), ShapeError),
])  # fmt: skip
def test_what_cannot_be_traced_is_refused_in_words(model, error):
    with pytest.raises(error):
        record(model, images(dtype=torch.float32))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_torchscript_is_refused_in_words():
    with pytest.raises(UnsupportedModelError, match="TorchScript"):
        record(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), images(dtype=torch.float32))


def test_a_constant_output_is_refused():
    with pytest.raises(UntracedTensorError, match="does not depend on its input"):
        record(_Constant().eval(), images(dtype=torch.float32))


class _Constant(nn.Module):
    def forward(self, x):
        return torch.zeros(x.shape[0], 5)


def test_what_is_no_module_is_refused_in_words():
    with pytest.raises(UnsupportedModelError, match=r"torch\.nn\.Module, not function"):
        equipoise.attribute(lambda x: x, images())


def test_compiled_and_parallel_wrappers_are_looked_through():
    model, x = make(Plain)
    expected = equipoise.attribute(model, x)
    torch.testing.assert_close(equipoise.attribute(nn.DataParallel(model), x), expected)
    torch.testing.assert_close(equipoise.attribute(torch.compile(model), x), expected)


def everything_about(model):
    return {
        "state": {name: (tensor.clone(), tensor.dtype, tensor._version) for name, tensor in model.state_dict().items()},
        "flags": [(p.requires_grad, p.grad) for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "global hooks": len(nn.modules.module._global_forward_hooks),
        "grad mode": torch.is_grad_enabled(),
        "modes on": len(torch.overrides._get_current_function_mode_stack()),
    }


def same(before, after):
    for (a, *rest), (b, *other) in zip(before.pop("state").values(), after.pop("state").values(), strict=True):
        assert torch.equal(a, b)
        assert rest == other
    assert before == after


@pytest.mark.parametrize("network", NETWORKS)
def test_nothing_remains_on_the_model(network):
    model, x = make(network)
    next(model.parameters()).requires_grad_(False)
    before, image = everything_about(model), x.clone()
    equipoise.attribute(model, x, 1)
    same(before, everything_about(model))
    assert torch.equal(x, image)
    assert x.grad is None


def test_nothing_remains_after_an_exception():
    model = Head(lambda _y: 1 / 0).eval()
    before = everything_about(model)
    with pytest.raises(ZeroDivisionError):
        equipoise.attribute(model, images(dtype=torch.float32))
    same(before, everything_about(model))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_any_grad_mode_and_frozen_parameters(context):
    model, x = make(Residual)
    expected = equipoise.attribute(model, x)
    model.requires_grad_(False)
    with context():
        found = equipoise.attribute(model, x)
        inner = equipoise.attribute(model, x * 1)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(inner, expected, rtol=0, atol=0)


def test_threads_share_a_model():
    model, x = make(Residual, n=8)
    expected = [equipoise.attribute(model, x[i : i + 1]) for i in range(8)]
    found = [None] * 8

    def work(i):
        for _ in range(5):
            found[i] = equipoise.attribute(model, x[i : i + 1])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_memory_does_not_grow_from_call_to_call():
    model, x = make(Residual, n=1, dtype=torch.float32)

    def tensors():
        gc.collect()
        things = gc.get_objects()
        return sum(issubclass(type(thing), torch.Tensor) for thing in things), len(things)

    for _ in range(3):
        equipoise.attribute(model, x)
    before = tensors()
    for _ in range(60):
        equipoise.attribute(model, x)
    after = tensors()
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 15  # less than one thing in four calls


def test_a_call_knows_its_module_and_line():
    model, x = make(Residual)
    trace = record(model, x)
    sites = {call.name: call.site for call in trace.calls}
    assert sites["batch_norm"].module == "bn2"
    assert sites["add"].module == ""
    assert sites["add"].file.endswith("helpers.py")
    assert "out += identity" in linecache.getline(sites["add"].file, sites["add"].line)
    assert trace.module_outputs["fc"] is trace.output


def test_what_the_tape_did_not_keep_is_computed_again():
    model, x = make(Residual)
    full, lean = record(model, x), record(model, x, keep=())
    for a, b in zip(full.calls, lean.calls, strict=True):
        for p, q in zip(a.outputs, b.outputs, strict=True):
            assert torch.equal(full.data(p), lean.data(q))
