"""Small linear algebra: Cholesky, solve, and the gradient of a Gaussian process's likelihood."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.case import Case, Goal, gradient, value

TITLE = "Gaussian processes, solve, Cholesky"
GOALS = {"jax": Goal(0.7, 1.1), "numpy": Goal(None, 1.1)}
SIDES = (4, 50, 500)
TOLERANCE = {"float32": 2e-3, "float64": 1e-9}


def definite(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A positive definite matrix."""
    a = rng.standard_normal((n, n))
    return (a @ a.T / n + np.eye(n),)


def system(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A well-conditioned matrix and a right-hand side."""
    return rng.standard_normal((n, n)) * n**-0.5 + 3.0 * np.eye(n), rng.standard_normal(n)


def batch(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    a = rng.standard_normal((n, 4, 4))
    return (a @ np.swapaxes(a, 1, 2) / 4.0 + np.eye(4),)


def batch_system(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (*batch(rng, n), rng.standard_normal((n, 4, 1)))


def batch_square(rng: np.random.Generator, n: int, rows: int) -> tuple[Any, ...]:
    return (rng.standard_normal((n, rows, rows)),)


def batch_symmetric(rng: np.random.Generator, n: int, rows: int) -> tuple[Any, ...]:
    a = rng.standard_normal((n, rows, rows))
    return (a + np.swapaxes(a, 1, 2),)


def observations(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Logarithms of length, amplitude and noise; places; values."""
    x = np.sort(rng.uniform(0.0, 10.0, n))
    return np.array([0.1, 0.2, -1.0]), x, np.sin(x) + 0.3 * rng.standard_normal(n)


def cholesky(lib: Any, a: Any) -> Any:
    return lib.xp.linalg.cholesky(a)


def solve(lib: Any, a: Any, b: Any) -> Any:
    return lib.xp.linalg.solve(a, b)


def solve_loss(lib: Any, a: Any, b: Any) -> Any:
    return lib.xp.sum(solve(lib, a, b) ** 2)


def eigh(lib: Any, a: Any) -> Any:
    """Eigenvalues, and vectors without signs: in float32 libraries differ in those."""
    values, vectors = lib.xp.linalg.eigh(a)
    return values, lib.xp.abs(vectors)


def svd(lib: Any, a: Any) -> Any:
    """Singular values, and vectors without signs."""
    left, values, right = lib.xp.linalg.svd(a)
    return lib.xp.abs(left), values, lib.xp.abs(right)


def cholesky_loss(lib: Any, a: Any) -> Any:
    return lib.xp.sum(cholesky(lib, a) ** 3)


def likelihood(lib: Any, params: Any, x: Any, y: Any) -> Any:
    """The negative logarithm of the likelihood of ``y``, but for a constant."""
    xp = lib.xp
    length, amplitude, noise = xp.exp(params[0]), xp.exp(params[1]), xp.exp(params[2])
    gap = (x[:, None] - x[None, :]) / length
    eye = xp.eye(x.shape[0], dtype=x.dtype)
    k = amplitude * xp.exp(-0.5 * gap * gap) + (noise + 1e-3) * eye
    low = xp.linalg.cholesky(k)
    white = lib.lower_solve(low, y)
    return 0.5 * xp.sum(white * white) + xp.sum(xp.log(xp.diag(low)))


CASES = [
    Case("Cholesky", definite, value(cholesky), SIDES, tolerance=TOLERANCE),
    Case("gradient of Cholesky", definite, gradient(cholesky_loss), SIDES, tolerance=TOLERANCE),
    Case("solve", system, value(solve), SIDES, tolerance=TOLERANCE),
    Case("gradient of solve", system, gradient(solve_loss, (0, 1)), SIDES, tolerance=TOLERANCE),
    Case("batch of Cholesky 4x4", batch, value(cholesky), (1000,), tolerance=TOLERANCE),
    Case(
        "gradient of a batch of Cholesky 4x4",
        batch,
        gradient(cholesky_loss),
        (1000,),
        tolerance=TOLERANCE,
    ),
    Case("batch of solve 4x4", batch_system, value(solve), (1000,), tolerance=TOLERANCE),
    *(
        Case(
            f"batch of {name} {rows}x{rows}",
            functools.partial(data, rows=rows),
            value(function),
            (1000,),
            tolerance=TOLERANCE,
        )
        for name, data, function in (("eigh", batch_symmetric, eigh), ("svd", batch_square, svd))
        for rows in (3, 4)
    ),
    Case(
        "gradient of a GP's likelihood",
        observations,
        gradient(likelihood),
        SIDES,
        tolerance=TOLERANCE,
    ),
]
