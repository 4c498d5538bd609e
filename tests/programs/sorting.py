"""Uses: sort, argsort, median, top-k by slicing, cumsum, cumprod, take_along_axis; gradients."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([3.0, -1.0, 2.5, 0.5, 4.0])
M = jnp.array([[0.3, 2.0, -1.0, 0.7], [5.0, -2.0, 1.5, 0.1], [1.0, 0.9, 0.8, -0.2]])
W = jnp.array([1.0, 10.0, 100.0, 1000.0, 10000.0])


def weighted_ranks(x):
    return jnp.dot(jnp.sort(x), W)


def trimmed_mean(x):
    return jnp.mean(jnp.sort(x)[1:-1])


def top_two(x):
    return jnp.sum(x[jnp.argsort(x)[-2:]] ** 2)


def soft_rank(x):
    """Smooth ranks: how many of the others are smaller."""
    gaps = x[:, None] - x[None, :]
    return jnp.sum(0.5 * (jnp.tanh(2.0 * gaps) + 1.0), axis=1) - 0.5


def discounted(rewards):
    powers = jnp.cumprod(jnp.full(rewards.shape, 0.9))
    return jnp.cumsum((rewards * powers)[::-1])[::-1]


def main():
    out = {}
    out["sort"] = [jnp.sort(X), jnp.sort(M, axis=0), jnp.sort(M, axis=1)]
    out["argsort"] = [jnp.argsort(X), jnp.argsort(M, axis=0)]
    out["weighted_ranks"] = jax.value_and_grad(weighted_ranks)(X)
    out["sort_jvp"] = jax.jvp(jnp.sort, (X,), (W,))
    out["sort_columns_grad"] = jax.grad(lambda m: jnp.sum(jnp.sort(m, axis=0) ** 3 * 0.1))(M)
    out["trimmed_mean"] = jax.value_and_grad(trimmed_mean)(X)
    out["top_two"] = jax.value_and_grad(top_two)(X)
    out["median_odd"] = jax.value_and_grad(jnp.median)(X)
    out["median_even"] = jax.value_and_grad(jnp.median)(X[:4])
    out["median_rows"] = jax.vmap(jax.value_and_grad(jnp.median))(M)
    out["max_min"] = [jax.grad(jnp.max)(X), jax.grad(jnp.min)(X), jax.grad(jnp.ptp)(X)]
    order = jnp.argsort(M, axis=1)
    out["take_along_axis"] = jnp.take_along_axis(M, order, axis=1)
    out["take_along_axis_grad"] = jax.grad(
        lambda m: jnp.sum(jnp.take_along_axis(m, order, axis=1)[:, :2] ** 2)
    )(M)
    out["soft_rank"] = [soft_rank(X), jax.jacrev(soft_rank)(X)]
    out["cumsum"] = [jnp.cumsum(M, axis=0), jnp.cumsum(M, axis=1), jnp.cumsum(M)]
    out["cumsum_grad"] = jax.grad(lambda m: jnp.sum(jnp.cumsum(m, axis=1) ** 2))(M)
    out["cumprod"] = [jnp.cumprod(X), jax.grad(lambda x: jnp.sum(jnp.cumprod(x)))(X)]
    out["discounted"] = [discounted(X), jax.jacfwd(discounted)(X)]
    out["permuted"] = jax.grad(lambda x: jnp.dot(x[jnp.array([4, 0, 0, 2, 1])], W))(X)
    places = jnp.searchsorted(jnp.sort(X), jnp.array([0.0, 2.6, 9.0]))
    out["searchsorted"] = places.astype(jnp.int64)  # JAX counts in int32, NumPy in int64
    return out


TRANSFORMABLE = [
    (weighted_ranks, (X,)),
    (trimmed_mean, (X,)),
    (top_two, (X,)),
    (soft_rank, (X,)),
    (discounted, (X,)),
    (jnp.median, (X,)),
]
