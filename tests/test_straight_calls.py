"""The shortest way of a compiled call: through a class made for the structure of its arguments."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
from functrace import lax
from functrace.control.jit import JitFunction
from functrace.core.trace import EVAL, detours, state

X = np.arange(4.0)


def goes_straight(f: Any) -> bool:
    return isinstance(f, JitFunction) and type(f) is not JitFunction


CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "one": (lambda x: x * 2.0, (X,)),
    "number": (lambda x: np.sum(x), (X,)),
    "nothing": (lambda: lax.iota(np.float64, 3), ()),
    "two": (lambda x, y: (x + y, [x, None]), (X, 3.0)),
    "containers": (lambda p, q: {"a": p["w"] + q[0][1], "b": q[1]}, ({"w": X}, ((X, X), 2.0))),
    "callback": (lambda x: ft.pure_callback(np.sin, x, x), (X,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_the_same(name: str) -> None:
    f, args = CALLS[name]
    jitted = ft.jit(f)
    first = jitted(*args)
    assert goes_straight(jitted)
    again = jitted(*args)
    assert ft.tree.structure(first) == ft.tree.structure(again)
    for a, b in zip(ft.tree.leaves(first), ft.tree.leaves(again), strict=True):
        assert type(a) is type(b) and a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("backend", ["python", "numba"])
def test_other_backends_go_this_way_too(backend: str) -> None:
    with ft.config.override(backend=backend):
        f = ft.jit(lambda x: x * 2.0)
        for _ in range(2):
            np.testing.assert_array_equal(f(X), 2 * X)
    assert goes_straight(f)


def test_other_calls_find_their_way() -> None:
    f = ft.jit(lambda x, y=1.0: x["a"] * y)
    np.testing.assert_array_equal(f({"a": X}), X)
    assert goes_straight(f)
    np.testing.assert_array_equal(f({"a": X}, 3.0), 3 * X)
    np.testing.assert_array_equal(f({"a": X}, y=X), X * X)
    np.testing.assert_array_equal(f({"a": X.astype(np.float32)}), X)
    np.testing.assert_array_equal(f({"a": X[::2]}), X[::2])
    with pytest.raises(KeyError, match="a"):
        f({"b": X})
    with pytest.raises(TypeError, match="argument"):
        f({"a": X}, X, X)
    np.testing.assert_array_equal(f({"a": X}), X)
    assert f.cache_info().traces == 5


def test_errors_of_compiled_code_come_through() -> None:
    f = ft.jit(lambda x, i: x[i])
    assert f(X, 1) == 1.0 and goes_straight(f)
    with pytest.raises(IndexError, match="out of bounds"):
        f(X, 9)
    assert f(X, 2) == 2.0


def test_settings_turn_it_off() -> None:
    f = ft.jit(lambda x: x.sum() if isinstance(x, np.ndarray) else x.sum() + 1.0)
    assert f(X) == 7.0 and goes_straight(f)
    with ft.disable_jit():
        assert f(X) == 6.0
    assert f(X) == 7.0 and not detours
    f.clear_cache()
    assert type(f) is JitFunction and f(X) == 7.0 and goes_straight(f)


def test_what_needs_a_closer_look_takes_the_general_way() -> None:
    static = ft.jit(lambda x, n: x * n, static_argnums=1)
    donated = ft.jit(lambda x: x * 2.0, donate_argnums=0)
    held = np.ones(4)
    captured = ft.jit(lambda x: x + held)
    for f, args in ((static, (X, 2)), (donated, (X.copy(),)), (captured, (X,))):
        f(*args)
        assert not goes_straight(f)


# Each of them calls a function in a trace of its own.
TRANSFORMS: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "grad": lambda f: ft.grad(f)(2.0),
    "vjp": lambda f: ft.vjp(f, 2.0)[1](1.0),
    "jvp": lambda f: ft.jvp(f, (2.0,), (1.0,)),
    "linearize": lambda f: ft.linearize(f, 2.0)[1](1.0),
    "hessian": lambda f: ft.hessian(f)(2.0),
    "vmap": lambda f: ft.vmap(f)(X),
    "jit": lambda f: ft.jit(f)(2.0),
    "make_jaxpr": lambda f: ft.make_jaxpr(f)(2.0),
    "eval_shape": lambda f: ft.eval_shape(f, 2.0),
    "checkpoint": lambda f: ft.grad(ft.checkpoint(f))(2.0),
    "scan": lambda f: lax.scan(lambda c, _: (f(c), None), 2.0, None, length=3),
    "cond": lambda f: ft.jit(lambda x: lax.cond(x > 0, f, f, x))(2.0),
    "grad of jit": lambda f: ft.grad(ft.jit(f))(2.0),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_traces_are_detours(name: str) -> None:
    seen = 0

    def f(x: Any) -> Any:
        nonlocal seen
        if state.trace is not EVAL:
            assert detours
            seen += 1
        return x * x

    TRANSFORMS[name](f)
    assert seen and not detours


def test_under_a_trace_a_call_is_recorded() -> None:
    inner = ft.jit(lambda x: x * 2.0)
    inner(X)
    assert goes_straight(inner)
    jaxpr = ft.make_jaxpr(lambda y: inner(X) + y)(X)
    assert "jit" in str(jaxpr) or "mul" in str(jaxpr)
    np.testing.assert_array_equal(ft.grad(lambda y: np.sum(inner(y)))(X), np.full(4, 2.0))


def test_another_threads_trace_changes_nothing() -> None:
    f = ft.jit(lambda x: x * 2.0)
    f(X)
    begun, go_on = threading.Event(), threading.Event()

    def traced(x: Any) -> Any:
        begun.set()
        assert go_on.wait(10)
        return x + 1.0

    thread = threading.Thread(target=lambda: ft.make_jaxpr(traced)(X))
    thread.start()
    assert begun.wait(10) and detours
    np.testing.assert_array_equal(f(X), 2 * X)
    go_on.set()
    thread.join()
    assert not detours
    np.testing.assert_array_equal(f(X), 2 * X)


def test_functions_of_one_structure_share_a_class_and_die_at_once() -> None:
    f, g = ft.jit(lambda x: x * 2.0), ft.jit(lambda x: x + 1.0)
    f(X), g(X)
    assert type(f) is type(g) and f(X)[1] == 2.0 and g(X)[1] == 2.0 and f(X)[3] == 6.0
    gone = weakref.ref(g)
    gc.disable()
    try:
        del g
        assert gone() is None
    finally:
        gc.enable()
