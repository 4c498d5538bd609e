"""Moving data: transposes, products without sums, gathers and scatters, scans and sorts."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Builder, Case, Formula, Goal, flat, gradient, normal, value
from benchmarks.libraries import Library

TITLE = "Data movement"
GOALS = {"jax": Goal(0.5, 1.1), "numpy": Goal(None, 1.0)}
SIDES = (100, 3000)
COUNTS = (10**3, 10**6)


def shuffled(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Whole numbers, each once: an order that every library must agree on."""
    return (rng.permutation(n).astype(np.float64),)


def square(n: int) -> tuple[int, ...]:
    return (n, n)


def points(n: int) -> tuple[int, ...]:
    return (n // 2, 3)


def table(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A table of 64 columns, and rows to look up in it."""
    rows = max(16, n // 64)
    return rng.standard_normal((rows, 64)), rng.integers(0, rows, max(16, n // 64))


def counts(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Numbers, and the bins they go to."""
    return rng.standard_normal(n), rng.integers(0, max(4, n // 10), n)


def transpose(lib: Any, x: Any) -> Any:
    """A copy with its axes swapped, twice the numbers: a view would cost nothing."""
    return 2.0 * x.T


def in_c_order(f: Formula) -> Builder:
    """NumPy made to store its result by rows, as the others do; left alone it moves nothing."""
    return lambda lib: lambda x: np.multiply(f(x), 2.0, order="C")


def plain_transpose(lib: Any, x: Any) -> Any:
    return lib.xp.ascontiguousarray(x.T) if lib.name == "numpy" else x.T


def swap_axes(lib: Any, x: Any) -> Any:
    """A batch of matrices transposed, as attention heads are."""
    return lib.xp.swapaxes(x, 1, 2) * 2.0


def outer(lib: Any, x: Any, y: Any) -> Any:
    return x[:, None] * y[None, :]


def distances(lib: Any, x: Any) -> Any:
    """Of every point to every other."""
    difference = x[:, None, :] - x[None, :, :]
    return lib.xp.sqrt(lib.xp.sum(difference * difference, axis=-1) + 1e-9)


def stencil(lib: Any, x: Any) -> Any:
    """The five-point Laplacian inside of a square."""
    inner = x[1:-1, 1:-1]
    return x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4.0 * inner


def concatenate(lib: Any, x: Any, y: Any) -> Any:
    return lib.xp.concatenate([x, y, x])


def gather(lib: Any, x: Any, index: Any) -> Any:
    return x[index]


def embedding(lib: Any, x: Any, index: Any) -> Any:
    """A loss of looked-up rows; its gradient is a scatter-add into the table."""
    return lib.xp.sum(x[index] ** 2)


def scatter_add(lib: Any, x: Any, bins: Any) -> Any:
    zeros = lib.xp.zeros(max(4, x.shape[0] // 10), x.dtype)
    if lib.name == "torch":
        return zeros.index_add_(0, bins, x)
    return zeros.at[bins].add(x)


def numpy_scatter_add(lib: Library) -> Any:
    """NumPy's quickest way to do it."""

    def f(x: Any, bins: Any) -> Any:
        return np.bincount(bins, x, max(4, x.shape[0] // 10)).astype(x.dtype, copy=False)

    return f


def cumsum(lib: Any, x: Any) -> Any:
    return lib.xp.cumsum(x, axis=0)


def cumsum_rows(lib: Any, x: Any) -> Any:
    return lib.xp.cumsum(x, axis=1)


def sort(lib: Any, x: Any) -> Any:
    return lib.xp.sort(x)[0] if lib.name == "torch" else lib.xp.sort(x)


def sort_rows(lib: Any, x: Any) -> Any:
    return lib.xp.sort(x, axis=1)[0] if lib.name == "torch" else lib.xp.sort(x, axis=1)


def argsort(lib: Any, x: Any) -> Any:
    return lib.xp.argsort(x)


def argmax(lib: Any, x: Any) -> Any:
    return lib.xp.argmax(x, axis=0)


def where(lib: Any, x: Any, y: Any) -> Any:
    return lib.xp.where(x > y, x, 0.5 * y)


NO_TORCH = ("functrace", "jax", "numpy")

CASES = [
    Case(
        "transpose, times 2",
        normal(square),
        {**value(transpose), "numpy": in_c_order(np.transpose)},
        SIDES,
    ),
    Case("transpose", normal(square), value(plain_transpose, *NO_TORCH), SIDES),
    Case(
        "swap axes of a batch",
        normal(lambda n: (n // 10, n, 32)),
        {**value(swap_axes), "numpy": in_c_order(lambda x: np.swapaxes(x, 1, 2))},
        (100, 1000),
    ),
    Case("outer product", normal(flat, flat), value(outer), SIDES),
    Case("pairwise distances", normal(points), value(distances), (100, 2000)),
    Case(
        "gradient of pairwise distances",
        normal(points),
        gradient(lambda lib, x: lib.xp.sum(distances(lib, x))),
        (100, 2000),
    ),
    Case("five-point stencil", normal(square), value(stencil), SIDES),
    Case("concatenate", normal(flat, flat), value(concatenate), COUNTS),
    Case("where", normal(flat, flat), value(where), COUNTS),
    Case("gather rows", table, value(gather), (10**4, 10**7)),
    Case("gather numbers", counts, value(lambda lib, x, i: x[i]), COUNTS),
    Case("gradient of an embedding", table, gradient(embedding), (10**4, 10**7)),
    Case(
        "scatter-add",
        counts,
        {**value(scatter_add, "functrace", "jax", "torch"), "numpy": numpy_scatter_add},
        COUNTS,
    ),
    Case("cumulative sum", normal(), value(cumsum), COUNTS),
    Case("cumulative sums of columns", normal(square), value(cumsum), SIDES),
    Case("cumulative sums of rows", normal(square), value(cumsum_rows), SIDES),
    Case("sort", normal(), value(sort), COUNTS),
    Case("sort rows", normal(square), value(sort_rows), (100, 1000)),
    Case("argsort", shuffled, value(argsort), COUNTS),
    Case("argmax", normal(), value(argmax), COUNTS),
]
