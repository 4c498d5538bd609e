"""Against C written by hand, which writes into memory it reuses: how far from the machine's limit.

In the rows with ``out=`` functrace too is given the memory to write to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import isqrt
from typing import Any

import numpy as np

from benchmarks import limits
from benchmarks.case import SIZES, Builder, Case, Goal, flat, normal, total
from benchmarks.groups.derivatives import bodies, forces
from benchmarks.groups.elementwise import black_scholes, chain, market
from benchmarks.groups.reductions import layer_norm, softmax
from benchmarks.runner import Options, Row, run_cases

TITLE = "Distance to hand-written C"
GOALS = {"c": Goal(None, 1.5)}

Data = Callable[[np.random.Generator, int], tuple[Any, ...]]


def matrix(n: int) -> tuple[int, ...]:
    """Rows of 100 numbers, or of 1,000."""
    width = 100 if n <= 1000 else 1000
    return n // width, width


def side(n: int) -> tuple[int, ...]:
    return isqrt(n), isqrt(n)


def batch(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Rows, gain and shift."""
    width = matrix(n)[1]
    return rng.standard_normal(matrix(n)), rng.uniform(0.5, 1.5, width), rng.standard_normal(width)


def column_sums(lib: Any, x: Any) -> Any:
    return lib.xp.sum(x, axis=0)


def transpose(lib: Any, x: Any) -> Any:
    return x.T


def compiled(formula: Any, argnums: Any, reuse: bool) -> Builder:
    """The formula or its gradient under ``jit``; with ``reuse`` calls write to the same arrays."""

    def build(lib: Any) -> Callable[..., Any]:
        plain = partial(formula, lib)
        f = lib.jit(plain if argnums is None else lib.grad(plain, argnums))
        if not reuse:
            return f  # type: ignore[no-any-return]
        buffers: list[Any] = []

        def into(*args: Any) -> Any:
            if not buffers:
                buffers.append(f(*args))
            return f(*args, out=buffers[0])

        return into

    return build


def case(name: str, native: str, data: Data, formula: Any, argnums: Any, reuse: bool) -> Case:
    builders: dict[str, Builder] = {"functrace": compiled(formula, argnums, reuse)}
    if not reuse:
        builders["jax"] = compiled(formula, argnums, False)
    builders["c"] = lambda lib: limits.function(native)
    return Case(name + (", out=" if reuse else ""), data, builders, SIZES)


ROWS: list[tuple[str, str, Data, Any, Any]] = [
    ("chain", "chain", normal(flat, flat), chain, None),
    ("gradient of chain", "chain_gradient", normal(flat, flat), total(chain), (0, 1)),
    (
        "gradient of Black–Scholes",
        "black_scholes_gradient",
        market,
        total(black_scholes),
        (0, 1, 2),
    ),
    ("softmax", "softmax", normal(matrix), softmax, None),
    ("layer norm", "layer_norm", batch, layer_norm, None),
    ("sums of columns", "column_sums", normal(matrix), column_sums, None),
    ("transpose", "transpose", normal(side), transpose, None),
    ("n-body forces (pairs)", "forces", lambda rng, n: bodies(rng, isqrt(n)), forces, None),
]

CASES = [case(*row, reuse) for row in ROWS for reuse in (False, True)]


def run(options: Options) -> Iterator[Row]:
    if not limits.available():
        print("(no C compiler: the comparison with hand-written C is left out)")
        return
    yield from run_cases("limits", CASES, options)
