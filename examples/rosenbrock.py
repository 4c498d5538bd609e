"""Newton's method on Rosenbrock's banana valley, with exact derivatives.

The loop is plain Python on values: it stops when the gradient is small and halves a step that does
not go down. Close to the minimum each step doubles the number of right digits.

Shown here: ``value_and_grad``, ``hessian``, and ``while`` and ``if`` on concrete values.
"""

from __future__ import annotations

import numpy as np

import functrace as ft


def rosenbrock(x: np.ndarray) -> float:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def newton(x: np.ndarray, tolerance: float = 1e-10) -> tuple[np.ndarray, list[float]]:
    """Minimise from ``x``; return the minimum and the norm of the gradient before each step."""
    value_and_grad = ft.value_and_grad(rosenbrock)
    hessian = ft.hessian(rosenbrock)
    norms = []
    value, gradient = value_and_grad(x)
    while (norm := float(np.linalg.norm(gradient))) > tolerance:
        norms.append(norm)
        curvature = hessian(x)
        lowest = np.linalg.eigvalsh(curvature)[0]
        if lowest <= 0.0:  # no bowl here: bend it upwards, or the step could lead up or to a saddle
            curvature = curvature + (1.0 - lowest) * np.eye(len(x))
        direction = np.linalg.solve(curvature, gradient)
        rate = 1.0
        while rate > 1e-8 and rosenbrock(x - rate * direction) >= value:
            rate /= 2.0
        x = x - rate * direction
        value, gradient = value_and_grad(x)
    return x, norms


def main() -> dict[str, object]:
    x, norms = newton(np.array([-1.2, 1.0, -1.2, 1.0]))
    for i, norm in enumerate(norms):
        print(f"step {i:2d}  |gradient| = {norm:.3e}")
    print("minimum at", x)
    return {"x": x.tolist(), "steps": len(norms), "value": float(rosenbrock(x))}


if __name__ == "__main__":
    main()
