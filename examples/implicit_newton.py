"""Differentiate through Newton's method without differentiating its steps.

The steady state u of a heated rod obeys a nonlinear equation, discretised on a grid:

    -u'' + k u^4 = source,  u = 0 at both ends

Newton's method finds u. Its derivative does not need the iterations: where f(u, k) = 0 holds, the
implicit function theorem says du/dk = -(df/du)^-1 df/dk, which ``lax.custom_root`` applies, at the
price of one linear system. Here it tells how the temperature in the middle depends on k.

Shown here: ``lax.custom_root`` around a ``while_loop``, ``jacfwd``, ``np.linalg.solve``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import functrace as ft
from functrace import lax

GRID = 40
H = 1.0 / (GRID + 1)
LAPLACE = (2 * np.eye(GRID) - np.eye(GRID, k=1) - np.eye(GRID, k=-1)) / H**2
SOURCE = 100.0 * np.ones(GRID)


def newton(f: Any, guess: np.ndarray) -> np.ndarray:
    """Find a root; stop when nothing changes any more, after at most 50 steps."""

    def goes_on(state: tuple[Any, Any, Any]) -> Any:
        _, move, n = state
        return (np.max(np.abs(move)) > 1e-10) & (n < 50)

    def step(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        u, _, n = state
        move = np.linalg.solve(ft.jacfwd(f)(u), f(u))
        return u - move, move, n + 1

    return lax.while_loop(goes_on, step, (guess, np.ones_like(guess), 0))[0]


def solve_tangent(linear: Any, y: np.ndarray) -> np.ndarray:
    """Solve ``linear(x) = y``; the matrix is read off the linear function."""
    return np.linalg.solve(ft.jacfwd(linear)(y), y)


@ft.jit
def middle(k: Any) -> Any:
    """Return the temperature in the middle of the rod."""

    def residual(u: np.ndarray) -> np.ndarray:
        return LAPLACE @ u + k * u**4 - SOURCE

    return lax.custom_root(residual, np.zeros(GRID), newton, solve_tangent)[GRID // 2]


def main(k: float = 0.5) -> dict[str, Any]:
    value, slope = ft.value_and_grad(middle)(k)
    eps = 1e-5
    difference = (middle(k + eps) - middle(k - eps)) / (2 * eps)
    print(f"temperature in the middle {value:.6f}")
    print(f"its derivative by k {slope:.8f}, by differences {difference:.8f}")
    return {"value": float(value), "slope": float(slope), "difference": float(difference)}


if __name__ == "__main__":
    main()
