"""The page on a port of this machine: nothing is sent anywhere, and nothing outside the given folders is read."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from equipoise.app.networks import Loader, Networks
from equipoise.errors import MissingPackageError, OptionError
from equipoise.images import one_line
from equipoise.inputs import load_either

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_UPLOAD: Final = 40 * 1024 * 1024
"""Bytes of a photo."""

_MISSING: Final = "the web app needs gradio 6: pip install equipoise[app]"


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        address: Where the page is.
        folder: What the server writes; removed by `close`.
    """

    address: str
    folder: Path
    blocks: Any

    def wait(self) -> None:
        """Until Ctrl-C, which raises ``KeyboardInterrupt``."""
        threading.Event().wait()

    def close(self) -> None:
        """End the server and remove what visitors sent and made."""
        self.blocks.close(verbose=False)
        shutil.rmtree(self.folder, ignore_errors=True)


LAST_PORT: Final = 65535


def start(
    models: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    examples: str | None = None,
    loader: Loader = load_either,
) -> Served:
    """Start the page.

    Args:
        models: Networks that it offers, as `equipoise.load_model` takes them; the first is loaded now.
        host: Address to listen on; the default is reached from this machine alone.
        port: 0 or ``None``: a free one from 7860 on.
        examples: Folder of photos or arrays to offer, of several inputs with a folder of each; ``None``: each
            network's own, or samples.
        loader: Loads a network by its name.

    Raises:
        MissingPackageError: If gradio 6 is not installed.
        OptionError: If the port is taken or none, or the examples are no folder.
        EquipoiseError: If the first network cannot be had.
    """
    if port is not None and not 0 <= port <= LAST_PORT:
        raise OptionError(f"--port is {port}; it has to be between 0 and {LAST_PORT}")
    if examples is not None and not Path(examples).is_dir():
        raise OptionError(f"--examples {one_line(examples)} is not a folder")
    given = None if examples is None else Path(examples)
    folder = Path(tempfile.mkdtemp(prefix="equipoise-"))
    # gradio reads these when it is imported; none of its reports leave the machine
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    try:
        blocks, look = _page(Networks(models, loader), given, folder)
        return Served(_launch(blocks, look, (host, port), [folder / "made"]), folder, blocks)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _page(networks: Networks, given: Path | None, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The page, and how it looks."""
    try:
        import gradio as gr  # noqa: PLC0415  # the app extra
    except ImportError as error:
        raise MissingPackageError(_MISSING) from error
    if int(gr.__version__.split(".")[0]) < 6:
        raise MissingPackageError(f"{_MISSING}; this is gradio {gr.__version__}")
    from equipoise.app import scenes  # noqa: PLC0415  # it imports gradio
    from equipoise.app.controls import PageContent, text_of  # noqa: PLC0415  # they import gradio
    from equipoise.app.page import Page  # noqa: PLC0415  # it imports gradio

    networks[networks.names[0]]  # now, and not while the first visitor waits
    blocks = Page(PageContent(networks, given, folder / "made")).blocks
    scenes.add(blocks)
    theme = gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return blocks, {"theme": theme, "css": text_of("page.css"), "head": f"<script>{text_of('inspector.js')}</script>"}


def _launch(blocks: Any, look: dict[str, Any], place: tuple[str, int | None], allowed: Sequence[Path]) -> str:
    host, port = place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gradio's own parts, about one another
        try:
            _, address, _ = blocks.queue(default_concurrency_limit=4, max_size=64).launch(
                server_name=host, server_port=port or None, prevent_thread_lock=True, quiet=True, share=False,
                ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False, footer_links=[],
                max_file_size=LARGEST_UPLOAD, allowed_paths=[str(path) for path in allowed],
                state_session_capacity=64, **look,
            )  # fmt: skip
        except OSError as error:
            where = f"port {port} of {host}" if port else f"a port of {host}"
            raise OptionError(f"{where} cannot be had: is the address one of this machine, and free?") from error
    return str(address)


def serve(
    models: Sequence[str], *, host: str, port: int | None, examples: str | None, loader: Loader = load_either
) -> int:
    """Start the page, say where it is, and wait for Ctrl-C; the exit status.

    Raises:
        EquipoiseError: As `start`.
    """
    served = start(models, host=host, port=port, examples=examples, loader=loader)
    try:
        print(f"The page is at {served.address} (Ctrl-C ends it)", flush=True)  # for a person
        served.wait()
    finally:
        served.close()
    return 0
