"""Uses: scan, while_loop, fori_loop, cond, switch, map, associative_scan, reduce; transformed."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp
from functrace import lax


def rnn(w, xs):
    """A small recurrent network: the weights are closed over."""

    def step(h, x):
        h = jnp.tanh(w @ h + x)
        return h, {"sum": jnp.sum(h), "h": h}

    h, ys = lax.scan(step, jnp.zeros(3), xs)
    return jnp.sum(h) + jnp.sum(ys["sum"] ** 2) + jnp.sum(ys["h"][1])


def backwards(xs):
    """Horner's rule from the end, with a dict as carry and nothing stacked but the input."""

    def step(carry, x):
        return {"p": carry["p"] * 0.5 + x[0], "n": carry["n"] + 1}, x[1]

    return lax.scan(step, {"p": 0.0, "n": 0}, (xs, xs * 2.0), reverse=True)


def counted(x):
    """No input: length tells the number of steps; the counter is an integer carry."""
    return lax.scan(lambda c, _: ((c[0] * x, c[1] + 1), c[0]), (1.0, 0), None, length=4)


def newton(a):
    """Square root: runs as often as it has to."""

    def goes_on(state):
        x, i = state
        return jnp.logical_and(jnp.abs(x * x - a) > 1e-12, i < 50)

    return lax.while_loop(goes_on, lambda s: (0.5 * (s[0] + a / s[0]), s[1] + 1), (a, 0))


def powers(x, n):
    return lax.fori_loop(0, n, lambda i, p: p * x + jnp.cos(x) * i, 1.0)


def piecewise(x):
    return lax.cond(x > 0.0, lambda: jnp.sin(x) * x, lambda: jnp.exp(x))


def chosen(i, x):
    return lax.switch(i, [lambda v: v, lambda v: v * v, lambda v: jnp.sin(v) + x], x)


def mixed(x):
    """A branch in a loop, and a loop in a branch."""

    def step(c, flag):
        c = lax.cond(flag, lambda v: v * x, lambda v: lax.fori_loop(0, 3, lambda _, u: u + x, v), c)
        return c, c

    c, cs = lax.scan(step, 1.0, jnp.array([True, False, True]))
    return c + jnp.sum(cs)


def linear_recurrence(a, b):
    """x[k] = a[k] x[k-1] + b[k], in a tree of pairs."""

    def combine(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    return lax.associative_scan(combine, (a, b))[1]


XS = jnp.array([0.5, -1.0, 2.0, 0.25, 1.5])
W = jnp.array([[0.1, -0.4, 0.3], [0.7, 0.2, -0.6], [0.0, 0.5, -0.1]])


def main():
    out = {}
    out["rnn"] = jax.value_and_grad(rnn, (0, 1))(W, XS)
    out["rnn of lanes"] = jax.vmap(jax.grad(rnn), (None, 0))(W, jnp.stack([XS, XS[::-1]]))
    out["rnn hessian"] = jax.hessian(rnn, 1)(W, XS)
    out["rnn forward over reverse"] = jax.jvp(lambda w: jax.grad(rnn)(w, XS), (W,), (W * W,))
    out["backwards"] = backwards(XS)
    out["backwards, derivative"] = jax.jacrev(lambda x: backwards(x)[0]["p"])(XS)
    out["counted"] = counted(3.0)
    out["counted, jacobians"] = [jax.jacfwd(lambda x: counted(x)[1])(1.5)]
    out["no steps"] = lax.scan(lambda c, x: (c + x, c * x), 1.0, XS[:0])
    out["a Python number gives way"] = lax.scan(lambda c, x: (c + x, c), 0, XS)
    out["an integer stays one"] = lax.fori_loop(0, 5, lambda i, t: t + i * i, 0)
    out["nothing to do"] = lax.fori_loop(3, 1, lambda i, t: t * 2.0, 7.0)
    out["unrolled"] = lax.scan(lambda c, x: (c * x + 1.0, c), 1.0, XS, unroll=2)
    out["newton"] = [newton(a) for a in (2.0, 9.0, 0.25)]
    out["newton in lanes"] = jax.vmap(newton)(jnp.array([2.0, 1e-4, 1e6]))
    out["newton, forward"] = jax.jvp(lambda a: newton(a)[0], (3.0,), (1.0,))
    out["powers"] = [powers(0.7, n) for n in (0, 1, 4)]
    out["powers, a traced bound"] = jax.jit(powers)(0.7, 4)
    out["powers, gradient"] = jax.grad(powers)(0.7, 4)
    out["piecewise"] = [jax.value_and_grad(piecewise)(x) for x in (-0.5, 0.5)]
    out["piecewise in lanes"] = jax.vmap(jax.grad(piecewise))(XS)
    out["piecewise, second"] = [jax.grad(jax.grad(piecewise))(x) for x in (-0.5, 0.5)]
    out["a number as predicate"] = [lax.cond(n, lambda: 1.0, lambda: 2.0) for n in (0, 3)]
    out["chosen"] = [chosen(i, 0.3) for i in (-4, 0, 1, 2, 9)]
    out["chosen, jit"] = [jax.jit(jax.grad(chosen, 1))(i, 0.3) for i in (-4, 0, 1, 2, 9)]
    out["chosen in lanes"] = jax.vmap(chosen)(jnp.array([2, -1, 1, 5, 0]), XS)
    out["mixed"] = jax.value_and_grad(mixed)(1.1)
    out["mixed, third"] = jax.grad(jax.grad(jax.grad(mixed)))(1.1)
    out["map"] = lax.map(lambda x: (x * x, jnp.sin(x)), XS)
    out["map in batches"] = lax.map(lambda x: x * x, XS, batch_size=2)
    out["recurrence"] = linear_recurrence(XS, XS + 1.0)
    out["recurrence, jacobian"] = jax.jacrev(linear_recurrence)(XS, XS + 1.0)
    out["products from the end"] = lax.associative_scan(jnp.multiply, XS, reverse=True)
    stack = jnp.stack([W, W + 1.0, W - 0.5, W * 2.0])
    out["matrix products"] = lax.associative_scan(jnp.matmul, stack)
    out["along the other axis"] = lax.associative_scan(jnp.maximum, W, axis=1)
    out["reduce"] = lax.reduce(W, 1.0, lambda a, b: a * b + 0.0, (1,))
    return out


TRANSFORMABLE = [
    (rnn, (W, XS)),
    (lambda x: powers(x, 4), (0.7,)),
    (lambda a: newton(a)[0], (3.0,)),
    (piecewise, (0.5,)),
    (mixed, (1.1,)),
    (linear_recurrence, (XS, XS + 1.0)),
]
