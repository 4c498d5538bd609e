"""Uses: Python if, for, while, recursion and early return on concrete values under grad and jvp."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp


def piecewise(x):
    if x < 0.0:
        return x**2
    if x < 1.0:
        return jnp.sin(x)
    return 3.0 * x - 2.0


def newton_sqrt(a):
    x = a
    while abs(x * x - a) > 1e-13:
        x = 0.5 * (x + a / x)
    return x


def power(x, n):
    """x to the n, by squaring."""
    if n == 0:
        return 1.0
    half = power(x, n // 2)
    return half * half * (x if n % 2 else 1.0)


def first_large(xs, limit):
    """The product of the numbers up to the first one above the limit."""
    total = 1.0
    for i in range(len(xs)):
        total = total * xs[i]
        if xs[i] > limit:
            return total
    return total


def escape(c):
    """Iterate until the value is large: the number of rounds depends on the value."""
    z, rounds = c, 0
    while abs(z) < 4.0 and rounds < 50:
        z = z * z + c
        rounds += 1
    return z * rounds


def polynomial(coefficients, x):
    result = 0.0
    for c in coefficients:
        result = result * x + c
    return result


def main():
    out = {}
    out["piecewise"] = [jax.value_and_grad(piecewise)(x) for x in (-2.0, 0.5, 2.0)]
    out["piecewise_second"] = [jax.grad(jax.grad(piecewise))(x) for x in (-2.0, 0.5, 2.0)]
    out["sqrt"] = jax.value_and_grad(newton_sqrt)(2.0)
    out["sqrt_second"] = jax.grad(jax.grad(newton_sqrt))(2.0)
    out["power"] = [jax.grad(power)(1.1, n) for n in (0, 1, 2, 7, 10)]
    xs = jnp.array([0.5, 1.5, 3.0, 7.0])
    out["first_large"] = jax.grad(first_large)(xs, 2.0)
    out["escape"] = jax.value_and_grad(escape)(0.4)
    out["escape_jvp"] = jax.jvp(escape, (0.3,), (1.0,))
    coefficients = jnp.array([1.0, -2.0, 0.5])
    out["polynomial"] = jax.grad(polynomial, argnums=(0, 1))(coefficients, 1.5)

    order = []

    def visited(x):
        y = x * 2.0
        order.append(bool(y > 1.0))
        return y if order[-1] else -y

    out["visited"] = [jax.grad(visited)(1.0), jax.grad(visited)(0.1), order]
    out["max_of_list"] = jax.grad(lambda a, b: max(a, b) * min(a, b), argnums=(0, 1))(2.0, 3.0)
    return out


TRANSFORMABLE = [
    (lambda x: power(x, 5), (jnp.array([0.5, -1.5]),)),
    (polynomial, (jnp.array([1.0, -2.0, 0.5]), jnp.array(1.5))),
]
