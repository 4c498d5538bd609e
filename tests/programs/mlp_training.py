"""Uses: an MLP as a list of dictionaries, a jitted step with momentum, tree.map, accumulation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import functrace as jax
import functrace.numpy as jnp

SIZES = [2, 16, 8, 1]


def init(rng):
    return [
        {"w": jnp.asarray(rng.normal(0.0, (2.0 / m) ** 0.5, (m, n))), "b": jnp.zeros(n)}
        for m, n in pairwise(SIZES)
    ]


def predict(params, x):
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return (x @ params[-1]["w"] + params[-1]["b"])[:, 0]


def loss(params, x, y):
    return jnp.mean(jnp.square(predict(params, x) - y))


@jax.jit
def step(params, momentum, x, y):
    value, grads = jax.value_and_grad(loss)(params, x, y)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, grads)
    return value, jax.tree.map(lambda p, m: p - 0.1 * m, params, momentum), momentum


def accumulated(params, x, y, parts):
    """The gradient of the whole batch from the gradients of its parts."""
    total = jax.tree.map(jnp.zeros_like, params)
    for xi, yi in zip(jnp.split(x, parts), jnp.split(y, parts), strict=True):
        total = jax.tree.map(lambda t, g: t + g / parts, total, jax.grad(loss)(params, xi, yi))
    return total


def main():
    rng = np.random.default_rng(7)
    x = jnp.asarray(rng.uniform(-1.0, 1.0, (40, 2)))
    y = jnp.sin(3.0 * x[:, 0]) * x[:, 1]
    params = init(rng)

    out = {"first": jax.value_and_grad(loss)(params, x, y)}
    parts = accumulated(params, x, y, 4)
    whole = jax.grad(loss)(params, x, y)
    gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), parts, whole)
    out["accumulated_agrees"] = bool(max(float(gap) for gap in jax.tree.leaves(gaps)) < 1e-14)

    momentum = jax.tree.map(jnp.zeros_like, params)
    losses = []
    for _ in range(100):
        value, params, momentum = step(params, momentum, x, y)
        losses.append(value)
    out["losses"] = losses[::20]
    out["trained"] = params
    out["decreased"] = bool(losses[-1] < 0.2 * losses[0])
    out["per_example_norms"] = jax.vmap(
        lambda xi, yi: sum(
            jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(loss)(params, xi[None], yi[None]))
        )
    )(x[:5], y[:5])
    return out


_RNG = np.random.default_rng(3)
TRANSFORMABLE = [
    (predict, (init(_RNG), jnp.asarray(_RNG.normal(size=(5, 2))))),
    (lambda p: loss(p, jnp.ones((4, 2)) * 0.3, jnp.arange(4.0)), (init(_RNG),)),
]
