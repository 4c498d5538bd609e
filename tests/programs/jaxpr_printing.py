"""Uses: make_jaxpr (static_argnums), a custom printer, eval_shape, ShapeDtypeStruct, named_call."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp
from functrace import lax


def f(x, y):
    return lax.add(lax.mul(lax.sin(x), y), lax.exp(lax.neg(x)))


def listing(closed):
    """A jaxpr in our own words: numbered values, one line for each equation."""
    names = {}

    def name(atom):
        if hasattr(atom, "val"):
            return f"{float(atom.val):g}"
        return names.setdefault(atom, f"v{len(names)}")

    jaxpr = closed.jaxpr
    lines = ["inputs " + " ".join(f"{name(v)}:{v.aval.shape}" for v in jaxpr.invars)]
    for eqn in jaxpr.eqns:
        arguments = ", ".join(name(v) for v in eqn.invars)
        results = ", ".join(f"{name(v)}:{v.aval.dtype}" for v in eqn.outvars)
        lines.append(f"{results} = {eqn.primitive.name}({arguments})")
    lines.append("outputs " + " ".join(name(v) for v in jaxpr.outvars))
    return lines


def network(params, x):
    for w, b in params:
        x = jnp.maximum(x @ w + b, 0.0)
    return {"mean": jnp.mean(x), "all": x, "best": jnp.argmax(x, axis=-1)}


def describe(tree):
    return jax.tree.map(lambda s: f"{s.dtype}{list(s.shape)}", tree)


def main():
    out = {}
    x = jnp.array([1.0, 2.0])
    out["listing"] = listing(jax.make_jaxpr(f)(x, x))
    out["constant_folded"] = listing(jax.make_jaxpr(lambda x: lax.mul(x, 2.0))(1.5))
    spec = jax.ShapeDtypeStruct((3, 4), jnp.float32)
    out["from_shapes"] = listing(jax.make_jaxpr(f)(spec, spec))
    out["num_eqns"] = len(jax.make_jaxpr(f)(x, x).eqns)
    out["in_avals"] = [str(a.dtype) for a in jax.make_jaxpr(f)(spec, spec).in_avals]
    out["text_names_every_primitive"] = all(
        word in str(jax.make_jaxpr(f)(x, x)) for word in ("lambda", "sin", "mul", "exp", "neg")
    )

    params = [
        (jax.ShapeDtypeStruct((5, 7), jnp.float64), jax.ShapeDtypeStruct((7,), jnp.float64)),
        (jax.ShapeDtypeStruct((7, 2), jnp.float64), jax.ShapeDtypeStruct((2,), jnp.float64)),
    ]
    batch = jax.ShapeDtypeStruct((10, 5), jnp.float64)
    out["eval_shape"] = describe(jax.eval_shape(network, params, batch))
    grads = jax.eval_shape(jax.grad(lambda p, x: network(p, x)["mean"]), params, batch)
    out["eval_shape_of_grad"] = describe(grads)
    out["eval_shape_of_vmap"] = describe(
        jax.eval_shape(jax.vmap(f), jax.ShapeDtypeStruct((9, 2), jnp.float64), jnp.ones((9, 2)))
    )
    _, shape = jax.make_jaxpr(f, return_shape=True)(x, x)
    out["return_shape"] = describe(shape)
    optional = jax.make_jaxpr(lambda n, x: lax.sin(x) if n else x, static_argnums=0)
    out["static"] = [[e.primitive.name for e in optional(n, x).eqns] for n in (0, 1)]
    named = jax.named_call(f, name="my_function")
    out["named_call"] = [named(x, x), jax.grad(lambda x: jnp.sum(named(x, x)))(x)]
    return out


TRANSFORMABLE = [
    (f, (jnp.array([1.0, 2.0]), jnp.array([0.3, -0.2]))),
    (jax.named_call(f, name="named"), (jnp.array([1.0, 2.0]), jnp.array([0.3, -0.2]))),
]
