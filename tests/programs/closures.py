"""Uses: functions that close over tracers of outer transforms; grad, jvp, vmap, jit combined."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([0.5, -1.0, 1.5])


def inner_grad(x, y):
    """Differentiates by y inside, with x fixed by the closure."""
    return jax.grad(lambda y: jnp.sum(x * y**3))(y)


def outer_product_by_closure(x):
    return jax.vmap(lambda a: jax.vmap(lambda b: a * b + jnp.sum(x))(x))(x)


def perturbed(x):
    """d/dx [ x * d/dy (x + y) ] is 1: perturbations must not be confused."""
    return x * jax.grad(lambda y: x + y)(1.0)


def nested_jit(x):
    @jax.jit
    def scale(y):
        return y * x[0] + jnp.sum(x)

    return jnp.sum(scale(x) * scale(2.0 * x))


def best_step(x):
    """The length of a gradient step is found by differentiating through the step."""

    def f(z):
        return jnp.sum(z**2 * jnp.array([1.0, 2.0, 0.5]))

    def after(rate):
        return f(x - rate * jax.grad(f)(x))

    rate = 0.1
    for _ in range(3):
        rate = rate - jax.grad(after)(rate) / jax.grad(jax.grad(after))(rate)
    return f(x - rate * jax.grad(f)(x))


def adapted(meta, tasks):
    """Meta-learning in one line: the loss of each task after its own step from ``meta``."""

    def loss(w, task):
        return jnp.sum((jnp.tanh(w) - task) ** 2)

    return jnp.mean(jax.vmap(lambda t: loss(meta - 0.1 * jax.grad(loss)(meta, t), t))(tasks))


def main():
    out = {}
    out["inner_grad"] = jax.jacrev(inner_grad)(X, 2.0 * X)
    out["mixed_partials"] = jax.grad(lambda x: jnp.sum(jax.grad(lambda y: jnp.sum(x * y**2))(x)))(X)
    out["closure_product"] = outer_product_by_closure(X)
    out["closure_product_grad"] = jax.grad(lambda x: jnp.sum(outer_product_by_closure(x) ** 2))(X)
    out["perturbation"] = jax.grad(perturbed)(3.0)
    out["perturbation_jvp"] = jax.jvp(
        lambda x: x * jax.jvp(lambda y: x * y, (2.0,), (1.0,))[1], (3.0,), (1.0,)
    )
    out["nested_jit"] = jax.value_and_grad(nested_jit)(X)
    out["nested_jit_hessian"] = jax.hessian(nested_jit)(X)
    out["best_step"] = jax.value_and_grad(best_step)(X)
    out["jit_in_vmap_in_grad"] = jax.grad(
        lambda s: jnp.sum(jax.vmap(jax.jit(lambda a: jnp.sin(a * s)))(X))
    )(0.7)
    out["vmap_of_grad_of_closure"] = jax.vmap(lambda s: jax.grad(lambda a: a**2 * s)(s))(X)
    out["jvp_in_vmap"] = jax.vmap(lambda s: jax.jvp(lambda a: a * s, (s,), (X[0],))[1])(X)
    tasks = jnp.stack([X, X**2, -X])
    out["adapted"] = jax.value_and_grad(adapted)(0.3 * X, tasks)
    out["adapted_jit"] = jax.jit(jax.value_and_grad(adapted))(0.3 * X, tasks)
    out["grad_of_linearized"] = jax.grad(
        lambda x: jnp.sum(jax.linearize(jnp.sin, x)[1](jnp.ones(3)) ** 2)
    )(X)
    out["pullback_differentiated"] = jax.grad(
        lambda x: jnp.sum(jax.vjp(lambda z: z**3, x)[1](x)[0])
    )(X)
    return out


TRANSFORMABLE = [
    (perturbed, (jnp.array(3.0),)),
    (outer_product_by_closure, (X,)),
    (nested_jit, (X,)),
    (best_step, (X,)),
    (adapted, (0.3 * X, jnp.stack([X, X**2, -X]))),
]
