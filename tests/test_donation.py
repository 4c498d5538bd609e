"""Donated arrays: results are written into them, and are what they are without donation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.control.donation import match_donated, written_over
from functrace.control.jit_primitive import compiled

RNG = np.random.default_rng(5)
N = 50_000


def adam(p: Any, m: Any, v: Any, g: Any) -> Any:
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p - 1e-3 * m / (np.sqrt(v) + 1e-8), m, v


def crossed(a: Any, b: Any) -> Any:
    return b * 2.0 + 1.0, a * 3.0 - b


def entangled(a: Any, b: Any) -> Any:
    """One kernel, each of whose results is written over what the other needs."""
    s = np.exp(a) * b
    return s + b * 3.0, s - a * b + a


def stencil(a: Any, b: Any) -> Any:
    return a + fnp.roll(a, 1), b[::-1] * 2.0


def read_later(a: Any, b: Any) -> Any:
    small = np.sum(a * b)
    return a * 2.0 + b, b + small, np.sum(a), np.cumsum(a)


def softmaxes(a: Any, b: Any) -> Any:
    x = a.reshape(500, 100)
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return (e / np.sum(e, axis=1, keepdims=True)).reshape(-1) * a, np.sort(b)


def products(a: Any, b: Any) -> Any:
    x, y = a[:10000].reshape(100, 100), b[:10000].reshape(100, 100)
    return fnp.concatenate([(x @ y).reshape(-1), a[10000:]]), np.tanh(b)


def looped(a: Any, b: Any) -> Any:
    a, b = lax.fori_loop(0, 3, lambda i, c: (c[0] * 0.5 + c[1], c[0] - 0.1 * c[1]), (a, b))
    return a, b


def scattered(a: Any, b: Any) -> Any:
    return fnp.at(a)[3:7].set(b[3:7]), fnp.at(b)[np.array([0, 0, 5])].add(a[:3])


def passed_on(a: Any, b: Any) -> Any:
    return a, a + b


def scalars_too(a: Any, b: Any) -> Any:
    return a + b[0], np.max(b), b * a[0]


def seconds(a: Any, b: Any) -> Any:
    """Both results are of both types, and one is made of a later value of the other's."""
    c = a + b
    d = np.cumsum(c)
    return d * a, c * b


FUNCTIONS: list[Callable[..., Any]] = [
    crossed, entangled, stencil, read_later, softmaxes, products, looped, scattered, passed_on,
    scalars_too, seconds,
]  # fmt: skip


def arrays(count: int, dtype: Any = np.float64) -> list[Any]:
    return [RNG.uniform(0.1, 1.0, N).astype(dtype) for _ in range(count)]


def check(f: Callable[..., Any], args: list[Any], donated: tuple[int, ...]) -> Any:
    """Hold a few calls, which go the general and then the fast path, to calls without donation."""
    plain, donating = ft.jit(f), ft.jit(f, donate_argnums=donated)
    for _ in range(3):
        given = [a.copy() for a in args]
        want = plain(*given)
        got = donating(*given)
        for g, w in zip(ft.tree.leaves(got), ft.tree.leaves(want), strict=True):
            assert g.tobytes() == w.tobytes() and type(g) is type(w)
        for i, (a, before) in enumerate(zip(given, args)):
            if i not in donated:
                np.testing.assert_array_equal(a, before)
        args = [a * 0.5 + 0.1 for a in args]
    return got, given


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("donated", [(0,), (1,), (0, 1)], ids=str)
def test_results_are_those_without_donation(f: Any, donated: tuple[int, ...]) -> None:
    for checks in (False, True):
        with ft.config.override(checks=checks):
            check(f, arrays(2), donated)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_optimizer_writes_over_its_state(dtype: Any) -> None:
    got, given = check(adam, arrays(4, dtype), (0, 1, 2))
    assert all(g is a for g, a in zip(got, given))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 33])
def test_small_arrays(n: int) -> None:
    check(entangled, [a[:n] for a in arrays(2)], (0, 1))
    check(adam, [a[:n] for a in arrays(4, np.float32)], (0, 1, 2))


def overwritten(f: Callable[..., Any], count: int) -> int:
    """How many results the compiler writes over donated inputs."""
    args = arrays(count)
    closed = ft.make_jaxpr(f)(*args)
    pairs = match_donated([True] * count, closed.in_avals, closed.out_avals)
    return len(written_over(compiled(closed, "f", None, pairs).program, pairs))


def test_what_is_written_over_its_argument() -> None:
    assert overwritten(adam, 4) == 3
    assert overwritten(entangled, 2) == 2
    assert overwritten(passed_on, 2) < 2
    assert overwritten(lambda a: a[::-1] * 2.0, 1) == 0
    assert overwritten(lambda a: np.cumsum(a) + np.sum(a), 1) == 1
    assert overwritten(lambda a, b: (b * 2.0, np.sum(a * b)), 2) <= 1


def test_arrays_that_share_memory_are_not_mixed_up() -> None:
    f = ft.jit(lambda a, b: (a + b, a * b), donate_argnums=(0, 1))
    g = ft.jit(lambda a, b: a + 2.0 * b[::-1], donate_argnums=0)
    for _ in range(3):
        x = np.arange(1.0, 7.0)
        first, second = f(x, x)
        np.testing.assert_array_equal(first, np.arange(1.0, 7.0) * 2)
        np.testing.assert_array_equal(second, np.arange(1.0, 7.0) ** 2)
        y = np.arange(12.0)
        want = y[:8] + 2.0 * y[4:][::-1]
        np.testing.assert_array_equal(g(y[:8], y[4:]), want)


def test_strided_and_read_only_arrays() -> None:
    f = ft.jit(lambda a, b: a * 2.0 + b, donate_argnums=0)
    for _ in range(3):
        x = np.arange(20.0)
        strided = x[::2]
        out = f(strided, np.ones(10))
        np.testing.assert_array_equal(out, np.arange(0.0, 20.0, 2.0) * 2 + 1)
        assert out is strided
        np.testing.assert_array_equal(x[1::2], np.arange(1.0, 20.0, 2.0))
        fixed = np.arange(10.0)
        fixed.flags.writeable = False
        np.testing.assert_array_equal(f(fixed, np.ones(10)), np.arange(10.0) * 2 + 1)
        np.testing.assert_array_equal(fixed, np.arange(10.0))


def test_any_number_of_threads_gives_the_same_bits() -> None:
    results = []
    for threads in (1, 2, 3):
        state = [np.linspace(0.1, 1.0, 400_000) for _ in range(4)]
        step = ft.jit(adam, donate_argnums=(0, 1, 2), threads=threads)
        for _ in range(3):
            step(*state)
        results.append(b"".join(a.tobytes() for a in state))
    assert len(set(results)) == 1


def test_donation_inside_transformations_and_other_back_ends() -> None:
    f = ft.jit(lambda a, b: a * b, donate_argnums=0)
    a, b = arrays(2)
    kept = a.copy()
    np.testing.assert_array_equal(ft.grad(lambda a: np.sum(f(a, b)))(a), b)
    np.testing.assert_array_equal(a, kept)
    with ft.config.override(backend="python"):
        small = kept[:50].copy()
        out = f(small, b[:50])
        assert out is small
        np.testing.assert_array_equal(out, kept[:50] * b[:50])
    with ft.config.override(debug_nans=True), pytest.raises(FloatingPointError):
        ft.jit(lambda a: np.log(a), donate_argnums=0)(np.full(4, -1.0))
