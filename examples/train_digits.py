"""Train a neural network on handwritten digits, on NumPy arrays, with one compiled step.

The data are 1,797 images of 8x8 pixels (see ``data/README.md``). A network 64-128-10 learns four
fifths of them and reaches about 98 % on the rest. The parameters are a list of dictionaries, so are
their gradients and Adam's two averages; Adam is three lines over such pytrees. ``jit`` compiles the
whole step: loss, gradient and update.

Shown here: ``value_and_grad`` inside ``jit``, ``tree.map``, an optimiser as plain functions.
A progress bar appears when tqdm is installed (``pip install "functrace[progress]"``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import functrace as ft

try:
    from tqdm import tqdm
except ImportError:  # the example runs without it
    tqdm = None

Params = list[dict[str, np.ndarray]]
Split = tuple[np.ndarray, np.ndarray]

DATA = Path(__file__).parent / "data" / "digits.npz"


# ---------------------------------------------------------------------------- data


def load_digits(rng: np.random.Generator) -> tuple[Split, Split]:
    """Shuffle the images and split them 80/20: ``(pixels, labels)`` to learn and to test."""
    with np.load(DATA) as file:
        pixels = file["images"].reshape(-1, 64) / 16.0
        labels = file["labels"].astype(np.int64)
    order = rng.permutation(len(labels))
    pixels, labels = pixels[order], labels[order]
    cut = len(labels) * 4 // 5

    # Centre by the training images alone: nothing about the test images may leak into training.
    pixels = (pixels - pixels[:cut].mean(axis=0)) / pixels[:cut].std()
    return (pixels[:cut], labels[:cut]), (pixels[cut:], labels[cut:])


def batches(data: Split, size: int, rng: np.random.Generator) -> Iterator[Split]:
    """One epoch in a new random order; the incomplete last batch is left out.

    A little noise on the pixels keeps the network from learning the images by heart.
    """
    pixels, labels = data
    order = rng.permutation(len(labels))
    for start in range(0, len(labels) - size + 1, size):
        pick = order[start : start + size]
        yield pixels[pick] + rng.normal(0.0, 0.3, (size, 64)), labels[pick]


# ---------------------------------------------------------------------------- model


def init_mlp(sizes: list[int], rng: np.random.Generator) -> Params:
    """He's initialisation: a layer keeps the variance of what flows through it."""
    return [
        {"w": rng.normal(0.0, np.sqrt(2.0 / n_in), (n_in, n_out)), "b": np.zeros(n_out)}
        for n_in, n_out in pairwise(sizes)
    ]


def logits(params: Params, x: np.ndarray) -> np.ndarray:
    for layer in params[:-1]:
        x = np.maximum(x @ layer["w"] + layer["b"], 0.0)
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(params: Params, x: np.ndarray, y: np.ndarray) -> float:
    """Mean cross entropy of the softmax of the logits against the labels ``y``."""
    z = logits(params, x)
    z = z - np.max(z, axis=1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    one_hot = y[:, None] == np.arange(10)
    return -np.mean(np.sum(np.where(one_hot, log_p, 0.0), axis=1))


def accuracy(params: Params, data: Split) -> float:
    pixels, labels = data
    return float(np.mean(np.argmax(logits(params, pixels), axis=1) == labels))


# ---------------------------------------------------------------------------- optimiser


def adam_init(params: Params) -> dict[str, Any]:
    zeros = ft.tree.map(np.zeros_like, params)
    return {"count": np.float64(0.0), "mean": zeros, "square": zeros}


def adam(
    grads: Params, state: dict[str, Any], params: Params, rate: float
) -> tuple[Params, dict[str, Any]]:
    """Adam (Kingma and Ba, 2015): the new parameters and the new state."""
    count = state["count"] + 1.0
    mean = ft.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["mean"], grads)
    square = ft.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, state["square"], grads)
    mean_scale, square_scale = 1.0 / (1.0 - 0.9**count), 1.0 / (1.0 - 0.999**count)
    params = ft.tree.map(
        lambda p, m, s: p - rate * (m * mean_scale) / (np.sqrt(s * square_scale) + 1e-8),
        params,
        mean,
        square,
    )
    return params, {"count": count, "mean": mean, "square": square}


@ft.jit
def step(
    params: Params, state: dict[str, Any], x: np.ndarray, y: np.ndarray, rate: float
) -> tuple[float, Params, dict[str, Any]]:
    """One training step; everything in it is compiled together."""
    value, grads = ft.value_and_grad(loss)(params, x, y)
    params, state = adam(grads, state, params, rate)
    return value, params, state


# ---------------------------------------------------------------------------- training


def main(
    epochs: int = 20, batch: int = 32, rate: float = 2e-3, hidden: int = 128, seed: int = 0
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    train, test = load_digits(rng)
    params = init_mlp([64, hidden, 10], rng)
    state = adam_init(params)

    started = time.perf_counter()
    per_epoch = len(train[1]) // batch
    bar = tqdm(total=epochs * per_epoch, unit="step", leave=False) if tqdm else None
    say = bar.write if bar is not None else print
    history = []
    for epoch in range(1, epochs + 1):
        # The rate falls to nearly nothing along half a cosine.
        epoch_rate = rate * 0.5 * (1.0 + np.cos(np.pi * (epoch - 1) / epochs))
        losses = []
        for x, y in batches(train, batch, rng):
            value, params, state = step(params, state, x, y, epoch_rate)
            losses.append(value)
            if bar is not None:
                bar.update()
        history.append({"loss": float(np.mean(losses)), "accuracy": accuracy(params, test)})
        say(
            f"epoch {epoch:2d}/{epochs}  loss {history[-1]['loss']:.4f}  "
            f"test accuracy {history[-1]['accuracy']:.2%}"
        )
    if bar is not None:
        bar.close()

    seconds = time.perf_counter() - started
    final = history[-1]["accuracy"]
    print(f"test accuracy {final:.2%} after {epochs} epochs in {seconds:.1f} s")
    return {"test_accuracy": final, "history": history, "seconds": seconds}


if __name__ == "__main__":
    main()
