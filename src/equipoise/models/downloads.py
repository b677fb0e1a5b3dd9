"""Fetch published weights; without a network, say within seconds what is wanted and where to put it.

Both hubs' own clients do the download. They are asked only after a short look whether their server
answers at all, because offline they wait and log for tens of seconds.
"""

from __future__ import annotations

import queue
import re
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import huggingface_hub
import torch
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from equipoise.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 8.0
"""Seconds that a server has for its first answer."""

# timm keeps its weights in a repository under the first of these that exists.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_CONFIG = "config.json"


class _UnreachableError(OSError):
    """The server did not answer."""


def checkpoint_folder() -> Path:
    """Where torch keeps the weights it downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch_url(url: str, *, name: str) -> Path:
    """The file behind ``url``, from torch's checkpoint folder or else downloaded into it.

    The download is compared with the digits of its SHA-256 that the file's name carries, if any.

    Args:
        url: ``https:`` or ``file:``.
        name: The network's name, for the message.

    Raises:
        WeightsError: If the file is neither there nor to be had.
    """
    file = Path(urllib.parse.urlsplit(url).path).name
    target = checkpoint_folder() / file
    if target.is_file():
        return target
    digits = re.search(r"-([a-f0-9]{8,})\.", file)
    place = f"put that file into {target.parent} or pass its path as weights= (--weights FILE)"
    with _explained(f"{name} needs the weights file {file} from {url}", place):
        _require_answer(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = digits.group(1) if digits else None
        torch.hub.download_url_to_file(url, str(target), prefix, progress=sys.stderr.isatty())
    return target


def fetch_hub(repository: str, file: str | None, *, name: str) -> Path:
    """A weights file of a repository on the Hugging Face hub, from its cache or else downloaded into it.

    Args:
        repository: Such as ``"timm/resnet50.a1_in1k"``, with ``@revision`` if one is meant.
        file: The file's name; ``None`` for the hub's usual ones.
        name: The network's name, for the message.

    Raises:
        WeightsError: If the file is neither there nor to be had.
    """
    repo_id, _, revision = repository.partition("@")
    files = (file,) if file else _HUB_FILES

    def get(file: str, *, local: bool) -> Path:
        return Path(
            huggingface_hub.hf_hub_download(
                repo_id, file, revision=revision or None, local_files_only=local, etag_timeout=PATIENCE
            )
        )

    for candidate in files:
        try:
            return get(candidate, local=True)
        except LocalEntryNotFoundError:
            continue
    url = huggingface_hub.hf_hub_url(repo_id, files[0], revision=revision or None)
    place = "download that file and pass its path as weights= (--weights FILE)"
    with _explained(f"{name} needs {files[0]} of the hub repository {repo_id} ({url})", place):
        _require_hub(url)
        for candidate in files[:-1]:
            try:
                return get(candidate, local=False)
            except LocalEntryNotFoundError:
                raise
            except EntryNotFoundError:
                continue
        return get(files[-1], local=False)


def hub_answers(repository: str, *, name: str) -> bool:
    """Whether the Hugging Face hub can be asked for a network of ``transformers``.

    Its own client waits and tries again for half a minute before it says that there is no network.

    Args:
        repository: Such as ``"microsoft/resnet-50"``.
        name: The network's name, for the message.

    Returns:
        ``False`` if the hub is out of reach and the network's files were fetched before.

    Raises:
        WeightsError: If it is out of reach and they were not, or this is no name of a repository.
    """
    try:
        url = huggingface_hub.hf_hub_url(repository, _CONFIG)
        _require_hub(url)
    except HFValidationError as error:
        raise WeightsError(f"{name}: {repository} is no folder here and no name on the Hugging Face hub") from error
    except _UnreachableError as error:
        if isinstance(huggingface_hub.try_to_load_from_cache(repository, _CONFIG), str):
            return False
        place = f"download its files ({url}, its weights, its preprocessor) into a folder and give hf:FOLDER"
        raise WeightsError(f"{name} is on the Hugging Face hub, which cannot be reached ({error}): {place}") from error
    return True


@contextmanager
def _explained(wanted: str, place: str) -> Iterator[None]:
    """Turn whatever goes wrong with a download into one sentence."""
    try:
        yield
    except Exception as error:  # the clients raise whatever their HTTP library does
        reached = not isinstance(error, _UnreachableError)
        verb = "and the download failed" if reached else "which cannot be reached"
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            f"{wanted}, {verb} ({lines[0]}): {place}; or use efficientnet_lite0, which works offline"
        ) from error


def _require_hub(url: str) -> None:
    """As `_require_answer`, unless the hub is not to be asked at all."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise _UnreachableError("HF_HUB_OFFLINE is set")
    _require_answer(url)


def _require_answer(url: str) -> None:
    """Raise `_UnreachableError` unless the server of ``url`` answers within `PATIENCE` seconds.

    A thread asks, because no timeout bounds the look-up of a server's name.
    """
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(url, answers.put), daemon=True).start()
    try:
        fault = answers.get(timeout=PATIENCE)
    except queue.Empty:
        fault = f"no answer in {PATIENCE:g} s"
    if fault is not None:
        raise _UnreachableError(fault)


def _ask(url: str, report: Callable[[str | None], None]) -> None:
    """Report ``None`` if the server answers, whatever it says, and else why not."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - from the libraries' own tables
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
            report(None)
    except urllib.error.HTTPError as error:
        error.close()
        report(None)
    except urllib.error.URLError as error:
        report(str(getattr(error.reason, "strerror", None) or error.reason))
    except (OSError, ValueError) as error:
        report(str(error) or type(error).__name__)
