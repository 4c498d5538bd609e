"""Jacobians, Hessians, products with them, and particles that attract each other."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.case import Builder, Case, Formula, Goal, flat, gradient, normal, value
from benchmarks.libraries import Library

TITLE = "Jacobians, Hessians, n-body"
GOALS = {"jax": Goal(0.5, 1.1), "numpy": Goal(None, 1.0)}
OURS_AND_JAX = ("functrace", "jax")


def rosenbrock(lib: Any, x: Any) -> Any:
    return lib.xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def layers(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A point and the weights of two layers."""
    scale = n**-0.5
    return (
        rng.standard_normal(n),
        scale * rng.standard_normal((n, n)),
        scale * rng.standard_normal((n, n)),
    )


def network(lib: Any, x: Any, first: Any, second: Any) -> Any:
    return lib.xp.tanh(second @ lib.xp.tanh(first @ x))


def features(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Weights, examples and labels of a logistic regression."""
    y = (rng.uniform(size=20 * n) > 0.5).astype(np.float64)
    return rng.standard_normal(n), rng.standard_normal((20 * n, n)) * n**-0.5, y


def logistic_loss(lib: Any, w: Any, x: Any, y: Any) -> Any:
    z = x @ w
    return lib.xp.mean(lib.xp.logaddexp(0.0, z) - y * z)


def transformed(how: str, formula: Formula) -> dict[str, Builder]:
    """``jit(jacfwd(f))`` and the like, in the libraries that have them."""

    def build(lib: Library) -> Any:
        return lib.jit(getattr(lib, how)(partial(formula, lib)))

    return dict.fromkeys(OURS_AND_JAX, build)


def hvp(formula: Formula) -> dict[str, Builder]:
    """The Hessian times a vector, forward over reverse."""

    def build(lib: Any) -> Any:
        def f(v: Any, x: Any, *rest: Any) -> Any:
            slope = lib.grad(lambda x: formula(lib, x, *rest))
            return lib.jvp(slope, (x,), (v,))[1]

        return lib.jit(f)

    return dict.fromkeys(OURS_AND_JAX, build)


def per_example(lib: Any) -> Any:
    """The gradient of each example's loss."""

    def loss(w: Any, x: Any, y: Any) -> Any:
        z = lib.xp.sum(x * w)
        return lib.xp.logaddexp(0.0, z) - y * z

    return lib.jit(lib.vmap(lib.grad(loss), (None, 0, 0)))


def bodies(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return rng.standard_normal((n, 3)), rng.uniform(0.5, 1.5, n)


def potential(lib: Any, x: Any, mass: Any) -> Any:
    """The softened gravitational energy; its gradient are the forces."""
    xp = lib.xp
    difference = x[:, None, :] - x[None, :, :]
    inverse = 1.0 / xp.sqrt(xp.sum(difference * difference, axis=-1) + 0.01)
    return -0.5 * xp.sum(mass[:, None] * mass[None, :] * inverse)


def forces(lib: Any, x: Any, mass: Any) -> Any:
    """The same forces, by their formula."""
    xp = lib.xp
    difference = x[None, :, :] - x[:, None, :]
    inverse = 1.0 / xp.sqrt(xp.sum(difference * difference, axis=-1) + 0.01)
    weight = mass[None, :] * inverse * inverse * inverse
    return mass[:, None] * xp.sum(weight[:, :, None] * difference, axis=1)


def force_work(lib: Any, x: Any, mass: Any) -> Any:
    """A scalar of the forces, whose gradient goes once more through them."""
    return lib.xp.sum(forces(lib, x, mass) ** 2)


def forces_by_numba(lib: Any) -> Any:
    """A double loop, as one writes it."""

    @lib.numba.njit(parallel=True, fastmath=False)  # type: ignore[misc]
    def f(x: Any, mass: Any) -> Any:
        n = x.shape[0]
        out = np.empty_like(x)
        for i in lib.numba.prange(n):
            fx = fy = fz = x.dtype.type(0.0)
            for j in range(n):
                dx, dy, dz = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
                r2 = dx * dx + dy * dy + dz * dz + x.dtype.type(0.01)
                inverse = x.dtype.type(1.0) / np.sqrt(r2)
                weight = mass[j] * inverse * inverse * inverse
                fx += weight * dx
                fy += weight * dy
                fz += weight * dz
            out[i, 0], out[i, 1], out[i, 2] = mass[i] * fx, mass[i] * fy, mass[i] * fz
        return out

    return f


WIDTHS = (10, 100)
VALUE = ("functrace", "jax", "torch", "numpy")

CASES = [
    Case("gradient of Rosenbrock", normal(), gradient(rosenbrock), (10, 1000, 10**6)),
    Case("Hessian of Rosenbrock", normal(), transformed("hessian", rosenbrock), (10, 200)),
    Case("Hessian-vector of Rosenbrock", normal(flat, flat), hvp(rosenbrock), (10, 1000, 10**6)),
    Case("forward Jacobian of a network", layers, transformed("jacfwd", network), WIDTHS),
    Case("reverse Jacobian of a network", layers, transformed("jacrev", network), WIDTHS),
    Case("Hessian of a logistic loss", features, transformed("hessian", logistic_loss), WIDTHS),
    Case(
        "Hessian-vector of a logistic loss",
        lambda rng, n: (rng.standard_normal(n), *features(rng, n)),
        hvp(logistic_loss),
        WIDTHS,
    ),
    Case("per-example gradients", features, dict.fromkeys(OURS_AND_JAX, per_example), WIDTHS),
    Case("n-body energy", bodies, value(potential), (100, 1000)),
    Case("n-body forces", bodies, {**value(forces, *VALUE), "numba": forces_by_numba}, (100, 1000)),
    Case("n-body forces by gradient", bodies, gradient(potential), (100, 1000)),
    Case("gradient through n-body forces", bodies, gradient(force_work), (100, 1000)),
]
