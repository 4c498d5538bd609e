"""Uses: grad, value_and_grad, argnums (one, many, negative), has_aux, grad of grad, dicts."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([0.5, -1.0, 2.0])
W = jnp.array([1.0, 3.0, -0.5])


def energy(x, w):
    return jnp.sum(w * jnp.sin(x) ** 2 + jnp.exp(-x * x))


def scalar(x):
    return jnp.tanh(x) / (1.0 + x**2)


def squared_error(params, x, y):
    prediction = x * params["slope"] + params["offset"]
    residual = prediction - y
    return jnp.mean(residual**2), {"prediction": prediction, "worst": jnp.max(jnp.abs(residual))}


def named(x, *, scale, power=2):
    return scale * jnp.sum(x**power)


def main():
    out = {}
    out["grad"] = jax.grad(energy)(X, W)
    out["grad_w"] = jax.grad(energy, argnums=1)(X, W)
    out["grad_last"] = jax.grad(energy, argnums=-1)(X, W)
    out["grad_both"] = jax.grad(energy, argnums=(0, 1))(X, W)
    out["grad_one_tuple"] = jax.grad(energy, argnums=(1,))(X, W)
    out["value_and_grad"] = jax.value_and_grad(energy)(X, W)

    derivatives, f = [], scalar
    for _ in range(4):
        derivatives.append(f(0.7))
        f = jax.grad(f)
    out["derivatives"] = derivatives

    params = {"slope": jnp.array(2.0), "offset": jnp.array(-0.3)}
    (loss, aux), grads = jax.value_and_grad(squared_error, has_aux=True)(params, X, W)
    out["loss"], out["aux"], out["grads"] = loss, aux, grads
    only_grads, same_aux = jax.grad(squared_error, has_aux=True)(params, X, W)
    out["aux_agrees"] = bool(jnp.all(same_aux["prediction"] == aux["prediction"]))
    out["grads_agree"] = bool(only_grads["slope"] == grads["slope"])

    out["keywords"] = jax.grad(named)(X, scale=3.0)
    out["keywords_power"] = jax.grad(named)(X, scale=3.0, power=3)
    out["python_float"] = jax.grad(lambda x: x * x * x)(2.0)
    return out


TRANSFORMABLE = [(energy, (X, W)), (scalar, (jnp.array(0.7),)), (scalar, (X,))]
