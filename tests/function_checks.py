"""Checks of public functions: traced, batched and differentiated they are what they are on arrays.

The functions of functrace.numpy *are* NumPy's on plain arrays, so one function gives both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import functrace
from functrace import tree
from functrace.config import config
from functrace.core.aval import typeof
from functrace.core.jaxpr import eval_jaxpr
from functrace.interpreters.staging import stage

EPS = {"f": 1e-6, "c": 1e-6}


def assert_same(actual: Any, expected: Any, rtol: float = 1e-6, dtype: bool = True) -> None:
    """Assert that two trees of arrays have the same structure, dtypes, shapes and values."""
    got, want = tree.leaves(actual), tree.leaves(expected)
    assert len(got) == len(want), (actual, expected)
    for g, w in zip(got, want):
        w = np.asarray(w)
        g = np.asarray(g)
        if dtype:
            assert g.dtype == w.dtype, (g.dtype, w.dtype)
        assert g.shape == w.shape, (g.shape, w.shape)
        if w.dtype.kind in "fc":
            tol = max(rtol, 8 * np.finfo(w.dtype).eps)
            if w.dtype.char == "e":
                tol = 4e-3
            elif w.dtype.char in "fF":
                tol = max(rtol, 1e-5)
            np.testing.assert_allclose(g, w, rtol=tol, atol=tol)
        else:
            np.testing.assert_array_equal(g, w)


def staged(fun: Callable[..., Any], *args: Any) -> Any:
    """Return the result of the jaxpr of ``fun``."""
    structure = []

    def flat(*xs: Any) -> list[Any]:
        out = fun(*xs)
        structure[:] = [tree.structure(out)]
        return tree.leaves(out)

    with config.override(checks=True):
        closed = stage(flat, [typeof(a).strong() for a in args], "a test")
    outs = eval_jaxpr(closed.jaxpr, closed.consts, *args)
    for out, aval in zip(outs, closed.out_avals):
        assert typeof(out).same_type(aval), (typeof(out), aval)
    return tree.unflatten(structure[0], outs)


def check_traced(
    fun: Callable[..., Any],
    *args: Any,
    plain: Callable[..., Any] | None = None,
    rtol: float = 1e-6,
) -> None:
    """Assert that the staged function gives what it gives on arrays, dtypes included."""
    with np.errstate(all="ignore"):
        expected = (plain or fun)(*args)
        assert_same(staged(fun, *args), expected, rtol)


def check_vmap(fun: Callable[..., Any], *args: Any, axes: tuple[int, ...] = (0, -1)) -> None:
    """Assert that vmap over three lanes equals a loop, for each place of the mapped axis."""
    rng = np.random.default_rng(0)
    lanes = [[_jitter(rng, a) for a in args] for _ in range(3)]
    expected = [fun(*lane) for lane in lanes]
    stacked = tree.map(lambda *leaves: np.stack(leaves), *expected)
    for axis in axes:
        batched = [np.stack(column, axis) for column in zip(*lanes)]
        with config.override(checks=True):
            out = functrace.vmap(fun, in_axes=axis)(*batched)
        assert_same(out, stacked)


def _jitter(rng: np.random.Generator, a: Any) -> Any:
    a = np.asarray(a)
    if a.dtype.kind not in "fc":
        return a
    return (a + (0.1 * rng.standard_normal(a.shape)).astype(a.real.dtype)).astype(a.dtype)


def check_derivative(
    fun: Callable[..., Any], *args: Any, rtol: float = 1e-5, eps: float = 1e-6
) -> None:
    """Assert jvp against central differences, and that vjp is its adjoint."""
    rng = np.random.default_rng(1)
    args = tuple(np.asarray(a) for a in args)
    tangents = tuple(_direction(rng, a) for a in args)
    with config.override(checks=True):
        out, tangent = functrace.jvp(fun, args, tangents)
        assert_same(out, fun(*args))
        above = fun(*(a + eps * t for a, t in zip(args, tangents)))
        below = fun(*(a - eps * t for a, t in zip(args, tangents)))
        for t, hi, lo in zip(tree.leaves(tangent), tree.leaves(above), tree.leaves(below)):
            slope = (np.asarray(hi) - np.asarray(lo)) / (2 * eps)
            np.testing.assert_allclose(t, slope, rtol=rtol, atol=rtol)
        out, pullback = functrace.vjp(fun, *args)
        cts = tree.map(lambda o: _direction(rng, np.asarray(o)), out)
        left = sum(np.sum(c * t) for c, t in zip(tree.leaves(cts), tree.leaves(tangent)))
        right = sum(np.sum(g * t) for g, t in zip(pullback(cts), tangents))
        np.testing.assert_allclose(np.real(left), np.real(right), rtol=1e-8, atol=1e-10)


def _direction(rng: np.random.Generator, a: Any) -> Any:
    t = rng.standard_normal(a.shape)
    if a.dtype.kind == "c":
        t = t + 1j * rng.standard_normal(a.shape)
    return np.asarray(t, a.dtype)


def check_jit(fun: Callable[..., Any], *args: Any) -> None:
    """Assert that the compiled function gives what it gives on arrays."""
    assert_same(functrace.jit(fun)(*args), fun(*args), rtol=1e-11)


def check_all(fun: Callable[..., Any], *args: Any, rtol: float = 1e-5) -> None:
    """Assert values, dtypes, lanes, compilation and derivatives of a function of floats."""
    check_traced(fun, *args)
    check_jit(fun, *args)
    check_vmap(fun, *args)
    check_derivative(fun, *args, rtol=rtol)
