"""Uses: make_jaxpr, closed.jaxpr.eqns/invars/constvars/outvars, closed.consts, Literal, bind.

Three interpreters over a jaxpr: one evaluates it, one counts, one runs it backwards.
"""

from __future__ import annotations

from collections import Counter

import functrace as jax
import functrace.numpy as jnp
from functrace import lax

WEIGHTS = jnp.array([0.5, -1.5, 2.0])

INVERSES = {
    "exp": lax.log,
    "log": lax.exp,
    "tanh": lax.atanh,
    "atanh": lax.tanh,
    "neg": lax.neg,
}


def is_literal(atom):
    return hasattr(atom, "val")


def evaluate(jaxpr, consts, *args):
    """Run a jaxpr, an equation at a time."""
    values = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))

    def read(atom):
        return atom.val if is_literal(atom) else values[atom]

    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        inner = eqn.params.get("jaxpr")
        if inner is not None:  # a nested jit: run what is inside
            outputs = evaluate(inner.jaxpr, inner.consts, *inputs)
        else:
            outputs = eqn.primitive.bind(*inputs, **eqn.params)
            if not eqn.primitive.multiple_results:
                outputs = [outputs]
        values.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def interpreted(f):
    def run(*args):
        closed = jax.make_jaxpr(f)(*args)
        return evaluate(closed.jaxpr, closed.consts, *args)[0]

    return run


def inverse(f):
    """Undo a chain of invertible element-wise functions by walking its jaxpr backwards."""

    def run(y):
        closed = jax.make_jaxpr(f)(y)
        (result,) = closed.jaxpr.outvars
        values = {result: y}
        for eqn in reversed(closed.jaxpr.eqns):
            if eqn.primitive.name not in INVERSES:
                raise NotImplementedError(f"{eqn.primitive.name} has no inverse here")
            values[eqn.invars[0]] = INVERSES[eqn.primitive.name](values[eqn.outvars[0]])
        return values[closed.jaxpr.invars[0]]

    return run


def counts(f, *args):
    return dict(sorted(Counter(e.primitive.name for e in jax.make_jaxpr(f)(*args).eqns).items()))


def f(x):
    return jnp.sum(WEIGHTS * jnp.tanh(x) + jnp.exp(-x) * 2.0)


def nested(x):
    return jax.jit(lambda y: jnp.sin(y) * x[0])(x) + jax.jit(jnp.cos)(x)


def chain(x):
    return lax.exp(lax.tanh(lax.neg(x)))


def main():
    x = jnp.array([0.1, 0.4, -0.3])
    out = {}
    out["evaluated"] = [interpreted(f)(x), f(x)]
    out["nested"] = interpreted(nested)(x)
    out["gradient"] = interpreted(jax.grad(f))(x)
    out["transformed_interpreter"] = jax.grad(lambda x: interpreted(f)(x))(x)
    out["jitted_interpreter"] = jax.jit(interpreted(f))(x)
    out["mapped_interpreter"] = jax.vmap(interpreted(f))(jnp.stack([x, 2.0 * x]))
    out["inverse"] = [inverse(chain)(chain(x)), inverse(inverse(chain))(x), chain(x)]
    out["counts"] = counts(lambda x: lax.mul(lax.sin(x), lax.add(lax.sin(x), x)), x)
    out["has_the_constant"] = any(
        getattr(c, "shape", None) == (3,) for c in jax.make_jaxpr(f)(x).consts
    )
    try:
        inverse(lambda x: lax.mul(x, x))(x)
    except NotImplementedError as error:
        out["no_inverse"] = str(error)
    return out


TRANSFORMABLE = [
    (interpreted(f), (jnp.array([0.1, 0.4, -0.3]),)),
    (interpreted(nested), (jnp.array([0.1, 0.4, -0.3]),)),
    (inverse(chain), (jnp.array([0.6, 0.8, 1.3]),)),
]
