"""The price of a call: compiled functions that add 1 to each small array they are given.

JAX is given its own arrays, its best case, and (``jax, numpy in``) NumPy's, which is what the user
of NumPy has. It is waited for once a sample, not once a call, which favours it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Case, Goal

TITLE = "A call of a compiled function"
GOALS = {"jax": Goal(None, 0.4), "jax, numpy in": Goal(None, 0.2)}


def arrays(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return tuple(np.arange(4.0) + i for i in range(n))


def dictionary(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return ({f"leaf{i}": np.arange(4.0) + i for i in range(n)},)


def one(x: Any) -> Any:
    return x + 1.0


def many(*xs: Any) -> Any:
    return tuple(x + 1.0 for x in xs)


def named(xs: dict[str, Any]) -> Any:
    return {name: x + 1.0 for name, x in xs.items()}


LIBRARIES = ("functrace", "jax", "jax, numpy in")


def case(name: str, data: Any, f: Any, size: int) -> Case:
    builders = dict.fromkeys(LIBRARIES, lambda lib: lib.jit(f))
    return Case(name, data, builders, (size,), ("float64",), wait_for_each=False)


CASES = [
    case("1 array", arrays, one, 1),
    case("10 arrays", arrays, many, 10),
    case("50 arrays", arrays, many, 50),
    case("a dict of 20 arrays", dictionary, named, 20),
]
