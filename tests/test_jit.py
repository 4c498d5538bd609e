"""The steady state of jit: the generated fast call, its misses, and what it must never swallow."""

from __future__ import annotations

import collections
import dataclasses
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import functrace as ft
from functrace.control import jit as jit_module
from functrace.control.fastcall import MISS
from functrace.core.lowering import Host
from functrace.core.trace import PRIMITIVES, Primitive

X = np.array([1.0, 2.0, 3.0])
Pair = collections.namedtuple("Pair", "a b")


@ft.tree.register_dataclass
@dataclasses.dataclass
class Point:
    x: Any
    y: Any


def ran_fast(f: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether one of the fast calls takes these arguments."""
    return any(fast(args, kwargs) is not MISS for fast in f._fast)


TREES = {
    "tuple": (X, 2.0),
    "list": [X, [X, 1.0], []],
    "dict": {"b": X, "a": {3: X, 2: 1.0}},
    "ordered": collections.OrderedDict(b=X, a=X),
    "namedtuple": Pair(X, (X, None)),
    "dataclass": Point(X, {"k": 2.0}),
    "none": (None, X, None),
    "tuple keys": {(1, "a"): X, (0, "b"): 2.0},
}


@pytest.mark.parametrize("name", TREES)
def test_trees_come_back_from_the_fast_call(name: str) -> None:
    doubled = ft.jit(lambda t, *, k: ft.tree.map(lambda v: v * k, t))
    given = TREES[name]
    want = ft.tree.map(lambda v: v * 2.0, given)
    assert not ran_fast(doubled, given, k=2.0)
    for _ in range(3):
        out = doubled(given, k=2.0)
        assert ft.tree.structure(out) == ft.tree.structure(want) and type(out) is type(want)
        for a, b in zip(ft.tree.leaves(out), ft.tree.leaves(want)):
            assert_array_equal(a, b)
    assert ran_fast(doubled, given, k=2.0)


@pytest.mark.parametrize(
    "args, kwargs",
    [
        (([X, X],), {}),
        (((X,),), {}),
        (((X, X, X),), {}),
        (((X, X), X), {}),
        (((X, X),), {"d": {"b": X}}),
        (((X, X),), {"d": {"a": X, "b": X}}),
        (((X, X),), {"d": [X]}),
        (((X, X),), {"e": {"a": X}}),
        (((X, X),), {"d": {"a": None}}),
        (((X, Pair(X, X)),), {"d": {"a": X}}),
        (((X, X[:2]),), {"d": {"a": X}}),
        (((X, X.astype(np.float32)),), {"d": {"a": X}}),
    ],
)
def test_other_calls_miss(args: Any, kwargs: Any) -> None:
    f = ft.jit(lambda *args, **kwargs: ft.tree.map(lambda v: v + 1.0, (args, kwargs)))
    f((X, X), d={"a": X})
    assert ran_fast(f, (X, X), d={"a": X})
    assert not ran_fast(f, *args, **kwargs)
    out_args, out_kwargs = f(*args, **kwargs)
    assert ft.tree.structure((out_args, out_kwargs)) == ft.tree.structure((args, kwargs))


def test_static_arguments_are_compared_by_type_and_value() -> None:
    traced = []

    @ft.jit(static_argnums=1, static_argnames="name")
    def f(x: Any, n: Any, *, name: str = "") -> Any:
        traced.append((n, name))
        return x * n

    for _ in range(3):
        assert_array_equal(f(X, 2), X * 2)
        assert_array_equal(f(X, 2.0), X * 2)
        assert_array_equal(f(X, 3, name="a"), X * 3)
    assert traced == [(2, ""), (2.0, ""), (3, "a")]
    assert ran_fast(f, X, 2) and not ran_fast(f, X, 4)


@pytest.fixture
def fetch() -> Iterator[Any]:
    """A primitive that calls back into Python and fails when it is told to."""
    fetch_p = Primitive("fetch_of_a_test")
    failing: list[BaseException] = []

    @fetch_p.def_impl
    def _impl(x: Any) -> Any:
        if failing:
            raise failing[0]
        return np.asarray(x * 2)[()]

    fetch_p.def_abstract_eval(lambda x: x.strong())
    fetch_p.def_lowering(Host("a test"))
    yield fetch_p.bind, failing
    del PRIMITIVES["fetch_of_a_test"]


@pytest.mark.parametrize("error", [KeyError("theirs"), IndexError("theirs"), TypeError("theirs")])
def test_errors_of_the_run_are_not_misses(fetch: Any, error: BaseException) -> None:
    bind, failing = fetch
    traced = []

    @ft.jit
    def f(d: Any) -> Any:
        traced.append(1)
        return bind(d["x"]) + 1.0

    assert_array_equal(f({"x": X}), X * 2 + 1)
    failing.append(error)
    with pytest.raises(type(error), match="theirs"):
        f._fast[0](({"x": X},), {})
    with pytest.raises(type(error), match="theirs"):
        f({"x": X})
    failing.clear()
    assert_array_equal(f({"x": X}), X * 2 + 1)
    assert len(traced) == 1


def test_captured_arrays_are_checked_by_the_fast_call_too() -> None:
    weights = np.ones(3)
    f = ft.jit(lambda x: x * weights)
    f(X), f(X)
    assert ran_fast(f, X)
    weights[1] = 2.0
    with pytest.raises(ft.errors.CapturedArrayChangedError):
        f._fast[0]((X,), {})


def test_arrays_that_only_the_trace_had_are_not_kept() -> None:
    """The copy in the program is all there is; what somebody can still write to is compared."""
    made, outside, base = [], [], np.ones(6)

    def local(x: Any) -> Any:
        here = np.full(3, 2.0)
        made.append(weakref.ref(here))
        return x * here

    f = ft.jit(local)
    for _ in range(3):
        assert_array_equal(f(X), X * 2)
    assert made[0]() is None

    def given_away(x: Any) -> Any:
        outside.append(np.full(3, 2.0))
        return x * outside[-1]

    for f, array in ((ft.jit(given_away), None), (ft.jit(lambda x: x * base[:3]), base)):
        assert_array_equal(f(X), f(X))
        (outside[0] if array is None else array)[0] = 5.0
        with pytest.raises(ft.errors.CapturedArrayChangedError):
            f(X)


def test_only_the_last_signatures_are_tried() -> None:
    f = ft.jit(lambda x: x + 1.0)
    for n in range(12):
        assert_array_equal(f(np.zeros(n)), np.ones(n))
    assert len(f._fast) == 8 and f._cache_size() == 12
    assert_array_equal(f(np.zeros(0)), np.ones(0))


def test_donation_leaves_what_it_may_not_write() -> None:
    f = ft.jit(lambda p, q: (p + 1.0, q + 1.0), donate_argnums=(0, 1))
    fixed, shared = np.ones(4), np.ones(4)
    fixed.flags.writeable = False
    for _ in range(2):
        out, other = f(fixed, shared)
        assert out is not fixed and other is shared
        assert_array_equal(fixed, 1.0)
    out, other = f(shared, shared)
    assert out is shared and other is not shared
    assert_array_equal(out, other)
    g = ft.jit(lambda x, *, s: s + x, donate_argnames="s")
    state = np.zeros(3)
    assert g(1.0, s=state) is state and g(1.0, s=state) is state
    assert_array_equal(state, 2.0)


def test_stages_show_their_types() -> None:
    f = ft.jit(lambda x: (x @ x.T, np.sum(x)))
    compiled = f.lower(np.ones((2, 3))).compile()
    want = (ft.ShapeDtypeStruct((2, 2), "float64"), ft.ShapeDtypeStruct((), "float64"))
    assert compiled.out_info == f.lower(np.ones((2, 3))).out_info == want
    assert f.eval_shape(np.ones((2, 3))) == want
    assert compiled.as_text("jaxpr") == f.lower(np.ones((2, 3))).as_text("jaxpr")
    assert f.lower(np.ones((2, 3))).cost_analysis()["flops"] >= 2 * 2 * 2 * 3
    assert compiled.memory_analysis()["argument_size_in_bytes"] == 48
    with pytest.raises(ValueError, match="no stage is called 'wasm'"):
        compiled.as_text("wasm")
    assert repr(f).startswith("<jit of ")


def test_jit_under_transformations_shares_one_trace() -> None:
    traced = []

    @ft.jit
    def f(x: Any) -> Any:
        traced.append(1)
        return np.sum(np.sin(x) * x)

    want = np.cos(X) * X + np.sin(X)
    assert_allclose(ft.grad(f)(X), want)
    assert_allclose(ft.jit(ft.grad(f))(X), want)
    assert_allclose(ft.vmap(ft.grad(f))(np.stack([X, X]))[1], want)
    assert_allclose(ft.jvp(f, (X,), (np.ones(3),))[1], want.sum())
    assert len(traced) == 1


def test_caches_can_be_looked_at_and_emptied() -> None:
    f = ft.jit(lambda x: np.exp(x) * 7.125)
    first = f(X)
    assert ft.cache_info().entries >= 1
    ft.clear_caches()
    info = ft.cache_info()
    assert info.entries == info.hits == info.disk_hits == info.compiled == 0
    assert_array_equal(f(X), first)
    f.clear_cache()
    assert_array_equal(f(X), first)
    assert ft.cache_info().disk_hits + ft.cache_info().compiled >= 1


WEIGHTS = np.ones(3)


def test_captured_arrays_are_named_as_the_function_sees_them() -> None:
    held = {"w": np.ones(3)}
    for f, name, array in [
        (ft.jit(lambda x: x * WEIGHTS), "'WEIGHTS'", WEIGHTS),
        (ft.jit(lambda x: x * held["w"]), "\\(unnamed\\)", held["w"]),
    ]:
        f(X)
        array[0] += 1.0
        with pytest.raises(ft.errors.CapturedArrayChangedError, match=name):
            f(X)


def test_a_static_nan_is_itself_and_zeros_have_signs() -> None:
    traced = []

    @ft.jit(static_argnums=0)
    def f(scale: Any, x: Any) -> Any:
        traced.append(scale)
        return x * (scale[0] if isinstance(scale, tuple) else scale)

    for _ in range(3):
        f(float("nan"), X)
        f((float("nan"), 1), X)
        f(np.float32("nan"), X)
    assert len(traced) == 3
    assert np.signbit(f(-0.0, 1.0)) != np.signbit(f(0.0, 1.0))
    assert np.signbit(f((-0.0,), 1.0)) != np.signbit(f((0.0,), 1.0))
    assert f((2,), X.astype(int)).dtype != f((2.0,), X.astype(int)).dtype
    assert ran_fast(f, float("nan"), X) or ran_fast(f, -0.0, 1.0)


def test_only_so_many_traces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit_module, "TRACES", 3)
    f = ft.jit(lambda x, n: x + n, static_argnums=1)
    for n in range(5):
        f(X, n)
    assert f.cache_info() == (5, 3, 3)
    assert len(f._fast_calls) == len(f._fast) == 3
    assert_array_equal(f(X, 4), X + 4)
    assert f.cache_info().misses == 5
    assert_array_equal(f(X, 0), X)
    assert f.cache_info() == (6, 3, 3)
