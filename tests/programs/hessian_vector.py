"""Uses: Hessian-vector products three ways, vmap over vectors, Newton-CG in plain Python."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([[0.5, -0.3], [1.2, 0.8], [-0.4, 0.1]])
V = jnp.array([[1.0, 0.0], [0.5, -0.5], [2.0, 1.0]])


def f(x):
    return jnp.sum(jnp.tanh(x) ** 2) + 0.5 * jnp.sum(x[0] * x[1] * x[2])


def forward_over_reverse(f, x, v):
    return jax.jvp(jax.grad(f), (x,), (v,))[1]


def reverse_over_forward(f, x, v):
    return jax.grad(lambda x: jax.jvp(f, (x,), (v,))[1])(x)


def reverse_over_reverse(f, x, v):
    return jax.grad(lambda x: jnp.vdot(jax.grad(f)(x), v))(x)


def quartic(x):
    return jnp.sum(x**4) / 4.0 + jnp.sum((x - 1.0) ** 2)


def conjugate_gradient(product, b, steps):
    x, r = jnp.zeros_like(b), b
    p, rr = r, jnp.vdot(r, r)
    for _ in range(steps):
        q = product(p)
        a = rr / jnp.vdot(p, q)
        x, r = x + a * p, r - a * q
        rr, old = jnp.vdot(r, r), rr
        if rr < 1e-26:
            break
        p = r + (rr / old) * p
    return x


def main():
    out = {}
    ways = [forward_over_reverse, reverse_over_forward, reverse_over_reverse]
    out["products"] = [way(f, X, V) for way in ways]
    out["jitted"] = [jax.jit(lambda x, v, way=way: way(f, x, v))(X, V) for way in ways]
    full = jax.hessian(f)(X)
    out["by_hessian"] = jnp.tensordot(full, V, axes=2)
    basis = jnp.eye(6).reshape(6, 3, 2)
    out["all_vectors"] = jax.vmap(lambda v: forward_over_reverse(f, X, v))(basis).reshape(6, 6)
    out["third_derivative"] = jax.jvp(
        lambda x: forward_over_reverse(f, x, V), (X,), (jnp.ones_like(X),)
    )[1]

    x = jnp.array([3.0, -2.0, 0.5, 1.5])
    for _ in range(8):
        product = jax.linearize(jax.grad(quartic), x)[1]
        x = x - conjugate_gradient(product, jax.grad(quartic)(x), 10)
    out["newton_minimum"] = x
    return out


TRANSFORMABLE = [
    (f, (X,)),
    (lambda x, v: forward_over_reverse(f, x, v), (X, V)),
    (lambda x, v: reverse_over_reverse(f, x, v), (X, V)),
]
