"""Reductions over each axis, and the functions of rows built from them, with gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.case import Case, Formula, Goal, gradient, normal, value

TITLE = "Reductions, softmax, layer norm"
GOALS = {"jax": Goal(0.5, 1.1), "numpy": Goal(None, 1.0)}
ROWS = (10**2, 10**4)  # rows, of 100 or of 1,000 numbers: 10⁴ and 10⁷ in all


def matrix(n: int) -> tuple[int, ...]:
    return (n, 100 if n < 1000 else 1000)


def cube(n: int) -> tuple[int, ...]:
    return (n // 10, 50, 200) if n > 1000 else (10, 20, 50)


def batch(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Rows, and the gain and shift of a layer norm."""
    shape = matrix(n)
    width = shape[1]
    return rng.standard_normal(shape), rng.uniform(0.5, 1.5, width), rng.standard_normal(width)


def reduce(name: str, axis: Any, lib: Any, x: Any) -> Any:
    return getattr(lib.xp, name)(x, axis=axis)


def softmax(lib: Any, x: Any) -> Any:
    xp = lib.xp
    top = xp.exp(x - (xp.amax if lib.name == "torch" else xp.max)(x, axis=-1, keepdims=True))
    return top / xp.sum(top, axis=-1, keepdims=True)


def logsumexp(lib: Any, x: Any) -> Any:
    return lib.logsumexp(x, axis=-1)


def layer_norm(lib: Any, x: Any, gain: Any, shift: Any) -> Any:
    xp = lib.xp
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / xp.sqrt(variance + 1e-5) * gain + shift


def squared(formula: Formula) -> Formula:
    """A loss whose gradient needs all of the formula's derivative."""
    return lambda lib, *args: lib.xp.sum(formula(lib, *args) ** 2)


AXES = [("all", None), ("rows", -1), ("columns", 0)]
TORCH_TOO = ("functrace", "jax", "torch", "numpy")
NO_TORCH = ("functrace", "jax", "numpy")

CASES = [
    Case(
        f"{name} over {what}",
        normal(matrix),
        value(partial(reduce, name, axis), *(TORCH_TOO if name in ("sum", "mean") else NO_TORCH)),
        sizes=ROWS,
    )
    for name in ("sum", "max", "mean", "var")
    for what, axis in AXES
]
CASES += [
    Case(f"sum of a cube over axis {axis}", normal(cube), value(partial(reduce, "sum", axis)), ROWS)
    for axis in (0, 1, 2)
]
CASES += [
    Case(f"argmax over {what}", normal(matrix), value(partial(reduce, "argmax", axis)), ROWS)
    for what, axis in AXES
]
CASES += [
    Case("softmax", normal(matrix), value(softmax), ROWS),
    Case("gradient of softmax", normal(matrix), gradient(squared(softmax)), ROWS),
    Case("logsumexp", normal(matrix), value(logsumexp), ROWS),
    Case("gradient of logsumexp", normal(matrix), gradient(squared(logsumexp)), ROWS),
    Case("layer norm", batch, value(layer_norm), ROWS),
    Case("gradient of layer norm", batch, gradient(squared(layer_norm), (0, 1, 2)), ROWS),
]
