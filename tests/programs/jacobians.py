"""Uses: jacfwd, jacrev, hessian, Jacobians of trees, Jacobians by vmap of jvp and of vjp."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([0.4, -1.2, 0.9])


def spiral(x):
    """Three numbers to four."""
    return jnp.stack([jnp.sin(x[0]) * x[1], x[2] ** 2, jnp.exp(x[0] - x[2]), x[0] * x[1] * x[2]])


def wave(x):
    return jnp.sum(jnp.sin(x[:-1] * x[1:])) + jnp.prod(x)


def predict(params, x):
    return jnp.tanh(params["w"] @ x + params["b"])


def rows(f, x):
    """The Jacobian, a row at a time: one pullback for each output."""
    y, pullback = jax.vjp(f, x)
    return jax.vmap(lambda u: pullback(u)[0])(jnp.eye(y.size))


def columns(f, x):
    """The Jacobian, a column at a time: one pushforward for each input."""
    return jax.vmap(lambda v: jax.jvp(f, (x,), (v,))[1], out_axes=-1)(jnp.eye(x.size))


def main():
    out = {}
    out["jacfwd"] = jax.jacfwd(spiral)(X)
    out["jacrev"] = jax.jacrev(spiral)(X)
    out["rows"] = rows(spiral, X)
    out["columns"] = columns(spiral, X)
    out["hessian"] = jax.hessian(wave)(X)
    out["reverse_over_reverse"] = jax.jacrev(jax.jacrev(wave))(X)
    out["reverse_over_forward"] = jax.jacrev(jax.jacfwd(wave))(X)
    out["hessian_of_a_vector"] = jax.hessian(spiral)(X)

    params = {"w": jnp.array([[0.1, 0.2, -0.3], [1.0, -1.0, 0.5]]), "b": jnp.array([0.3, -0.2])}
    out["tree_jacrev"] = jax.jacrev(predict)(params, X)
    out["tree_jacfwd"] = jax.jacfwd(predict)(params, X)
    out["both_arguments"] = jax.jacrev(predict, argnums=(0, 1))(params, X)
    out["tree_hessian"] = jax.hessian(lambda p: jnp.sum(predict(p, X)))(params)
    out["jitted"] = jax.jit(jax.jacfwd(jax.jacrev(wave)))(X)
    return out


TRANSFORMABLE = [(spiral, (X,)), (wave, (X,)), (jax.hessian(wave), (X,))]
