"""Derivatives of derivatives of while loops: any order, any mix of modes, and what they cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import lax

Function = Callable[..., Any]


def repeat(step: Function, steps: int, start: Any) -> Any:
    """A while loop of so many steps."""
    return lax.while_loop(lambda c: c[0] < steps, lambda c: (c[0] + 1, step(c[1])), (0, start))[1]


def looped(x: Any, a: Any) -> Any:
    """As many steps as the values want."""

    def step(carry: Any) -> Any:
        i, y = carry
        return i + 1, fnp.sin(y) * a + 0.1 * y * x

    return lax.while_loop(lambda carry: (carry[0] < 5) & (carry[1] < 50.0), step, (0, x))[1]


def written_out(x: Any, a: Any) -> Any:
    y = x
    for _ in range(5):
        y = fnp.sin(y) * a + 0.1 * y * x
    return y


def both(f: Function) -> Function:
    """Derivatives by both arguments, added up."""
    pulled = ft.grad(f, (0, 1))
    return lambda x, a: sum(pulled(x, a))


def pushed(f: Function) -> Function:
    return lambda x, a: ft.jvp(f, (x, a), (0.3, -0.2))[1]


def mapped(f: Function) -> Function:
    def g(x: Any, a: Any) -> Any:
        return fnp.sum(ft.vmap(f, (0, None))(fnp.stack([x, x * 0.5]), a))

    return g


MIXES = {
    "reverse": (both,),
    "reverse twice": (both, both),
    "reverse three times": (both, both, both),
    "forward over reverse": (both, pushed),
    "reverse over forward over reverse": (both, pushed, both),
    "reverse over mapped reverse": (both, mapped, both),
    "mapped reverse twice": (both, both, mapped),
    "reverse over forward": (pushed, both),
    "forward over reverse twice": (both, both, pushed),
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("compiled", [False, True])
def test_all_mixes_of_modes(mix: str, compiled: bool) -> None:
    got, want = looped, written_out
    for transform in MIXES[mix]:
        got, want = transform(got), transform(want)
    if compiled:
        got = ft.jit(got)
    np.testing.assert_allclose(got(0.5, 1.3), want(0.5, 1.3), rtol=1e-12)


@pytest.mark.parametrize("order", ["fr", "rf", "rr"])
def test_hessians_of_arrays(order: str) -> None:
    outer, inner = (ft.jacfwd if c == "f" else ft.jacrev for c in order)

    def total(step: Function) -> Function:
        return lambda w: fnp.sum(step(w)[1] ** 2)

    def step(w: Any, x: Any) -> Any:
        return fnp.tanh(w @ x) + 0.5 * x

    def loop(w: Any) -> Any:
        def body(c: Any) -> Any:
            return c[0] - 1, step(w, c[1])

        return lax.while_loop(lambda c: c[0] > 0, body, (4, fnp.ones(3)))

    def unrolled(w: Any) -> Any:
        x = np.ones(3)
        for _ in range(4):
            x = step(w, x)
        return None, x

    w = np.random.default_rng(0).standard_normal((3, 3))
    got = outer(inner(total(loop)))(w)
    np.testing.assert_allclose(got, outer(inner(total(unrolled)))(w), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 1024, 3000])
def test_second_derivatives_of_long_loops(steps: int) -> None:
    def loop(x: Any) -> Any:
        return repeat(lambda y: y + 1e-3 * fnp.sin(y), steps, x)

    def scanned(x: Any) -> Any:
        return lax.scan(lambda c, _: (c + 1e-3 * fnp.sin(c), None), x, None, length=steps)[0]

    got = ft.jit(ft.grad(ft.grad(loop)))(0.7)
    np.testing.assert_allclose(got, ft.grad(ft.grad(scanned))(0.7), rtol=1e-12)


def test_loops_in_loops() -> None:
    def inner(y: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, fnp.sin(c[1]) * y), (0, y))[
            1
        ]

    def outer(x: Any) -> Any:
        return repeat(lambda y: inner(y) + x, 2, x)

    def scanned(x: Any) -> Any:
        return lax.scan(lambda c, _: (inner(c) + x, None), x, None, length=2)[0]

    def plain(x: Any) -> Any:
        y = x
        for _ in range(2):
            z = y
            for _ in range(3):
                z = fnp.sin(z) * y
            y = z + x
        return y

    want = ft.grad(ft.grad(plain))(0.8)
    np.testing.assert_allclose(ft.jit(ft.grad(ft.grad(outer)))(0.8), want, rtol=1e-11)
    np.testing.assert_allclose(ft.jit(ft.grad(ft.grad(scanned)))(0.8), want, rtol=1e-11)


def test_bodies_with_rules_for_reverse_only() -> None:
    @ft.custom_vjp
    def cube(x: Any) -> Any:
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, ct: (3.0 * x**2 * ct,))

    def loop(x: Any) -> Any:
        return repeat(lambda y: cube(y) * x, 3, x)

    def plain(x: Any) -> Any:
        y = x
        for _ in range(3):
            y = y**3 * x
        return y

    np.testing.assert_allclose(
        ft.grad(ft.grad(loop))(0.9), ft.grad(ft.grad(plain))(0.9), rtol=1e-11
    )


@pytest.mark.parametrize("kind", ["while", "scan"])
def test_each_derivative_is_a_few_times_longer(kind: str) -> None:
    def loop(x: Any) -> Any:
        if kind == "scan":
            return lax.scan(lambda c, _: (fnp.sin(c) * x, None), x, None, length=5)[0]
        return repeat(lambda y: fnp.sin(y) * x, 5, x)

    counts = []
    derivative = ft.grad(loop)
    for _ in range(4):
        counts.append(ft.jit(derivative).lower(0.5).as_text("simplified").count(" = "))
        derivative = ft.grad(derivative)
    assert all(after <= 3.5 * before for before, after in itertools.pairwise(counts))
