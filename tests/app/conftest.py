"""A visitor's session on a small network, without a browser."""

import asyncio
import warnings

import pytest

import colors
from equipoise.app.networks import Networks
from equipoise.app.reading import Reader
from equipoise.app.session import Session
from equipoise.network import Network


@pytest.fixture(scope="module", autouse=True)
def no_loop_is_left():
    """An event loop that gradio made for this thread would complain when another module's tests let go of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is none, or that one is made for the question
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:
            return
        loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def networks():
    asked = []

    def load(name):
        asked.append(name)
        return Network(*colors.build(), name)

    networks = Networks(["colors", "other"], load)
    networks.asked = asked
    return networks


@pytest.fixture
def photo(tmp_path):
    """96 x 48 pixels: a red and a blue square of 16 pixels on black, both in the middle that the network sees."""
    image = colors.photo("red", 28, 8, size=96).crop((0, 0, 96, 48))
    image.paste((0, 0, 255), (52, 20, 68, 36))
    path = tmp_path / "two squares.png"
    image.save(path)
    return str(path)


@pytest.fixture
def session(networks, photo):
    return Session.open(photo, networks["colors"])


@pytest.fixture
def reader():
    """What reads visitors' files; its processes end with the test."""
    made = Reader(count=1)
    yield made
    made.close()
