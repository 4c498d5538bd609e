"""Uses: implicit differentiation by hand: vjp and jvp of the equation, not of its solver."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp


def solve(f, x):
    """A root of a scalar equation, by Newton's method on values."""
    for _ in range(50):
        step = f(x) / jax.grad(f)(x)
        x = x - step
        if abs(step) < 1e-15:
            break
    return x


def kepler(e, mean, eccentricity):
    return e - eccentricity * jnp.sin(e) - mean


def kepler_gradient(mean, eccentricity):
    """The solution and its derivatives: dE = -(df/dparameters) / (df/dE)."""
    e = solve(lambda e: kepler(e, mean, eccentricity), mean)
    by_e, by_mean, by_ecc = jax.grad(kepler, argnums=(0, 1, 2))(e, mean, eccentricity)
    return e, -by_mean / by_e, -by_ecc / by_e


def contraction(x, theta):
    return 0.5 * jnp.tanh(theta["w"] @ x) + theta["b"]


def fixed_point(theta, x):
    for _ in range(200):
        x = contraction(x, theta)
    return x


def fixed_point_vjp(theta, cotangent):
    """The gradient through the fixed point: solve u = v + (df/dx)^T u by iteration."""
    x = fixed_point(theta, jnp.zeros(3))
    _, pull_x = jax.vjp(lambda x: contraction(x, theta), x)
    _, pull_theta = jax.vjp(lambda theta: contraction(x, theta), theta)
    u = cotangent
    for _ in range(200):
        u = cotangent + pull_x(u)[0]
    return x, pull_theta(u)[0]


def solve2(a, b):
    """Two linear equations in two unknowns, by Cramer's rule."""
    det = a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]
    return jnp.stack([b[0] * a[1, 1] - b[1] * a[0, 1], a[0, 0] * b[1] - a[1, 0] * b[0]]) / det


def inner_minimum(hyper):
    """Two parameters that minimise a loss with a hyper-parameter; differentiable by hand."""

    def gradient(w, hyper):
        return jax.grad(
            lambda w: jnp.sum((w - jnp.array([1.0, 2.0])) ** 4) + hyper * jnp.sum(jnp.exp(w))
        )(w)

    w = jnp.array([0.5, 0.5])
    for _ in range(60):
        w = w - solve2(jax.jacfwd(gradient)(w, hyper), gradient(w, hyper))
    dw = -solve2(jax.jacfwd(gradient)(w, hyper), jax.jacfwd(gradient, argnums=1)(w, hyper))
    return w, dw


def main():
    out = {}
    out["kepler"] = kepler_gradient(1.1, 0.4)
    h = 1e-5
    out["kepler_agrees"] = bool(
        abs(
            (kepler_gradient(1.1, 0.4 + h)[0] - kepler_gradient(1.1, 0.4 - h)[0]) / (2 * h)
            - kepler_gradient(1.1, 0.4)[2]
        )
        < 1e-8
    )
    theta = {
        "w": jnp.array([[0.5, -0.3, 0.1], [0.2, 0.4, -0.6], [-0.1, 0.3, 0.2]]),
        "b": jnp.array([0.3, -0.5, 0.8]),
    }
    out["fixed_point"] = fixed_point_vjp(theta, jnp.array([1.0, -1.0, 0.5]))
    unrolled = jax.grad(
        lambda t: jnp.dot(fixed_point(t, jnp.zeros(3)), jnp.array([1.0, -1.0, 0.5]))
    )
    gaps = jax.tree.map(
        lambda a, b: float(jnp.max(jnp.abs(a - b))), unrolled(theta), out["fixed_point"][1]
    )
    out["agrees_with_unrolled"] = max(jax.tree.leaves(gaps)) < 1e-12
    out["inner_minimum"] = inner_minimum(0.3)
    out["solve2"] = solve2(jnp.array([[2.0, 1.0], [1.0, 3.0]]), jnp.array([3.0, 5.0]))
    return out


TRANSFORMABLE = [
    (kepler, (jnp.array(1.3), jnp.array(1.1), jnp.array(0.4))),
    (solve2, (jnp.array([[2.0, 1.0], [1.0, 3.0]]), jnp.array([3.0, 5.0]))),
]
