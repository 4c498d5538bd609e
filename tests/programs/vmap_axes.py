"""Uses: vmap (in_axes, out_axes, trees of axes, axis_size, nesting), per-example gradients."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

A = jnp.arange(12.0).reshape(3, 4) / 10.0
B = jnp.array([[1.0, -1.0, 2.0, 0.5], [0.0, 1.0, 1.0, -2.0], [3.0, 0.2, -0.4, 1.0]])
W = jnp.array([0.5, -1.0, 0.25, 2.0])


def kernel(x, y):
    return jnp.exp(-0.5 * jnp.sum((x - y) ** 2))


def affine(params, x):
    return {"y": params["w"] @ x + params["b"], "w0": params["w"][0]}


def loss(w, x, y):
    return (jnp.tanh(jnp.dot(w, x)) - y) ** 2


def clipped_mean_gradient(w, x, y, limit=0.5):
    """Per-example gradients, each made no longer than ``limit``, then averaged."""
    grads = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(w, x, y)
    norms = jnp.sqrt(jnp.sum(grads**2, axis=1, keepdims=True))
    return jnp.mean(grads * jnp.minimum(1.0, limit / norms), axis=0)


def main():
    out = {}
    out["rows"] = jax.vmap(jnp.dot)(A, B)
    out["one_fixed"] = jax.vmap(jnp.dot, in_axes=(0, None))(A, W)
    out["columns"] = jax.vmap(jnp.sum, in_axes=1)(A)
    out["negative_axis"] = jax.vmap(lambda c: c * 2.0, in_axes=-1, out_axes=-1)(A)
    out["moved_axis"] = jax.vmap(lambda r: r + 1.0, in_axes=0, out_axes=1)(A)
    out["gram"] = jax.vmap(lambda x: jax.vmap(lambda y: kernel(x, y))(B))(A)

    params = {"w": jnp.stack([A[:, :2], 2.0 * A[:, :2]]), "b": jnp.array([1.0, 2.0, 3.0])}
    x = jnp.array([[1.0, -1.0], [0.5, 2.0]])
    out["tree_axes"] = jax.vmap(affine, in_axes=({"w": 0, "b": None}, 0))(params, x)
    out["tree_out_axes"] = jax.vmap(
        affine, in_axes=({"w": 0, "b": None}, 0), out_axes={"y": 1, "w0": 0}
    )(params, x)
    out["pair_out"] = jax.vmap(lambda a, b: (a * b, jnp.sum(a)), out_axes=(1, 0))(A, B)
    out["no_batched_output"] = jax.vmap(lambda a: (jnp.sum(a), 7.0), out_axes=(0, None))(A)
    out["axis_size"] = jax.vmap(lambda: jnp.array([1.0, 2.0]), axis_size=3)()

    y = jnp.array([1.0, -1.0, 0.5])
    out["per_example"] = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(W, A, y)
    out["per_example_loop"] = [jax.grad(loss)(W, A[i], y[i]) for i in range(3)]
    out["clipped"] = clipped_mean_gradient(W, A, y)
    out["clipped_jit"] = jax.jit(clipped_mean_gradient)(W, A, y)
    total = jax.grad(lambda w: jnp.mean(jax.vmap(loss, in_axes=(None, 0, 0))(w, A, y)))
    out["grad_of_vmap"] = total(W)
    out["vmap_of_value_and_grad"] = jax.vmap(jax.value_and_grad(loss), (None, 0, 0))(W, A, y)
    return out


TRANSFORMABLE = [
    (kernel, (A[0], B[0])),
    (clipped_mean_gradient, (W, A, jnp.array([1.0, -1.0, 0.5]))),
    (lambda a, b: jax.vmap(jax.vmap(kernel, (None, 0)), (0, None))(a, b), (A, B)),
]
