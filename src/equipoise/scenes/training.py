"""Train the networks for drawn scenes, each in under three minutes on two cores.

    python -m equipoise.scenes.training [--network NAME] [--seed N] [--steps N] [--into FOLDER]

Without ``--network`` all of them, with every packaged seed. Scenes are drawn anew for every step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from equipoise.datasets.drawing import Bias, draw
from equipoise.records import write_atomically
from equipoise.scenes.networks import ARCHITECTURES, FOLDER, SEEDS, Network, normalized

STEPS, BATCH, RATE = 600, 64, 4e-3
TESTS = 1000
_TEST_SEED = 2**31


def train(
    name: str, seed: int = 0, steps: int = STEPS, progress: Callable[[int, float], None] | None = None
) -> Network:
    """Train a network by Adam on the mean binary cross-entropy of its scores, with a cosine of the rate.

    Args:
        name: In `ARCHITECTURES`.
        seed: Of weights and scenes.
        steps: Of 64 scenes each.
        progress: Called with the step, from 1, and the loss.

    Returns:
        The network, in eval mode.

    Raises:
        UnknownNameError: If there is no such network.
    """
    architecture = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = architecture.build()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(steps, 2))
    for step in range(steps):
        scenes = draw(BATCH, seed * 1_000_003 + step + 1, architecture.bias)
        logits = network(normalized(scenes.images()))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, scenes.labels.float())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, float(loss.detach()))
    return network.eval()


def accuracy(network: Network, bias: Bias, count: int = TESTS) -> float:
    """The share of right answers, each scene and shape one, on scenes that training never drew."""
    scenes = draw(count, _TEST_SEED, bias)
    with torch.no_grad():
        return float(((network(normalized(scenes.images())) > 0) == scenes.labels).float().mean())


def save(network: Network, path: Path) -> None:
    """Write the weights in half precision."""
    from safetensors.torch import save as packed  # noqa: PLC0415  # an extra

    state = {
        key: value.half().contiguous() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    write_atomically(path, packed(state))


def main() -> None:
    """Train what is asked for and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=ARCHITECTURES.names(), action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--into", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    for name in options.network or ARCHITECTURES.names():
        for seed in options.seed or SEEDS:

            def progress(step: int, loss: float, label: str = f"{name}, seed {seed}") -> None:
                if step % 50 == 0:
                    print(f"{label}: step {step} of {options.steps}, loss {loss:.4f}", flush=True)

            network = train(name, seed, options.steps, progress)
            save(network, options.into / f"{name}-{seed}.safetensors")
            print(f"{name}, seed {seed}: {accuracy(network, ARCHITECTURES[name].bias):.1%} of the answers are right")


if __name__ == "__main__":
    main()
