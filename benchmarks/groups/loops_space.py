"""Loops over pictures and grids: the Mandelbrot set, heat."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST = 200
STEPS = 500
FLOW = 0.2


def grid(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Off the points where rounding decides."""
    return np.linspace(-2.0, 0.6, 512) + 1e-4, np.linspace(-1.3, 1.3, 512) + 2e-4


def escape(lib: Any, a: Any, b: Any) -> Any:
    """Steps until z = z² + c leaves the circle."""

    def inside(carry: Any) -> Any:
        x, y, count = carry
        return (x * x + y * y < 4.0) & (count < MOST)

    def step(carry: Any) -> Any:
        x, y, count = carry
        return x * x - y * y + a, 2.0 * x * y + b, count + 1

    return lib.lax.while_loop(inside, step, (0.0 * a, 0.0 * b, 0))[2]


def mandelbrot(lib: Any, a: Any, b: Any) -> Any:
    """The mean count of each row: single pixels at the edge are up to rounding."""
    row = lib.vmap(lambda a, b: escape(lib, a, b), (0, None))
    counts = lib.vmap(row, (None, 0))(a, b)
    return lib.xp.mean(counts.astype(a.dtype), axis=1)


def rod(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (rng.standard_normal(1000),)


def heat(lib: Any, u: Any) -> Any:
    def step(i: Any, u: Any) -> Any:
        return u.at[1:-1].add(FLOW * (u[:-2] - 2.0 * u[1:-1] + u[2:]))

    return lib.lax.fori_loop(0, STEPS, step, u)


def heat_loss(lib: Any, u: Any) -> Any:
    return lib.xp.sum(heat(lib, u) ** 2)


def plate(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (rng.standard_normal((128, 128)),)


def heat_2d(lib: Any, u: Any) -> Any:
    def step(i: Any, u: Any) -> Any:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return u.at[1:-1, 1:-1].add(FLOW * (around - 4.0 * u[1:-1, 1:-1]))

    return lib.lax.fori_loop(0, STEPS, step, u)


def heat_2d_loss(lib: Any, u: Any) -> Any:
    return lib.xp.sum(heat_2d(lib, u) ** 2)
