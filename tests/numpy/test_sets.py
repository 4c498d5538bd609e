"""Sets: unique, union1d, intersect1d, setdiff1d, setxor1d."""

from __future__ import annotations

import numpy as np
import pytest
from function_checks import assert_same, check_traced, check_vmap, staged

import functrace
from functrace.numpy import sets as s

X = np.array([2.0, 1.0, 2.0, 3.0, -1.0])
Y = np.array([3.0, 5.0, 1.0, 5.0])


def test_unique_of_known_values() -> None:
    x = np.array([2.0, 1.0, 2.0, 3.0])
    out, pullback = functrace.vjp(s.unique, x)
    assert_same(out, np.array([1.0, 2.0, 3.0]))
    assert_same(pullback(np.array([1.0, 10.0, 100.0]))[0], np.array([10.0, 1.0, 0.0, 100.0]))
    counts = functrace.jvp(lambda x: s.unique(x, return_counts=True), (x,), (x,))[0]
    assert_same(counts, tuple(np.unique(x, return_counts=True)))
    everything = functrace.jvp(
        lambda x: s.unique(x, True, True, True, axis=0), (x[:, None],), (x[:, None],)
    )[0]
    assert_same(everything, tuple(np.unique(x[:, None], True, True, True, axis=0)))
    assert_same(functrace.jvp(s.unique_values, (x,), (x,))[0], np.array([1.0, 2.0, 3.0]))
    with pytest.raises(TypeError, match="unique"):
        staged(s.unique, x)


def eager(fun: object, *args: np.ndarray) -> object:
    """Return the value of a function under jvp, where values are known."""
    return functrace.jvp(fun, args, args)[0]


def test_results_with_names() -> None:
    for name in ("unique_all", "unique_counts", "unique_inverse"):
        fun = getattr(s, name)
        assert_same(tuple(eager(fun, X)), tuple(fun(X)))
        assert eager(fun, X)._fields == fun(X)._fields


@pytest.mark.parametrize("name", ["union1d", "intersect1d", "setdiff1d", "setxor1d"])
def test_two_sets(name: str) -> None:
    fun = getattr(s, name)
    assert_same(eager(fun, X, Y), fun(X, Y))
    assert_same(eager(lambda x: fun(x, Y), X), fun(X, Y))
    gradient = functrace.grad(lambda x: fun(x, Y).sum())(X)
    assert set(gradient) <= {0.0, 1.0}
    if name != "union1d":
        a, b = np.unique(X), np.unique(Y)
        assert_same(eager(lambda a, b: fun(a, b, assume_unique=True), a, b), fun(a, b))
    with pytest.raises(TypeError, match=name):
        staged(fun, X, Y)


def test_indices_of_an_intersection() -> None:
    fun = lambda x, y: s.intersect1d(x, y, return_indices=True)  # noqa: E731
    assert_same(eager(fun, X, Y), tuple(fun(X, Y)))


def test_unique_of_a_size() -> None:
    plain = np.unique(X, True, True, True)
    fun = lambda x: s.unique(x, True, True, True, size=4)  # noqa: E731
    check_traced(fun, X, plain=lambda x: tuple(plain))
    assert_same(fun(X), tuple(plain))
    short = staged(lambda x: s.unique(x, return_counts=True, size=2), X)
    assert_same(short, (plain[0][:2], plain[3][:2]))
    long = staged(lambda x: s.unique(x, return_counts=True, size=6, fill_value=9), X)
    assert_same(long, (np.append(plain[0], [9.0, 9.0]), np.append(plain[3], [0, 0])))
    assert_same(staged(lambda x: s.unique(x, size=5), X), np.append(plain[0], -1.0))
    check_vmap(lambda x: s.unique(x, size=5), X)
    inverse = staged(lambda x: s.unique(x, return_inverse=True, size=2)[1], np.eye(2))
    assert_same(inverse, np.eye(2, dtype=int))
    with pytest.raises(NotImplementedError, match="axis"):
        s.unique(np.eye(2), axis=0, size=2)
    with pytest.raises(ValueError, match="without elements"):
        s.unique(np.zeros(0), size=2)
