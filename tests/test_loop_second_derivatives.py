"""Second and third derivatives of loops: every order of the modes, and Python's loops, agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.control.loops import while_reverse
from functrace.test_util import check_grads

TABLE = np.array([0.3, -0.7, 1.1])
Function = Callable[[Any], Any]


def counted(x: Any, steps: Any = 5, scale: float = 1.0) -> Any:
    def step(c: Any) -> Any:
        i, y = c
        return i + 1, scale * np.sin(y) * x[0] + fnp.take(TABLE, i % 3, axis=0) * y

    return np.sum(lax.while_loop(lambda c: c[0] < steps, step, (0, x * x))[1])


def until_small(x: Any) -> Any:
    """How often it runs depends on the values."""
    y = lax.while_loop(lambda y: np.max(y) > 0.1, lambda y: y * y * x * 0.9, x)
    return np.sum(y * x)


def newton(x: Any) -> Any:
    """The square roots of x, with their true derivatives once it has converged."""

    def step(y: Any) -> Any:
        return 0.5 * (y + x / y)

    root = lax.while_loop(lambda y: np.max(np.abs(y * y - x)) > 1e-13, step, x)
    return np.sum(step(step(root)) * np.array([1.0, 2.0, 3.0]))


def while_in_scan(x: Any) -> Any:
    def step(c: Any, limit: Any) -> Any:
        c = lax.while_loop(lambda c: np.sum(c) < limit, lambda c: c * 1.3 + x * c * c, c)
        return c * 0.4, c[0]

    c, ys = lax.scan(step, x, np.array([2.0, 1.0, 3.0]))
    return np.sum(c) + np.sum(ys * ys)


def scan_in_while(x: Any) -> Any:
    def body(s: Any) -> Any:
        i, c = s
        c = lax.scan(lambda c, t: (np.sin(c * x) + t, None), c, TABLE)[0]
        return i + 1, lax.cond(c[0] > 0.5, lambda c: c * c, lambda c: c + x, c)

    return np.sum(lax.while_loop(lambda s: s[0] < 3, body, (0, x))[1])


def while_in_while(x: Any) -> Any:
    def body(s: Any) -> Any:
        i, c = s
        c = lax.while_loop(lambda d: np.sum(d) > 1.0, lambda d: d * x * 0.7, c)
        return i + 1, c + x * 0.5 + 0.3 * c * c

    return np.sum(lax.while_loop(lambda s: s[0] < 3, body, (0, 2.0 * x))[1])


def scanned(x: Any) -> Any:
    def step(c: Any, t: Any) -> Any:
        return c + 0.1 * c * (1.0 - c) * np.exp(t * x), np.max(c)

    c, ys = lax.scan(step, x, TABLE, reverse=True)
    return np.sum(c**2) + np.sum(ys)


LOOPS: list[Function] = [
    counted, until_small, newton, while_in_scan, scan_in_while, while_in_while, scanned,
]  # fmt: skip
every_loop = pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
X = np.array([0.81, 0.46, 0.63])


def rev_rev(f: Function) -> Function:
    return ft.jacrev(ft.grad(f))


ORDERS: dict[str, Callable[[Function], Function]] = {
    "reverse over reverse": rev_rev,
    "forward over reverse": lambda f: ft.jacfwd(ft.grad(f)),
    "reverse over forward": lambda f: ft.jacrev(ft.jacfwd(f)),
    "forward over forward": lambda f: ft.jacfwd(ft.jacfwd(f)),
}


@every_loop
def test_hessians(f: Function) -> None:
    with ft.disable_jit():
        want = rev_rev(f)(X)
    for name, hessian in ORDERS.items():
        for form in (hessian(f), ft.jit(hessian(f))):
            np.testing.assert_allclose(form(X), want, rtol=1e-9, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(want, want.T, rtol=1e-9, atol=1e-10)


@every_loop
def test_differences(f: Function) -> None:
    check_grads(f, (X,), order=2, modes=("fwd", "rev"), rtol=1e-4, atol=1e-5)


def test_the_hessian_of_converged_newton_steps_is_the_roots() -> None:
    want = np.diag(-0.25 * X**-1.5 * np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(rev_rev(newton)(X), want, atol=1e-7)


@pytest.mark.parametrize("f", [counted, until_small, newton, scanned], ids=lambda f: f.__name__)
def test_third_derivatives_along_a_line(f: Function) -> None:
    def along(t: Any) -> Any:
        return f(X + t * np.array([0.3, -0.2, 0.1]))

    third = ft.jacfwd(ft.jacfwd(ft.grad(along)))
    with ft.disable_jit():
        want = third(0.0)
    np.testing.assert_allclose(third(0.0), want, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("places", [2, 3, 5])
def test_hessians_of_loops_that_replay(places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that are too small for the carries, in the loop and in its derivative's loop."""
    monkeypatch.setattr(while_reverse, "FEWEST", places)
    monkeypatch.setattr(while_reverse, "MOST", places)
    scale = 1.0 - places / 100  # programs are kept by what they compute
    for steps in (0, 1, places, 9, 17):

        def f(x: Any, steps: int = steps) -> Any:
            return counted(x, steps, scale)

        with ft.disable_jit():
            want = rev_rev(f)(X)
        np.testing.assert_allclose(rev_rev(f)(X), want, rtol=1e-9, err_msg=str(steps))


def test_hessian_vector_products_in_lanes_of_different_lengths() -> None:
    def f(x: Any, steps: Any) -> Any:
        return counted(x, steps)

    def product(x: Any, v: Any, steps: Any) -> Any:
        return ft.grad(lambda x: np.vdot(ft.grad(f)(x, steps), v))(x)

    steps = np.array([0, 1, 4, 9])
    xs = np.stack([X, X * 0.9, X[::-1], X + 0.1])
    vs = xs * xs - 0.2
    with ft.disable_jit():
        want = [product(x, v, n) for x, v, n in zip(xs, vs, steps)]
    np.testing.assert_allclose(ft.vmap(product)(xs, vs, steps), want, rtol=1e-9)
    np.testing.assert_allclose(ft.jit(ft.vmap(product))(xs, vs, steps), want, rtol=1e-9)
