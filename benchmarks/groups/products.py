"""Matrix products: square from 4 to 2048, thin, transposed, batched, in layers, in attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import openblas
from benchmarks.case import Builder, Case, Formula, Goal, gradient, normal, value

TITLE = "Products"
GOALS = {"jax": Goal(None, 1.1), "openblas": Goal(None, 1.1), "numpy": Goal(None, 1.1)}


def square(n: int) -> tuple[int, ...]:
    return (n, n)


def product(lib: Any, x: Any, y: Any) -> Any:
    return x @ y


def left_transposed(lib: Any, x: Any, y: Any) -> Any:
    return x.T @ y


def right_transposed(lib: Any, x: Any, y: Any) -> Any:
    return x @ y.T


def dense(lib: Any, x: Any, w: Any, b: Any) -> Any:
    """A layer: product, bias and activation."""
    return lib.relu(x @ w + b)


def loss(lib: Any, x: Any, w: Any, b: Any) -> Any:
    return lib.xp.sum(dense(lib, x, w, b) ** 2)


def attention(lib: Any, q: Any, k: Any, v: Any) -> Any:
    """Heads first, as einsums."""
    scores = lib.xp.einsum("bhtd,bhsd->bhts", q, k) * q.shape[-1] ** -0.5
    return lib.xp.einsum("bhts,bhsd->bhtd", lib.softmax(scores), v)


def attention_loss(lib: Any, q: Any, k: Any, v: Any) -> Any:
    return lib.xp.sum(attention(lib, q, k, v) ** 2)


def einsum(lib: Any, x: Any, y: Any) -> Any:
    """Axes in an order that no product has."""
    return lib.xp.einsum("ijk,kl->lij", x, y)


def heads(n: int) -> tuple[int, ...]:
    return (4, 8, n, 32)


def layer(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (
        rng.standard_normal((128, n)),
        rng.standard_normal((n, n)) * n**-0.5,
        rng.standard_normal(n),
    )


def with_blas(formula: Formula, left: bool = False, right: bool = False) -> dict[str, Builder]:
    return {**value(formula), "openblas": lambda lib: openblas.matmul(left, right)}


SIDES = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
SOME = (32, 256, 1024)

CASES = [
    Case("product", normal(square, square), with_blas(product), SIDES),
    Case("transposed left", normal(square, square), with_blas(left_transposed, left=True), SOME),
    Case("transposed right", normal(square, square), with_blas(right_transposed, right=True), SOME),
    Case(
        "thin: 128 rows by 784 x n",
        normal(lambda n: (128, 784), lambda n: (784, n)),
        with_blas(product),
        (10, 512),
    ),
    Case("matrix by vector", normal(square, lambda n: (n,)), value(product), SOME),
    Case("vector by matrix", normal(lambda n: (n,), square), value(product), SOME),
    Case("dot", normal(lambda n: (n,), lambda n: (n,)), value(product), (1000, 10**6)),
    Case(
        "batch of 1,000",
        normal(lambda n: (1000, n, n), lambda n: (1000, n, n)),
        value(product),
        (4, 32),
    ),
    Case(
        "batch of 16", normal(lambda n: (16, n, n), lambda n: (16, n, n)), value(product), (64, 256)
    ),
    Case(
        "batch by one matrix",
        normal(lambda n: (64, 32, n), square),
        value(product),
        (32, 256),
    ),
    Case("einsum ijk,kl->lij", normal(lambda n: (16, 32, n), square), value(einsum), (32, 256)),
    Case("dense layer", layer, value(dense), (32, 512, 2048)),
    Case("gradient of a dense layer", layer, gradient(loss, (0, 1, 2)), (32, 512, 2048)),
    Case("attention", normal(heads, heads, heads), value(attention), (16, 128)),
    Case(
        "gradient of attention",
        normal(heads, heads, heads),
        gradient(attention_loss, (0, 1, 2), "functrace", "jax", "torch"),
        (16, 128),
    ),
]
