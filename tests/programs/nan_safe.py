"""Uses: NaN-safe where (both branches made safe), stop_gradient, straight-through gradients."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp
from functrace import lax

X = jnp.array([-1.0, 0.0, 2.0])


def safe_log(x):
    """log where x is positive, 0 elsewhere; the inner where keeps the unused branch finite."""
    inside = jnp.where(x > 0.0, x, 1.0)
    return jnp.where(x > 0.0, jnp.log(inside), 0.0)


def unsafe_sqrt(x):
    return jnp.where(x > 0.0, jnp.sqrt(jnp.abs(x) + 1.0), x)


def safe_norm(x):
    squared = jnp.sum(x * x)
    positive = squared > 0.0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def quantise(x):
    """Rounded in value, the identity in gradient."""
    return x + lax.stop_gradient(jnp.round(x) - x)


def td_error(theta, state, reward, following):
    value = jnp.dot(theta, state)
    target = reward + 0.9 * lax.stop_gradient(jnp.dot(theta, following))
    return 0.5 * (target - value) ** 2


def main():
    out = {}
    out["safe_log"] = [safe_log(X), jax.grad(lambda x: jnp.sum(safe_log(x)))(X)]
    out["unsafe_sqrt"] = jax.vmap(jax.grad(unsafe_sqrt))(X)
    out["norm_at_zero"] = jax.value_and_grad(safe_norm)(jnp.zeros(3))
    out["norm"] = jax.value_and_grad(safe_norm)(X)
    out["clip"] = jax.grad(lambda x: jnp.sum(jnp.clip(3.0 * x, -2.0, 2.0)))(jnp.array([-2.0, 0.1]))
    out["relu"] = jax.vmap(jax.grad(lambda x: jnp.where(x > 0.0, x, 0.0)))(X)
    out["sign"] = jax.vmap(jax.grad(jnp.sign))(X)
    out["floor"] = jax.grad(lambda x: jnp.sum(jnp.floor(x) * x))(jnp.array([1.5, -0.5]))

    out["stopped"] = jax.grad(lambda x: x * lax.stop_gradient(x))(3.0)
    out["stopped_value"] = jax.jvp(lax.stop_gradient, (X,), (jnp.ones(3),))
    out["stopped_tree"] = jax.grad(
        lambda x: sum(jax.tree.leaves(lax.stop_gradient({"a": x, "b": 2.0}))) * x
    )(3.0)
    xs = jnp.array([0.2, 1.7, -0.6])
    out["quantise"] = [quantise(xs), jax.grad(lambda x: jnp.sum(quantise(x) ** 2))(xs)]
    theta = jnp.array([0.1, -0.1, 0.0])
    state, following = jnp.array([1.0, 2.0, -1.0]), jnp.array([2.0, 1.0, 0.0])
    out["td"] = jax.value_and_grad(td_error)(theta, state, 1.0, following)
    batch = jnp.stack([state, following])
    out["td_batch"] = jax.vmap(jax.grad(td_error), (None, 0, 0, 0))(
        theta, batch, jnp.array([1.0, -1.0]), batch[::-1]
    )
    out["nan_passes"] = bool(jnp.isnan(jax.grad(lambda x: jnp.sum(x * jnp.nan))(X)).all())
    return out


TRANSFORMABLE = [
    (safe_log, (X,)),
    (safe_norm, (X,)),
    (quantise, (jnp.array([0.2, 1.7, -0.6]),)),
    (lambda t: td_error(t, X, 1.0, 2.0 * X), (jnp.array([0.1, -0.1, 0.0]),)),
]
