"""What is refused before any method works: chance, batch statistics, numbers that are none, quantized weights."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import equipoise
from equipoise.engine.entrance import check_weights
from equipoise.errors import (
    EquipoiseError,
    ModelModeError,
    NetworkError,
    NotFiniteError,
    ShapeError,
    UnsupportedModelError,
)
from registered import CHEAP, EVERY, explain, images, network, spread

every = pytest.mark.parametrize("method", EVERY)


class Calls(nn.Module):
    """A module made of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


RANDOM = {
    "F.dropout": lambda x: F.dropout(x, 0.5),
    "torch.dropout": lambda x: torch.dropout(x, 0.5, True),
    "dropout2d": lambda x: F.dropout2d(x, 0.5),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
    "aten": lambda x: torch.ops.aten.dropout.default(x, 0.5, True),
    "randn_like": lambda x: x + torch.randn_like(x),
    "rand": lambda x: x * torch.rand(1),
    "randint": lambda x: x * torch.randint(1, 5, (1,)),
    "randperm": lambda x: x[:, torch.randperm(8)],
    "bernoulli": lambda x: x * torch.full_like(x, 0.5).bernoulli(),
    "normal_": lambda x: x + torch.zeros_like(x).normal_(),
    "uniform_": lambda x: x + torch.zeros_like(x).uniform_(),
    "multinomial": lambda x: x[:, torch.ones(8).multinomial(8)],
    "distribution": lambda x: x + torch.distributions.Normal(0.0, 1.0).sample(),
    "rrelu": lambda x: F.rrelu(x, training=True),
    "gumbel": lambda x: F.gumbel_softmax(x, dim=1),
    "fractional pool": lambda x: F.fractional_max_pool2d(x, 2, output_size=5),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
}
BATCH = {
    "F.batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "torch.batch_norm": lambda x: torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
    "running": lambda x: F.batch_norm(x, torch.zeros(8), torch.ones(8), training=True),
    "instance norm that counts": lambda x: F.instance_norm(x, torch.zeros(8), torch.ones(8)),
}


@every
@pytest.mark.parametrize("spelling", ["F.dropout", "randn_like", "F.batch_norm"])
def test_chance_and_batch_statistics_are_refused_by_every_method(method, spelling):
    model = network(Calls((RANDOM | BATCH)[spelling]))
    with pytest.raises(ModelModeError, match=r"test_entrance.py:\d+"):
        explain(method, model, images())


@pytest.mark.parametrize("spelling", RANDOM | BATCH)
@pytest.mark.parametrize("method", ["ae", "gradient", "occlusion"])
def test_every_spelling_of_chance_is_refused(method, spelling):
    model = network(Calls((RANDOM | BATCH)[spelling]))
    state = torch.get_rng_state()
    with pytest.raises(ModelModeError, match=r"test_entrance.py:\d+"):
        explain(method, model, images())
    assert torch.equal(torch.get_rng_state(), state), "refused before it draws"


@every
def test_what_looks_like_chance_and_is_none_is_explained(method):
    def calm(x):
        x = F.alpha_dropout(F.dropout(x, 0.0), 0.5)  # alpha dropout sleeps unless told
        return F.instance_norm(F.dropout(x, 0.5, training=False)) + (torch.ones(1, dtype=torch.int) & 1)

    assert explain(method, network(Calls(calm)), images()).isfinite().all()


@every
def test_weights_standardized_by_a_batch_norm_depend_on_no_batch(method):
    class Standardized(nn.Conv2d):
        def forward(self, x):
            flat = self.weight.reshape(1, self.out_channels, -1)
            weight = F.batch_norm(flat, None, None, training=True, momentum=0.0).reshape_as(self.weight)
            return F.conv2d(x, weight, self.bias)

    model = network()
    model[2] = Standardized(8, 8, 3)
    assert explain(method, model, images()).isfinite().all()


TRAINING = {
    "dropout": nn.Dropout(0.5), "dropout3d": nn.Dropout2d(0.1), "batch norm": nn.BatchNorm2d(8),
    "batch norm without running statistics": nn.BatchNorm2d(8, track_running_stats=False),
    "instance norm": nn.InstanceNorm2d(8, track_running_stats=True), "rrelu": nn.RReLU(),
}  # fmt: skip


@pytest.mark.parametrize(("method", "kind"), spread(EVERY, TRAINING, each=2))
def test_train_mode_is_refused_and_changes_no_buffer(method, kind):
    model = network(TRAINING[kind])
    model[1].train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with pytest.raises(ModelModeError, match=r"^1 \(.*call model.eval\(\)"):
        explain(method, model, images())
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


@every
def test_dropout_that_drops_nothing_and_calm_modules_are_welcome_in_train_mode(method):
    model = network(nn.Sequential(nn.Dropout(0.0), nn.InstanceNorm2d(8)))
    expected = explain(method, model, images())
    assert torch.equal(explain(method, model.train(), images()), expected)


@every
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_pixel_that_is_no_number_is_named(method, value):
    x = images()
    x[1, 2, 3, 4] = value
    with pytest.raises(NotFiniteError, match=re.escape(f"inputs[1, 2, 3, 4] is {value}")):
        explain(method, network(), x)


@every
@pytest.mark.parametrize("inside", ["data", "no_grad"])
def test_a_weight_that_is_no_number_is_named_also_after_a_first_call(method, inside):
    model = network()
    explain(method, model, images())
    if inside == "data":
        model[2].bias.data[1] = torch.nan
    else:
        with torch.no_grad():
            model[2].bias[1] = torch.inf
    with pytest.raises(NotFiniteError, match=r"the weight 2\.bias holds (nan|inf)"):
        explain(method, model, images())


def test_running_statistics_are_looked_at_and_masks_may_be_infinite():
    model = network(nn.BatchNorm2d(8))
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    explain("ae", model, images())
    model[1].running_var[3] = torch.inf
    with pytest.raises(NotFiniteError, match=r"1\.running_var holds inf"):
        explain("ae", model, images())


def test_weights_seen_once_are_not_read_again():
    model = network()
    check_weights(model)
    reads = []

    class Reads(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            reads.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Reads():
        check_weights(model)
    assert "aminmax" not in reads
    with Reads():
        check_weights(model, anew=True)
    assert "aminmax" in reads


@every
@pytest.mark.filterwarnings("ignore")
def test_quantized_networks_are_refused(method):
    dynamic = torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(UnsupportedModelError, match=r"6 \(Linear\) is quantized"):
        explain(method, dynamic, images())


@every
def test_quantizing_inside_and_whole_numbers_as_weights_are_refused(method):
    inside = network(Calls(lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize()))
    with pytest.raises(UnsupportedModelError, match="quantized"):
        explain(method, inside, images())
    model = network()
    model[2].scale = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    with pytest.raises(UnsupportedModelError, match="quantized"):
        explain(method, model, images())


@every
def test_a_bare_image_and_what_does_not_fit_is_said_in_a_sentence(method):
    model = network()
    with pytest.raises(ShapeError, match=r"image.unsqueeze\(0\)"):
        explain(method, model, images()[0])
    with pytest.raises(NetworkError, match="to have 3 channels"):
        explain(method, model, images()[:, :1])
    with pytest.raises(NetworkError, match=r"pass inputs.to\(torch.float32\)"):
        explain(method, model, images().double())
    with pytest.raises(EquipoiseError, match=r"image.unsqueeze\(0\)"):
        explain(method, nn.Sequential(nn.Flatten(), nn.Linear(432, 4)).eval(), images()[0])


@every
def test_three_dimensional_inputs_may_be_a_batch(method):
    model = nn.Sequential(nn.Conv1d(3, 6, 3), nn.ReLU(), nn.Conv1d(6, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
                          nn.Flatten(), nn.Linear(6, 4)).eval()  # fmt: skip
    assert explain(method, model, torch.randn(2, 3, 12)).shape[0] == 2


def test_the_cheap_options_are_of_registered_methods():
    assert set(CHEAP) <= set(EVERY) == set(equipoise.METHODS)
