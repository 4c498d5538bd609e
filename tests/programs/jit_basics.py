"""Uses: jit (nested, static_argnums, static_argnames, donate_argnums), disable_jit, retracing."""

from __future__ import annotations

from functools import partial

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([1.0, 2.0, -0.5])


@jax.jit
def selu(x, alpha=1.67, scale=1.05):
    return scale * jnp.where(x > 0, x, alpha * jnp.exp(x) - alpha)


@partial(jax.jit, static_argnums=1)
def power(x, n):
    result = jnp.ones_like(x)
    for _ in range(n):  # n is a Python number: the loop is unrolled
        result = result * x
    return result


@partial(jax.jit, static_argnames=("mode",))
def norm(x, mode="two"):
    if mode == "one":
        return jnp.sum(jnp.abs(x))
    if mode == "max":
        return jnp.max(jnp.abs(x))
    return jnp.sqrt(jnp.sum(x * x))


@jax.jit
def normalised(x):
    return selu(x) / norm(x, mode="two")


@partial(jax.jit, donate_argnums=0)
def accumulate(total, x):
    return total + x


def main():
    out = {}
    out["selu"] = selu(X)
    out["keyword"] = selu(X, scale=2.0)
    out["powers"] = [power(X, n) for n in (0, 1, 3)]
    out["norms"] = [norm(X), norm(X, mode="one"), norm(X, mode="max")]
    out["nested"] = normalised(X)
    out["grad_of_jit"] = jax.grad(lambda x: jnp.sum(normalised(x) ** 3))(X)
    out["jit_of_grad"] = jax.jit(jax.grad(lambda x: jnp.sum(normalised(x) ** 3)))(X)
    out["vmap_of_jit"] = jax.vmap(normalised)(jnp.stack([X, 2.0 * X]))
    out["grad_static"] = jax.grad(lambda x: jnp.sum(power(x, 3)))(X)

    total = jnp.zeros(3)
    for i in range(4):
        total = accumulate(total, X * i)
    out["donated"] = total

    traces = []

    @jax.jit
    def counted(x, flag):
        traces.append(x.shape)
        return (x + 1.0, x * 2.0) if flag is None else (x, x)

    counted(X, None), counted(X + 1.0, None)
    out["one_trace_for_one_shape"] = len(traces)
    counted(jnp.ones((2, 2)), None)
    counted(X, 1.0)
    out["traces"] = len(traces)

    seen = []

    @jax.jit
    def peek(x):
        seen.append(bool(jnp.all(x > 0.0)))  # a value: nothing is traced here
        return x * 2.0

    with jax.disable_jit():
        out["disabled"] = peek(X)
        out["branch"] = jax.jit(lambda x: x if x[0] > 0 else -x)(X)
    out["seen"] = seen
    out["tree"] = jax.jit(lambda t: {"sum": t["a"] + t["b"][0], "none": t["b"][1]})(
        {"a": 1.5, "b": (2, None)}
    )
    return out


TRANSFORMABLE = [
    (selu, (X,)),
    (normalised, (X,)),
    (lambda x: power(x, 3), (X,)),
    (lambda x: norm(x, mode="one"), (X,)),
]
