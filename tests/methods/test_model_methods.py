"""What holds for every method that runs the network itself or its gradient, on every tiny network."""

import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import equipoise
from equipoise.errors import ModelModeError, OptionError, ShapeError
from helpers import (
    NETWORKS,
    TOLERANCE,
    Functional,
    OneDimensional,
    Plain,
    Residual,
    ThreeDimensional,
    make,
    relative_error,
)
from registered import spread

# Every method of this kind, with options that keep it cheap.
CHEAP = {
    "gradient": {}, "input_x_gradient": {}, "smooth_grad": {"samples": 4}, "integrated_gradients": {"steps": 5},
    "guided_backprop": {}, "full_grad": {}, "grad_cam": {}, "grad_cam_plus_plus": {}, "score_cam": {},
    "occlusion": {"window": 5}, "rise": {"masks": 30, "grid": 3}, "extremal_perturbation": {"steps": 3}, "random": {},
    "deep_lift": {}, "deep_lift_shap": {"baselines": 2}, "gradient_shap": {"samples": 3},
    "lime": {"samples": 30, "grid": 2, "penalty": 1e-4}, "kernel_shap": {"samples": 30, "grid": 2},
}  # fmt: skip
MAPS = {"full_grad", "grad_cam", "grad_cam_plus_plus", "score_cam", "occlusion", "rise", "extremal_perturbation",
        "random", "lime", "kernel_shap"}  # fmt: skip
UNSIGNED = {"full_grad", "grad_cam", "grad_cam_plus_plus", "score_cam", "rise", "extremal_perturbation", "random"}
RANDOM = ["smooth_grad", "rise", "random", "deep_lift_shap", "gradient_shap", "lime", "kernel_shap"]
REFUSES = {
    ("deep_lift", Functional), ("deep_lift_shap", Functional), ("extremal_perturbation", OneDimensional),
    ("extremal_perturbation", ThreeDimensional),
}  # fmt: skip
pairs = pytest.mark.parametrize(("method", "network"), spread(CHEAP, NETWORKS, each=2, but=REFUSES))
every = pytest.mark.parametrize("method", CHEAP)


def explain(method, model, x, target=None, **options):
    return equipoise.attribute(model, x, target, method=method, **{**CHEAP[method], **options})


@pairs
def test_shape_dtype_and_what_the_class_says_of_itself(method, network):
    model, x = make(network)
    before = x.clone()
    found = explain(method, model, x, 1)
    entry = equipoise.METHODS[method]
    assert found.shape == (2, 1 if method in MAPS else 3, *x.shape[2:])
    assert found.dtype == x.dtype
    assert not found.requires_grad
    assert found.isfinite().all()
    assert found.any() or explain(method, model, x, 2).any(), "a ReLU may leave nothing for one class"
    assert torch.equal(x, before)
    assert entry.level == ("map" if method in MAPS else "pixel")
    assert entry.signed is (method not in UNSIGNED)
    assert entry.summary
    if not entry.signed:
        assert (found >= 0).all()


@pairs
def test_an_image_never_depends_on_its_batch(method, network):
    model, x = make(network, n=3)
    whole = explain(method, model, x, [2, 0, 2])
    assert torch.equal(whole, explain(method, model, x, [2, 0, 2])), "deterministic"
    for n, target in enumerate([2, 0, 2]):
        # Two solvers iterate to a tolerance of their own.
        limit = 1e-6 if method in {"lime", "kernel_shap"} else 1e-9
        assert relative_error(explain(method, model, x[n : n + 1], target)[0], whole[n]) < limit


@pairs
def test_several_targets_equal_one_at_a_time(method, network):
    model, x = make(network)
    many = explain(method, model, x, torch.tensor([[0, 3], [1, 4]]))
    ragged = explain(method, model, x, [[0], [1, 4]])
    assert many.shape[:2] == (2, 2)
    for n, row in enumerate([[0, 3], [1, 4]]):
        for k, target in enumerate(row):
            alone = explain(method, model, x[n : n + 1], target)[0]
            assert relative_error(many[n, k], alone) < 1e-6
            if k < len(ragged[n]):
                assert relative_error(ragged[n][k], alone) < 1e-6


@every
def test_a_function_of_the_logits(method):
    """It sees the whole batch in its order, whatever is chunked."""
    if method == "random":
        pytest.skip("its numbers depend on the class by name")
    model, x = make(Plain, n=3)
    options = {"score": "logit"} if method == "rise" else {}
    classes = torch.tensor([4, 1, 2])
    found = explain(method, model, x, lambda logits: logits[torch.arange(3), classes], **options)
    assert relative_error(found, explain(method, model, x, classes, **options)) < 1e-8


@every
def test_no_target_means_the_top_class(method):
    model, x = make(Plain)
    assert torch.equal(explain(method, model, x), explain(method, model, x, model(x).argmax(1)))


class Failing(nn.Module):
    """Raises in its last layer from the given call on, after every hook had its chance to be put on."""

    def __init__(self, body, calls):
        super().__init__()
        self.body, self.left = body, calls

    def forward(self, x):
        self.left -= 1
        result = self.body(x)
        if self.left < 0:
            raise FloatingPointError("the network failed")
        return result


def state_of(model):
    hooks = {}
    for name, module in model.named_modules():
        hooks[name] = [len(value) for key, value in vars(module).items() if key.endswith("_hooks")]
        hooks[name] += [module.training, sorted(set(vars(module)) - {"left"}), type(module)]
    tensors = [(p.requires_grad, p.grad, p._version) for p in [*model.parameters(), *model.buffers()]]
    return hooks, tensors


@every
@pytest.mark.parametrize("calls", [0, 1, 10**9])
def test_nothing_is_left_on_the_model(method, calls):
    model = Failing(make(Plain)[0], calls).eval()
    x = make(Plain)[1]
    before = state_of(model)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    try:
        explain(method, model, x, 1)
        raised = False
    except FloatingPointError:
        raised = True
    one_pass = {"gradient", "input_x_gradient", "guided_backprop", "full_grad", "grad_cam", "grad_cam_plus_plus",
                "random"}  # fmt: skip
    assert raised is (calls == 0 or (calls == 1 and method not in one_pass))
    assert state_of(model) == before
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert torch.is_grad_enabled()


@every
def test_under_no_grad_inference_mode_and_with_frozen_weights(method):
    model, x = make(Residual)
    expected = explain(method, model, x, 1)
    with torch.no_grad():
        assert torch.equal(explain(method, model, x, 1), expected)
    with torch.inference_mode():
        assert torch.equal(explain(method, model, x.clone(), 1), expected)
    assert torch.equal(explain(method, model.requires_grad_(False), x.requires_grad_(), 1), expected)


@every
def test_the_random_state_of_the_process_is_not_touched(method):
    model, x = make(Plain)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  # the state that captum draws from
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = explain(method, model, x, 1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    torch.manual_seed(99)
    assert torch.equal(first, explain(method, model, x, 1))


@pytest.mark.parametrize("method", RANDOM)
def test_another_seed_other_numbers(method):
    model, x = make(Plain)
    assert relative_error(explain(method, model, x, 1, seed=1), explain(method, model, x, 1)) > 1e-4
    with pytest.raises(OptionError, match="seed is -1"):
        explain(method, model, x, 1, seed=-1)


@every
def test_in_threads(method):
    model, x = make(Residual)
    expected = [explain(method, model, x, k) for k in range(3)]
    found = [None] * 3

    def work(k):
        found[k] = explain(method, model, x, k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(relative_error(a, b) < 1e-9 for a, b in zip(found, expected, strict=True))


@every
def test_an_empty_batch_and_inputs_that_make_no_sense(method):
    model, x = make(Plain)
    assert len(explain(method, model, x[:0])) == 0
    for wrong in (x.long(), x[0, 0], x[:, :, :0]):
        with pytest.raises(ShapeError):
            explain(method, model, wrong)


@every
def test_a_network_in_train_mode_is_refused(method):
    model, x = make(Residual)
    with pytest.raises(ModelModeError, match="train mode"):
        explain(method, model.train(), x)


@every
def test_a_network_that_writes_into_its_input(method):
    class Normalizing(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x):
            x -= 0.1
            x.div_(2)
            return self.body(x)

    body, x = make(Plain)
    before = x.clone()
    assert explain(method, Normalizing(body), x, 1).any()
    assert torch.equal(x, before)


@every
def test_float32_and_bfloat16(method):
    model, x = make(Plain)
    expected = explain(method, model, x, 1)
    found = explain(method, model.float(), x.float(), 1)
    assert found.dtype == torch.float32
    if method not in {"random", "extremal_perturbation"}:  # numbers from the image's bytes; a sort of near ties
        assert relative_error(found.double(), expected) < TOLERANCE[torch.float32] * 10
    half = explain(method, model.bfloat16(), x.bfloat16(), 1)
    assert half.dtype == torch.bfloat16
    assert half.isfinite().all()


@pytest.mark.parametrize("method", sorted(set(CHEAP) - {"random"}))
def test_a_constant_network_gives_numbers(method):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()
    nn.init.zeros_(model[-1].weight)
    for x in (torch.zeros(1, 3, 8, 8), torch.randn(1, 3, 8, 8)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert explain(method, model, x, 1).isfinite().all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every
def test_on_a_gpu(method):
    model, x = make(Plain)
    expected = explain(method, model, x, 1)
    found = explain(method, model.cuda(), x.cuda(), 1)
    assert found.device.type == "cuda"
    assert relative_error(found.cpu(), expected) < 1e-6
