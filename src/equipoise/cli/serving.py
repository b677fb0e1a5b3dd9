"""``equipoise serve``: the networks of the command line, and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.app import server
from equipoise.cli.request import find_own_modules, names_of, one_network
from equipoise.inputs import load_either

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.cli.request import NetworkRequest
    from equipoise.inputs import SeveralInputs
    from equipoise.network import Network


def serve_page(
    models: Sequence[str],
    said: NetworkRequest,
    *,
    host: str,
    port: int | None,
    examples: str | None,
    password_file: str | None = None,
    origins: Sequence[str] = (),
) -> int:
    """Open the page; the exit status.

    Args:
        models: As typed.
        said: What is said of the network, if there is one alone.
        host: Address to listen on.
        port: ``None``: a free one.
        examples: Folder of photos to offer.
        password_file: Holds the password of the page.
        origins: Other addresses by which the page is known.

    Raises:
        EquipoiseError: As `equipoise.app.server.serve`; or if something is said of several networks.
    """
    find_own_modules()
    names = names_of(models)
    one_network(said, names)
    told = said.said()

    def loader(name: str) -> Network | SeveralInputs:
        return load_either(name, weights=said.weights, said=told)

    return server.serve(
        names, host=host, port=port, examples=examples, loader=loader, password_file=password_file, origins=origins
    )
