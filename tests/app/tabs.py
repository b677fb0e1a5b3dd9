"""What a page does for one tab, asked in this process."""

from types import SimpleNamespace

REQUEST = SimpleNamespace(session_hash="tab")


def given(page, *values):
    """What is shown at last when all that is given is opened."""
    *_, found = page.opening.given(REQUEST, *values)
    return found


def filled(page, place, fill, values, *, array):
    """What is shown at last when a place got a file."""
    *_, found = page.opening.filled(place, fill, array=array)(REQUEST, *values)
    return found
