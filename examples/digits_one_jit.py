"""Train a network on handwritten digits inside one ``jit``: the loop over steps is compiled too.

The same network and data as ``train_digits.py``. Here all steps of an epoch are one ``fori_loop``:
the batch is cut out of the images inside it, in an order that ``functrace.random`` shuffles anew in
each epoch, so Python is entered once an epoch.

Shown here: ``lax.fori_loop`` around ``value_and_grad``, indexing by a loop's counter, random keys.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np

import functrace as ft
from functrace import lax, random

# The network, its loss and Adam are those of the example beside this one.
_SPEC = importlib.util.spec_from_file_location(
    "train_digits", Path(__file__).with_name("train_digits.py")
)
assert _SPEC is not None and _SPEC.loader is not None
digits = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(digits)

BATCH = 32


@ft.jit
def epoch(
    params: Any, state: Any, pixels: np.ndarray, labels: np.ndarray, key: Any, rate: float
) -> tuple[Any, Any, Any]:
    """One pass over the data in a new order; returns the parameters and the mean loss."""
    steps = len(labels) // BATCH
    shuffle, blur = random.split(key)
    order = random.permutation(shuffle, len(labels))

    def step(i: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        params, state, total = carry
        pick = lax.dynamic_slice(order, (i * BATCH,), (BATCH,))
        noise = 0.3 * random.normal(random.fold_in(blur, i), (BATCH, 64))
        value, grads = ft.value_and_grad(digits.loss)(params, pixels[pick] + noise, labels[pick])
        params, state = digits.adam(grads, state, params, rate)
        return params, state, total + value

    params, state, total = lax.fori_loop(0, steps, step, (params, state, 0.0))
    return params, state, total / steps


def main(epochs: int = 20, rate: float = 2e-3, hidden: int = 128, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    (pixels, labels), test = digits.load_digits(rng)
    params = digits.init_mlp([64, hidden, 10], rng)
    state, key = digits.adam_init(params), random.key(seed)

    started = time.perf_counter()
    losses = []
    for number in range(epochs):
        # The rate falls to nearly nothing along half a cosine.
        now = rate * 0.5 * (1.0 + np.cos(np.pi * number / epochs))
        key, fresh = random.split(key)
        params, state, value = epoch(params, state, pixels, labels, fresh, now)
        losses.append(float(value))
    seconds = time.perf_counter() - started
    accuracy = digits.accuracy(params, test)
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    print(f"test accuracy {accuracy:.2%} after {epochs} epochs in {seconds:.1f} s")
    return {"test_accuracy": accuracy, "losses": losses, "seconds": seconds}


if __name__ == "__main__":
    main()
