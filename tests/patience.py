"""How long a test waits for a process or a page: until what it waits for is there, however busy the machine.

The limit only ends a test that would never end; nothing that works comes near it.
"""

import time

PATIENCE = 600
"""Seconds."""


def until(condition, process=None):
    """Wait for a condition; give up when the process that should bring it about has ended without."""
    give_up = time.monotonic() + PATIENCE
    while not (found := condition()):
        ended = process is not None and process.poll() is not None
        assert not ended or condition(), f"the process ended with {process.returncode}"
        assert time.monotonic() < give_up, "what is waited for does not come"
        time.sleep(0.01)
    return found
