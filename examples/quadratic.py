"""The smallest example: a function of two numbers, its gradient, and what was recorded.

``(x + w) * (w + 1)`` uses ``w`` twice, so its derivative by ``w`` is a sum over two paths:
``(w + 1) + (x + w)``, which is 5 at ``x = 2, w = 1``.

Shown here: ``grad`` with ``argnums``, ``value_and_grad``, ``vjp``, ``jvp`` and ``make_jaxpr``.
"""

from __future__ import annotations

import functrace as ft


def f(x: float, w: float) -> float:
    return (x + w) * (w + 1)


def main() -> dict[str, object]:
    x, w = 2.0, 1.0

    # grad returns a function; argnums says by which arguments to differentiate.
    dw = ft.grad(f, argnums=1)(x, w)
    value, (dx, dw_again) = ft.value_and_grad(f, argnums=(0, 1))(x, w)
    print(f"f(2, 1) = {value}, df/dx = {dx}, df/dw = {dw}")

    # Reverse mode by hand: from a change of the output back to the inputs.
    _, pullback = ft.vjp(f, x, w)
    print("pullback(1.0) =", pullback(1.0))

    # Forward mode: from a change of the inputs, here of w alone, to the output.
    _, tangent = ft.jvp(f, (x, w), (0.0, 1.0))
    print("change of f along w =", tangent)

    # What functrace saw: three primitive operations, as a program that can be read.
    jaxpr = ft.make_jaxpr(f)(x, w)
    print(jaxpr)

    return {
        "value": float(value),
        "dx": float(dx),
        "dw": float(dw),
        "dw_again": float(dw_again),
        "pulled_back": [float(g) for g in pullback(1.0)],
        "tangent": float(tangent),
        "primitives": [eqn.primitive.name for eqn in jaxpr.jaxpr.eqns],
    }


if __name__ == "__main__":
    main()
