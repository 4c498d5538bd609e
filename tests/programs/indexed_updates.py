"""Uses: .at[].set/add/multiply/min/max/get on traced arrays, slices, gathers; their gradients."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([1.0, -2.0, 3.0, 0.5, 4.0])
M = jnp.arange(12.0).reshape(3, 4) / 4.0
IDX = jnp.array([0, 2, 2, 4])
U = jnp.array([10.0, 20.0, 30.0, 40.0])


def set_one(x, v):
    return x.at[1].set(v)


def add_many(x, u):
    return x.at[IDX].add(u)  # 2 occurs twice: both are added


def rows_and_columns(m):
    return m.at[1].set(m[0] * 2.0).at[:, -1].multiply(3.0).at[0, ::2].add(1.0)


def clamp(x):
    return x.at[1:4].max(0.0).at[0].min(0.5)


def masked(x):
    return jnp.where(x > 0.0, x, 0.0).at[-1].set(x[0] ** 2)


def histogram(values, weights):
    return jnp.zeros(4).at[values].add(weights)


def laplace(u, steps=3):
    for _ in range(steps):
        inner = 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:])
        u = u.at[1:-1, 1:-1].set(inner)
    return u


def main():
    out = {}
    out["set_one"] = jax.jit(set_one)(X, 7.0)
    out["set_one_grads"] = jax.grad(lambda x, v: jnp.sum(set_one(x, v) ** 2), (0, 1))(X, 7.0)
    out["add_many"] = jax.jit(add_many)(X, U)
    out["add_many_grads"] = jax.grad(lambda x, u: jnp.sum(add_many(x, u) ** 2), (0, 1))(X, U)
    out["rows_and_columns"] = jax.jit(rows_and_columns)(M)
    out["rows_and_columns_grad"] = jax.grad(lambda m: jnp.sum(rows_and_columns(m) ** 2))(M)
    out["clamp"] = jax.jit(clamp)(X)
    out["clamp_jvp"] = jax.jvp(clamp, (X,), (jnp.ones(5),))[1]
    out["masked"] = jax.vmap(masked)(jnp.stack([X, -X]))
    out["get"] = jax.jit(lambda x: x.at[IDX].get())(X)
    out["get_grad"] = jax.grad(lambda x: jnp.dot(x[IDX], U))(X)
    out["fancy"] = jax.jit(lambda m: m[jnp.array([0, 2]), jnp.array([1, 3])])(M)
    out["fancy_grad"] = jax.grad(lambda m: jnp.sum(m[jnp.array([0, 2]), 1:3] ** 2))(M)
    out["newaxis"] = jax.grad(lambda x: jnp.sum(x[:, None] * x[None, ::-1]))(X)
    out["negative_step"] = jax.grad(lambda x: jnp.dot(x[::-2], jnp.array([1.0, 2.0, 3.0])))(X)
    out["histogram"] = jax.jit(histogram)(jnp.array([0, 3, 3, 1]), U)
    out["histogram_grad"] = jax.grad(lambda w: jnp.sum(histogram(jnp.array([0, 3, 3, 1]), w) ** 2))(
        U
    )
    grid = jnp.sin(jnp.arange(25.0)).reshape(5, 5)
    out["laplace"] = jax.jit(laplace)(grid)
    out["laplace_grad"] = jax.grad(lambda u: jnp.sum(laplace(u)[2, 2] ** 2))(grid)
    out["take"] = jax.grad(lambda m: jnp.sum(jnp.take(m, jnp.array([2, 2, 0]), axis=0) ** 2))(M)
    out["traced_index"] = jax.vmap(lambda i: jnp.take(X, i) * 2.0)(jnp.array([3, 0, 1]))
    return out


TRANSFORMABLE = [
    (set_one, (X, jnp.array(7.0))),
    (add_many, (X, U)),
    (rows_and_columns, (M,)),
    (clamp, (X,)),
    (masked, (X,)),
    (laplace, (jnp.sin(jnp.arange(25.0)).reshape(5, 5),)),
]
