"""A copy of a network that captum's DeepLIFT can put its hooks on."""

from __future__ import annotations

import copy
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from equipoise.engine import OpKind, Trace, record
from equipoise.engine.outputs import Output
from equipoise.engine.rule import describe
from equipoise.errors import UnsupportedModelError
from equipoise.methods.evaluate import network_logits

_KNOWN = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softmax,
          nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)  # fmt: skip
_MISSED = (
    "captum's DeepLIFT would miss nonlinearities that this network reaches by another way than its submodules, such as "
    "a replaced forward; choose another method, such as integrated_gradients"
)
_NONLINEAR = frozenset({OpKind.ACTIVATION, OpKind.GATE, OpKind.MAX_POOL})


class HookableCopy(nn.Module):
    """The same network, weights shared, where every call of a nonlinearity has a module of its own.

    Args:
        model: The network; it is not changed.
        image: One image ``(1, c, *space)``, to see which modules it calls.
        output: See `equipoise.engine.outputs.pick_output`.

    Raises:
        UnsupportedModelError: If a nonlinearity is no module that captum has a rule for.
    """

    model: nn.Module

    def __init__(self, model: nn.Module, image: Tensor, output: Output = None) -> None:
        super().__init__()
        recorded = Counter(nonlinear_modules(model, record(model, image, output=output)))
        calls = called(model, image, output)  # also on what does not depend on the image, such as another input
        if recorded - calls:
            raise UnsupportedModelError(_MISSED)
        self.output = output
        tensors = [*model.parameters(), *model.buffers()]
        self.model = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
        shared = {self.model.get_submodule(name): count for name, count in calls.items() if count > 1}
        replaced = {module: InTurn(module, count) for module, count in shared.items()}
        _restore_forward(self.model)
        for parent in list(self.model.modules()):
            parent._backward_hooks.clear()  # noqa: SLF001  # captum passes over a module that has any
            for name, child in list(parent._modules.items()):  # noqa: SLF001  # named_children() hides a second name
                if child in replaced:
                    setattr(parent, name, replaced[child])
        self._check(image, sum(calls.values()))

    def _check(self, image: Tensor, expected: int) -> None:
        """Refuse a copy that calls modules of the original, where no hook is.

        Raises:
            UnsupportedModelError: If it does.
        """
        for module in self.modules():
            if isinstance(module, InTurn):
                module.turn = 0
        if called(self.model, image, self.output).total() != expected:
            raise UnsupportedModelError(_MISSED)

    def forward(self, points: Tensor) -> Tensor:
        """Logits ``(m, C)`` of ``points``."""
        for module in self.modules():
            if isinstance(module, InTurn):
                module.turn = 0
        return network_logits(self.model, points, self.output)


def called(model: nn.Module, image: Tensor, output: Output) -> Counter[str]:
    """How often one forward pass calls each module that captum has a rule for."""
    seen: Counter[str] = Counter()
    names = {id(module): name for name, module in model.named_modules() if type(module) in _KNOWN}
    own = threading.get_ident()

    def count(module: nn.Module, *_: object) -> None:
        if id(module) in names and threading.get_ident() == own:  # another thread may run the network, too
            seen[names[id(module)]] += 1

    handle = nn.modules.module.register_module_forward_hook(count)
    try:
        with torch.no_grad():
            network_logits(model, image, output)
    finally:
        handle.remove()
    return seen


def _restore_forward(model: nn.Module) -> None:
    """Let modules whose own ``forward`` was compiled run it as it was written, on themselves."""
    for module in model.modules():
        compiled = vars(module).get("forward")
        if hasattr(compiled, "_torchdynamo_orig_callable"):
            method = inspect.unwrap(compiled)  # type: ignore[arg-type]  # it has the mark of a function
            if getattr(method, "__func__", method) is type(module).forward:
                del vars(module)["forward"]


class InTurn(nn.Module):
    """Copies of one stateless module, called one after another.

    Args:
        module: What to copy.
        count: How often one forward pass calls it.
    """

    def __init__(self, module: nn.Module, count: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for _ in range(count))
        self.turn = 0

    def forward(self, x: Tensor) -> Tensor:
        """The next copy's result."""
        module = self.copies[self.turn]
        self.turn += 1
        result: Tensor = module(x)
        return result


class ScoreModule(nn.Module):
    """A score of a network, as the one module that captum's DeepLIFT asks for.

    Args:
        network: The module to hook.
        scores: Images to scores ``(m,)``; runs ``network``.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], scores: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.scores = scores

    def forward(self, points: Tensor) -> Tensor:
        """The scores of ``points``."""
        return self.scores(points)


def nonlinear_modules(model: nn.Module, trace: Trace) -> Iterator[str]:
    """The name of the module behind each call of a nonlinearity, in order.

    Raises:
        UnsupportedModelError: If it is none that captum has a rule for.
    """
    for call in trace.recorded:
        if call.inputs and all(value.discrete for value in call.inputs):
            continue  # what is computed from masks and indices has no gradient
        if (call.kind is None or call.kind in _NONLINEAR) and call.name != "neg":
            if type(model.get_submodule(call.site.module)) not in _KNOWN:
                known = ", ".join(kind.__name__ for kind in _KNOWN)
                raise UnsupportedModelError(
                    f"captum's DeepLIFT would take the plain gradient of {describe(call)}; it knows the modules {known}"
                )
            yield call.site.module
