"""Image classifiers of ``transformers`` that are convolutional networks: ``hf:FOLDER`` or ``hf:owner/name``."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image

from equipoise.errors import DescriptionError, MissingPackageError, UnsupportedModelError, WeightsError
from equipoise.models.checkpoints import file_checksum, read_tensors, state_checksum
from equipoise.models.downloads import hub_answers
from equipoise.models.hf_preprocessing import of_entries, of_timm
from equipoise.models.own import found_preprocessing, labels_of, task_of, unnamed
from equipoise.models.own_preprocessing import OwnPreprocessing
from equipoise.models.spec import ModelSpec
from equipoise.models.wrappings import fitted

if TYPE_CHECKING:
    from os import PathLike

    from torch import Tensor, nn

    from equipoise.models.preprocessing import Preprocessing

PREFIX: Final = "hf:"
"""What a name begins with."""

CNNS: Final = frozenset({
    "bit", "convnext", "convnextv2", "efficientnet", "focalnet", "hgnet_v2", "mobilenet_v1", "mobilenet_v2",
    "poolformer", "regnet", "resnet",
})  # fmt: skip
"""The kinds of `transformers` that mix positions by convolution and pooling alone; timm's are told by their names."""

_TIMM: Final = "timm_wrapper"
_PROCESSOR: Final = "preprocessor_config.json"
_PROBES: Final = ((97, 61), (61, 97), (301, 224))  # width and height of photos that two ways of preparing are tried on
_EQUAL: Final = 1e-5


def load_huggingface(
    name: str, weights: str | PathLike[str] | None = None
) -> tuple[nn.Module, ModelSpec, dict[str, str]]:
    """An image classifier of ``transformers`` in eval mode on the CPU, what is known about it, and what was assumed.

    Args:
        name: ``hf:`` and a folder, or a name of the Hugging Face hub, which is downloaded as ``transformers`` does it.
        weights: A file in place of the folder's own.

    Raises:
        MissingPackageError: If `transformers` is not installed.
        UnsupportedModelError: If it is no image classifier, or no convolutional network.
        WeightsError: If it is absent, cannot be fetched or is incomplete.
    """
    transformers = _transformers()
    where = _where(name)
    # An option of each of the clients' calls: whether they do without the hub.
    local = not Path(where).is_dir() and not hub_answers(where, name=name)
    with _quiet(transformers):
        config = _config(transformers, where, name, local=local)
        _require_classifier(config, name)
        auto = transformers.AutoModelForImageClassification
        if weights is None:
            module = _pretrained(auto, where, name, local=local)
        else:
            module = auto.from_config(config)
            _put(module, Path(weights), name)
        processor = _processor(transformers, where, local=local)
    module.eval()
    assumed: dict[str, str] = {}
    preprocessing, note = _preprocessing(module, processor)
    if note:
        assumed["preprocessing"] = note
    outputs = int(config.num_labels)
    spec = ModelSpec(
        name=name,
        source="huggingface",
        architecture=type(module).__name__,
        classes=labels_of(module, outputs) or tuple(f"class {index}" for index in range(outputs)),
        preprocessing=preprocessing,
        weights="pretrained" if weights is None else str(weights),
        weights_checksum=state_checksum(module) if weights is None else file_checksum(Path(weights)),
        task=task_of(module, outputs) or "classification",
    )
    if (unsaid := unnamed(spec)) and spec.task != "regression":
        assumed["classes"] = f"{unsaid} (id2label of its config.json, or --classes, sets them)"
    return module, spec, assumed


def fetch_huggingface(name: str) -> None:
    """Have the files of a classifier at hand.

    Raises:
        EquipoiseError: As `load_huggingface`.
    """
    load_huggingface(name)  # transformers alone knows which files it takes


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise MissingPackageError("hf: needs transformers: pip install equipoise[hf]") from error


def _where(name: str) -> str:
    """The folder, or the name on the hub."""
    rest = name.removeprefix(PREFIX).strip()
    folder = Path(rest).expanduser()
    if rest and folder.is_dir():
        if not (folder / "config.json").is_file():
            raise WeightsError(f"{folder} has no config.json, so it is no network of transformers")
        return str(folder)
    if not rest or rest.startswith((".", "/", "~")) or rest.count("/") > 1 or folder.exists():
        raise WeightsError(f"{name}: there is no folder {rest or 'without a name'}")
    return rest


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without its bars, hints and warnings: what matters is said in an error or a note."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    log.set_verbosity(logging.CRITICAL)
    log.disable_progress_bar()
    hub.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.set_verbosity(level)
        hub.setLevel(hub_level)
        if bars:
            log.enable_progress_bar()


def _config(transformers: Any, where: str, name: str, *, local: bool) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=local)
    except Exception as error:  # a hub, a network and a file may fail in any way
        raise WeightsError(f"{name} cannot be had: {_first_line(error)}") from error


def _require_classifier(config: Any, name: str) -> None:
    made = list(config.architectures or ())
    if made and not any("ForImageClassification" in one for one in made):
        raise UnsupportedModelError(f"{name} is a {made[0]}, which is no image classifier of transformers")
    kind = config.model_type
    if kind == _TIMM:
        from equipoise.models.zoo import find  # noqa: PLC0415  # loads torchvision and timm

        find(f"timm/{str(config.architecture).partition('.')[0]}")  # refuses by name what is no convolutional network
    elif kind not in CNNS:
        raise UnsupportedModelError(
            f"{name} is a {made[0] if made else kind}, and {kind} is not known as a convolutional network; equipoise "
            f"explains {', '.join(sorted(CNNS))} and timm's"
        )


def _pretrained(auto: Any, where: str, name: str, *, local: bool) -> nn.Module:
    try:
        module, info = auto.from_pretrained(
            where, trust_remote_code=False, weights_only=True, output_loading_info=True, dtype=torch.float32,
            local_files_only=local,
        )  # fmt: skip
    except Exception as error:  # as above
        raise WeightsError(f"{name} cannot be loaded: {_first_line(error)}") from error
    lacking = [*info.get("missing_keys", ()), *(str(key) for key in info.get("mismatched_keys", ()))]
    if lacking:
        some = ", ".join(sorted(lacking)[:3]) + (", ..." if len(lacking) > 3 else "")
        raise WeightsError(f"{name} is incomplete: {len(lacking)} tensors are missing or of another shape: {some}")
    network: nn.Module = module
    return network


def _put(module: nn.Module, path: Path, name: str) -> None:
    from equipoise.models.zoo import load_or_suggest  # noqa: PLC0415  # loads torchvision and timm

    state = fitted(read_tensors(path), module.state_dict().keys(), file=str(path))
    load_or_suggest(module, state, name=name, file=str(path))


def _processor(transformers: Any, where: str, *, local: bool) -> Any:
    """The image processor; ``None`` where the folder has none."""
    try:
        return transformers.AutoImageProcessor.from_pretrained(where, trust_remote_code=False, local_files_only=local)
    except Exception:  # noqa: BLE001 - as above; a network without one is prepared as usual, with a note
        return None


def _preprocessing(module: nn.Module, processor: Any) -> tuple[Preprocessing | OwnPreprocessing, str]:
    """How its photos are prepared, and a note if that is not known.

    Fields where they do on a few photos what the processor does; else the processor itself.
    """
    if processor is None:
        usual, note = found_preprocessing(module)
        return usual, f"{note} (a {_PROCESSOR}, or --size, --mean and --std, set it)"
    function = Processor(processor)
    try:
        entries = json.loads(processor.to_json_string())
        known = of_timm(entries) or of_timm({"pretrained_cfg": getattr(processor, "data_config", None)})
        plain = known or of_entries(entries)
    except (DescriptionError, TypeError, ValueError, KeyError):
        plain = ""
    if not isinstance(plain, str) and all(_same(plain, function, size) for size in _PROBES):
        return plain, ""
    return OwnPreprocessing.of(function), ""


def _same(preprocessing: Preprocessing, function: Processor, size: tuple[int, int]) -> bool:
    image = Image.effect_noise(size, 80).convert("RGB")
    one, other = preprocessing(image), function(image)
    return one.shape == other.shape and bool(((one - other).abs() <= _EQUAL * other.abs().clamp(min=1)).all())


class Processor:
    """An image processor as a function of one photo.

    Args:
        processor: Of `transformers`.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.__qualname__ = type(processor).__qualname__  # what a record calls it

    def __call__(self, image: Image.Image) -> Tensor:
        """The network's input, ``(c, h, w)``."""
        found: Mapping[str, Tensor] = self._processor(image.convert("RGB"), return_tensors="pt")
        return found["pixel_values"][0].to(torch.float32)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
