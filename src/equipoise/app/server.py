"""The page on a port of this machine: nothing is sent anywhere, and nothing outside the given folders is read."""

from __future__ import annotations

import ipaddress
import os
import shutil
import tempfile
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from equipoise.app.networks import Loader, Networks
from equipoise.app.spare import set_apart, share_memory, take_in
from equipoise.errors import MissingPackageError, OptionError
from equipoise.images import one_line
from equipoise.inputs import load_either

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_UPLOAD: Final = 40 * 1024 * 1024
"""Bytes of a photo."""

ALL_UPLOADS: Final = 2 * 1024 * 1024 * 1024
"""Bytes of all that visitors sent and made; they are removed after two hours."""

PASSWORD: Final = "EQUIPOISE_PASSWORD"  # noqa: S105  # the name of a variable
"""The environment variable that holds the page's password, where no file does."""

SHORTEST_PASSWORD: Final = 8
"""Letters."""

_OLDEST: Final = (6, 27)  # of gradio
_MISSING: Final = "the web app needs gradio 6.27 or later: pip install equipoise[app]"


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        address: Where the page is.
        folder: What the server writes; removed by `close`.
        blocks: What gradio made of the page.
        content: The `equipoise.app.controls.PageContent` behind it.
    """

    address: str
    folder: Path
    blocks: Any
    content: Any

    def wait(self) -> None:
        """Until Ctrl-C, which raises ``KeyboardInterrupt``."""
        threading.Event().wait()

    def close(self) -> None:
        """End the server and remove what visitors sent and made."""
        self.content.visitors.clear()
        self.blocks.close(verbose=False)
        self.content.reader.close()
        take_in()
        shutil.rmtree(self.folder, ignore_errors=True)


LAST_PORT: Final = 65535


def start(
    models: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    examples: str | None = None,
    loader: Loader = load_either,
    password: str | None = None,
    origins: Sequence[str] = (),
) -> Served:
    """Start the page.

    Args:
        models: Networks that it offers, as `equipoise.load_model` takes them; the first is loaded now.
        host: Address to listen on; the default is reached from this machine alone.
        port: 0 or ``None``: a free one from 7860 on.
        examples: Folder of photos or arrays to offer, of several inputs with a folder of each; ``None``: each
            network's own, or samples.
        loader: Loads a network by its name.
        password: Asked of every visitor, with any user name; ``None``: of none.
        origins: Other addresses by which the page is known, such as ``https://lab.example`` of a proxy before it; pages
            there may show it in a frame.

    Raises:
        MissingPackageError: If gradio 6.27 or later is not installed.
        OptionError: If the port is taken or none, the examples are no folder, or an origin is none.
        EquipoiseError: If the first network cannot be had.
    """
    if port is not None and not 0 <= port <= LAST_PORT:
        raise OptionError(f"--port is {port}; it has to be between 0 and {LAST_PORT}")
    if examples is not None and not Path(examples).is_dir():
        raise OptionError(f"--examples {one_line(examples)} is not a folder")
    for one in origins:
        parts = urlsplit(one)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise OptionError(f"--origin {one_line(one)} is no address such as https://lab.example")
    given = None if examples is None else Path(examples)
    folder = Path(tempfile.mkdtemp(prefix="equipoise-"))
    # gradio reads these when it is imported; none of its reports leave the machine
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    share_memory()
    try:
        page, look = _page(Networks(models, loader), given, folder)
        blocks, content = page.blocks, page.content
        look["app_kwargs"] = {"middleware": [_gate(folder, host, password, origins, look["head"])]}
        address = _launch(blocks, look, (host, port), [folder / "made"])
        set_apart()
        return Served(address, folder, blocks, content)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _gate(folder: Path, host: str, password: str | None, origins: Sequence[str], head: str) -> Any:
    """What stands before gradio."""
    from starlette.middleware import Middleware  # noqa: PLC0415  # gradio brings it

    from equipoise.app.gate import Gate, Rules  # noqa: PLC0415  # it imports starlette

    known = tuple(one.rstrip("/") for one in origins)
    rules = Rules(folder, host, known, password, LARGEST_UPLOAD, ALL_UPLOADS, head)
    return Middleware(Gate, rules=rules)


def password_of(file: str | None) -> str | None:
    """The page's password: the first line of a file, or else what the environment variable `PASSWORD` holds.

    Raises:
        OptionError: If the file cannot be read, or the password has less than `SHORTEST_PASSWORD` letters.
    """
    where, found = PASSWORD, os.environ.get(PASSWORD)
    if file is not None:
        where = f"--password-file {one_line(file)}"
        try:
            found = next(iter(Path(file).read_text(encoding="utf-8").splitlines()), "")
        except (OSError, ValueError) as error:
            raise OptionError(f"{where} cannot be read ({one_line(getattr(error, 'strerror', error))})") from error
    if found is not None and len(found.strip()) < SHORTEST_PASSWORD:
        raise OptionError(f"{where} holds no password of at least {SHORTEST_PASSWORD} letters")
    return None if found is None else found.strip()


def _page(networks: Networks, given: Path | None, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The page, and how it looks."""
    try:
        import gradio as gr  # noqa: PLC0415  # the app extra
    except ImportError as error:
        raise MissingPackageError(_MISSING) from error
    if tuple(map(int, gr.__version__.split(".")[:2])) < _OLDEST:
        raise MissingPackageError(f"{_MISSING}; this is gradio {gr.__version__}")
    from equipoise.app import scenes  # noqa: PLC0415  # it imports gradio
    from equipoise.app.controls import PageContent, text_of  # noqa: PLC0415  # they import gradio
    from equipoise.app.page import Page  # noqa: PLC0415  # it imports gradio

    networks[networks.names[0]]  # now, and not while the first visitor waits
    page = Page(PageContent(networks, given, folder / "made"))
    scenes.add(page.blocks, page.content.visitors)
    theme = gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return page, {
        "theme": theme,
        "css": text_of("page.css"),
        "head": f"<script>{text_of('inspector.js')}</script><style>{text_of('layout.css')}</style>",
    }


def _launch(blocks: Any, look: dict[str, Any], place: tuple[str, int | None], allowed: Sequence[Path]) -> str:
    host, port = place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gradio's own parts, about one another
        try:
            _, address, _ = blocks.queue(default_concurrency_limit=4, max_size=1024).launch(
                server_name=host, server_port=port or None, prevent_thread_lock=True, quiet=True, share=False,
                ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False, footer_links=[],
                max_file_size=LARGEST_UPLOAD, allowed_paths=[str(path) for path in allowed],
                state_session_capacity=256, **look,
            )  # fmt: skip
        except OSError as error:
            where = f"port {port} of {host}" if port else f"a port of {host}"
            raise OptionError(f"{where} cannot be had: is the address one of this machine, and free?") from error
    return str(address)


def _is_here(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    models: Sequence[str],
    *,
    host: str,
    port: int | None,
    examples: str | None,
    loader: Loader = load_either,
    password_file: str | None = None,
    origins: Sequence[str] = (),
) -> int:
    """Start the page, say where it is, and wait for Ctrl-C; the exit status.

    Raises:
        EquipoiseError: As `start` and `password_of`.
    """
    password = password_of(password_file)
    served = start(models, host=host, port=port, examples=examples, loader=loader, password=password, origins=origins)
    try:
        print(f"The page is at {served.address} (Ctrl-C ends it)", flush=True)  # for a person
        if password is None and not _is_here(host):
            print("Whoever reaches this port can use it; --password-file asks for a password.", flush=True)
        served.wait()
    finally:
        served.close()
    return 0
