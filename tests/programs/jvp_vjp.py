"""Uses: jvp, vjp (called twice, has_aux), linearize, linear_transpose, trees in and out."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

A = jnp.array([[1.0, -2.0, 0.5], [0.0, 1.5, 2.0]])
X = jnp.array([0.3, -0.7, 1.1])
V = jnp.array([1.0, 0.5, -2.0])
U = jnp.array([2.0, -1.0])


def layer(x, a):
    return jnp.tanh(a @ x)


def polar(point):
    return {
        "radius": jnp.sqrt(point["x"] ** 2 + point["y"] ** 2),
        "angle": jnp.arctan2(point["y"], point["x"]),
    }


def moving_sum(x):
    """A linear function: each output adds three neighbours."""
    return x[:-2] + 2.0 * x[1:-1] + x[2:]


def main():
    out = {}
    out["jvp"] = jax.jvp(layer, (X, A), (V, jnp.ones_like(A)))
    primal, pullback = jax.vjp(layer, X, A)
    out["vjp_primal"] = primal
    out["vjp_first"] = pullback(U)
    out["vjp_again"] = pullback(3.0 * U)

    # <u, J v> equals <J^T u, v>
    _, tangent = jax.jvp(lambda x: layer(x, A), (X,), (V,))
    (cotangent,) = jax.vjp(lambda x: layer(x, A), X)[1](U)
    out["inner_products"] = [jnp.dot(U, tangent), jnp.dot(cotangent, V)]

    primal, pullback, aux = jax.vjp(lambda x: (jnp.sum(x**3), x[0] * 2.0), X, has_aux=True)
    out["with_aux"] = [primal, aux, pullback(jnp.array(1.0))[0]]

    y, push = jax.linearize(layer, X, A)
    zero = jnp.zeros_like(A)
    out["linearize"] = [y] + [push(jnp.eye(3)[i], zero) for i in range(3)]

    point = {"x": jnp.array(3.0), "y": jnp.array(4.0)}
    moved = {"x": jnp.array(1.0), "y": jnp.array(-1.0)}
    out["tree_jvp"] = jax.jvp(polar, (point,), (moved,))
    _, pullback = jax.vjp(polar, point)
    out["tree_vjp"] = pullback({"radius": jnp.array(1.0), "angle": jnp.array(2.0)})

    transpose = jax.linear_transpose(moving_sum, jnp.zeros(5))
    out["linear_transpose"] = transpose(jnp.array([1.0, 10.0, 100.0]))
    return out


TRANSFORMABLE = [(layer, (X, A)), (moving_sum, (jnp.arange(5.0),))]
