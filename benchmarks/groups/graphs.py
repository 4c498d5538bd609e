"""Long programs: many small operations, many layers. The compile group times their compilation."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Case, Goal, gradient, normal, value

TITLE = "Long programs"
GOALS = {"jax": Goal(0.7, 1.1)}


def operations(lib: Any, x: Any) -> Any:
    """500 operations on one array."""
    for i in range(125):
        x = x * (1.0 - 0.001 * i) + 0.5
        x = x - 0.25 * x
    return x


def layers(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return [rng.normal(0.0, n**-0.5, (n, n)) for _ in range(50)], rng.standard_normal((16, n))


def network(lib: Any, params: Any, x: Any) -> Any:
    for w in params:
        x = lib.xp.tanh(x @ w)
    return lib.xp.sum(x**2)


CASES = [
    Case("500 operations", normal(), value(operations), (1000,)),
    Case("50 layers", layers, gradient(network), (32,)),
]
