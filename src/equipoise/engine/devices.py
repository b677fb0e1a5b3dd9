"""What it costs to look at a tensor's entries: on an accelerator the host waits for all that was asked of it before."""

from __future__ import annotations

from torch import Tensor


def free_to_ask(tensor: Tensor) -> bool:
    """Whether Python may look at a tensor's entries without waiting for a device; then to look may save work.

    What runs once per layer asks this first, and has an answer for an accelerator that needs no look.
    """
    return tensor.device.type == "cpu"
