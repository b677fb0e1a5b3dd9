"""Metrics where a device has no float64, as Apple's has not."""

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from equipoise import metrics
from equipoise.metrics import grid, segmentation


class NoFloat64(TorchFunctionMode):
    """Tensors given to it lie on a device without float64, and so does what is made of them until ``cpu()``."""

    def __init__(self, *tensors):
        super().__init__()
        self.there = WeakIdKeyDictionary()
        for tensor in tensors:
            self.there[tensor] = True

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "cpu":
            return func(*args, **kwargs).clone()
        given = [item for part in (*args, *kwargs.values()) for item in (part if isinstance(part, list) else [part])]
        tensors = [item for item in given if isinstance(item, torch.Tensor)]
        if name == "to" and len(tensors) > 1:  # to where another tensor is
            tensors = tensors[1:]
        there = bool(tensors) and all(tensor in self.there for tensor in tensors)
        result = func(*args, **kwargs)
        for tensor in result if isinstance(result, tuple) else [result]:
            if isinstance(tensor, torch.Tensor) and (there or kwargs.get("device") is not None):
                if tensor.dtype == torch.float64:
                    raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
                if there:
                    self.there[tensor] = True
        return result


@pytest.fixture
def maps():
    torch.manual_seed(0)
    return torch.randn(3, 12, 12), torch.rand(3, 12, 12) > 0.5


@pytest.mark.parametrize("measure", [
    lambda heat, _masks: grid.keep_top(heat, 0.3),
    lambda heat, _masks: grid.keep_top(heat, torch.tensor([0.1, 0.2, 0.3])),
    segmentation.pixel_average_precision, segmentation.pixel_accuracy, segmentation.intersection_over_union,
])  # fmt: skip
def test_functions(measure, maps):
    expected = measure(*maps)
    with NoFloat64(*maps):
        found = measure(*maps)
    assert torch.allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["pixel_ap", "pixel_accuracy", "mean_iou"])
def test_sums_over_a_data_set(name, maps):
    metric = metrics.METRICS[name]()
    metric.update(*maps)
    expected = metric.compute()
    metric.reset()
    with NoFloat64(*maps):
        metric.update(*maps)
    assert torch.allclose(metric.compute(), expected)


def test_a_metric_moves_to_a_device_without_float64():
    metric = metrics.METRICS["pixel_ap"]()

    def to_device(tensor):
        if tensor.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return tensor

    metric._apply(to_device)
    assert metric.total.dtype == torch.float32
