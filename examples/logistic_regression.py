"""Logistic regression fitted by every gradient method of ``scipy.optimize.minimize``.

SciPy wants a float and a float64 array; ``value_and_grad`` returns exactly that, so it is passed
with ``jac=True`` and nothing in between. Methods of second order get the Hessian from ``hessian``,
or only its products with vectors, each for about the price of two gradients.

Shown here: ``value_and_grad``, ``jvp`` of ``grad`` (forward over reverse), ``hessian``, ``jit``.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

import functrace as ft

GRADIENT_METHODS = ("CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr")
PRODUCT_METHODS = ("Newton-CG", "trust-ncg", "trust-krylov")
HESSIAN_METHODS = (
    "Newton-CG",
    "trust-ncg",
    "trust-krylov",
    "trust-exact",
    "dogleg",
    "trust-constr",
)


def make_data(rng: np.random.Generator, n: int = 200, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Points, and labels -1 or +1 drawn from a logistic model of them."""
    x = rng.normal(size=(n, d))
    true_w = rng.normal(size=d)
    probability = 1.0 / (1.0 + np.exp(-x @ true_w))
    return x, np.where(rng.uniform(size=n) < probability, 1.0, -1.0)


X, Y = make_data(np.random.default_rng(0))


def loss(w: np.ndarray) -> float:
    """Mean negative log likelihood plus a small L2 penalty, which makes the minimum unique."""
    margins = Y * np.dot(X, w)
    return np.mean(np.logaddexp(0.0, -margins)) + 0.005 * np.dot(w, w)


value_and_grad = ft.jit(ft.value_and_grad(loss))
hess = ft.jit(ft.hessian(loss))


@ft.jit
def hvp(w: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Hessian times vector, without the Hessian: the derivative of the gradient along ``v``."""
    return ft.jvp(ft.grad(loss), (w,), (v,))[1]


def fit(method: str, **second_order: object) -> tuple[float, np.ndarray]:
    """Minimise from zero; return the smallest loss and its place."""
    # SciPy's methods measure "done" differently: tight tolerances, each in its own words.
    tolerances = {
        "L-BFGS-B": {"ftol": 1e-15, "gtol": 1e-9},
        "TNC": {"ftol": 1e-15, "gtol": 1e-9, "xtol": 1e-12, "maxfun": 1000},
        "SLSQP": {"ftol": 1e-15},
        "Newton-CG": {"xtol": 1e-10},
        "trust-constr": {"gtol": 1e-9, "xtol": 1e-12},
    }.get(method, {"gtol": 1e-9})
    start = np.zeros(X.shape[1])
    result = minimize(
        value_and_grad, start, jac=True, method=method, options=tolerances, **second_order
    )
    return float(result.fun), result.x


def main() -> dict[str, dict[str, float]]:
    runs = {method: fit(method) for method in GRADIENT_METHODS}
    runs |= {f"{method} (hvp)": fit(method, hessp=hvp) for method in PRODUCT_METHODS}
    runs |= {f"{method} (hessian)": fit(method, hess=hess) for method in HESSIAN_METHODS}

    report = {}
    print(f"{'method':24s} {'loss':>12s} {'|gradient|':>12s}")
    for name, (fun, w) in runs.items():
        norm = float(np.linalg.norm(value_and_grad(w)[1]))
        print(f"{name:24s} {fun:12.9f} {norm:12.2e}")
        report[name] = {"loss": fun, "gradient_norm": norm}
    return report


if __name__ == "__main__":
    main()
