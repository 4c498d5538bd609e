"""Gradients without ``jit``: an MLP, 500 scalar operations, Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.case import Builder, Case, Formula, Goal

TITLE = "Eager gradients"
GOALS = {"autograd": Goal(None, 0.7)}
LIBRARIES = ("functrace", "autograd", "torch", "jax")
SIZES = (32, 64, 32, 10)


def layers(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Weights and biases, 32 inputs, their classes."""
    params = [(rng.normal(0.0, a**-0.5, (a, b)), np.zeros(b)) for a, b in pairwise(SIZES)]
    return params, rng.standard_normal((32, SIZES[0])), np.eye(10)[rng.integers(0, 10, 32)]


def namespace(lib: Any) -> Any:
    """functrace is given plain NumPy, as its users write it."""
    return np if lib.name == "functrace" else lib.xp


def network(lib: Any, params: Any, x: Any, y: Any) -> Any:
    """Cross entropy of a tanh network."""
    xp = namespace(lib)
    for w, b in params[:-1]:
        x = xp.tanh(x @ w + b)
    z = x @ params[-1][0] + params[-1][1]
    return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(z * y, axis=1))


def scalars(lib: Any, x: Any) -> Any:
    """250 times a sine and a product."""
    for _ in range(250):
        x = namespace(lib).sin(x) * 1.1
    return x


def equation(lib: Any, x: Any) -> Any:
    xp = namespace(lib)
    return xp.exp(x) * xp.sin(x) + x * x * x - 5.0


def eager(formula: Formula) -> dict[str, Builder]:
    return dict.fromkeys(LIBRARIES, lambda lib: lib.grad(partial(formula, lib)))


def newton(lib: Any) -> Callable[..., Any]:
    """A root to tolerance; the loop is decided by values."""
    f = partial(equation, lib)
    slope = lib.grad(f)

    def solve(x: Any) -> Any:
        value = f(x)
        while abs(value) > 1e-12:
            x = x - value / slope(x)
            value = f(x)
        return x

    return solve


DOUBLE = ("float64",)

CASES = [
    Case("gradient of an MLP 32-64-32-10, batch 32", layers, eager(network), (0,), DOUBLE),
    Case(
        "gradient of 500 scalar operations",
        lambda rng, n: (np.array(0.5),),
        eager(scalars),
        (0,),
        DOUBLE,
    ),
    Case(
        "Newton's method to 1e-12",
        lambda rng, n: (np.array(3.0),),
        dict.fromkeys(LIBRARIES, newton),
        (0,),
        DOUBLE,
    ),
]
