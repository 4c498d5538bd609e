"""Random nestings of choices and loops: every way to run them, and every derivative, agree.

A program is a tree of tuples that maps a scalar and a vector to others; hypothesis makes and
shrinks it. ``FUNCTRACE_RANDOM_NESTINGS`` sets how many are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.config import config

COUNT = int(os.environ.get("FUNCTRACE_RANDOM_NESTINGS", "12"))
TABLE = np.array([0.3, -0.7, 1.1, 0.2, -0.4])
ROWS = np.linspace(-0.5, 0.5, 15).reshape(5, 3)
State = tuple[Any, Any]

# --- programs ----------------------------------------------------------------------------------

OPERATIONS: list[Callable[[Any, Any], State]] = [
    lambda s, v: (np.sin(s) + 0.5 * v[0], v),
    lambda s, v: (s, np.tanh(v * s)),
    lambda s, v: (0.7 * s + 0.1 * np.sum(v * v), v),
    lambda s, v: (s, 0.5 * v[::-1] + s),
    lambda s, v: (np.max(v) * 0.3 - s, v * np.cos(s)),
    lambda s, v: (v[1], v),
    lambda s, v: (s, ROWS[:3] @ v + s),
]


def programs() -> st.SearchStrategy[Any]:
    """Return the strategy of programs."""
    leaf = st.tuples(st.just("op"), st.integers(0, len(OPERATIONS) - 1))

    def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        steps = st.integers(0, 4)
        return st.one_of(
            st.tuples(st.just("then"), inner, inner),
            st.tuples(st.just("cond"), st.sampled_from([-0.5, 0.1, 0.6]), inner, inner),
            st.tuples(st.just("switch"), inner, inner, inner),
            st.tuples(st.just("scan"), steps, inner, st.booleans()),
            st.tuples(st.just("fori"), steps, inner),
            st.tuples(st.just("computed"), inner),
            st.tuples(st.just("while"), steps, inner),
            st.tuples(st.just("map"), inner),
        )

    return st.recursive(leaf, wider, max_leaves=5)


def run(node: Any, s: Any, v: Any) -> State:
    """Run a program."""
    kind, *rest = node
    return RUNNERS[kind](s, v, *rest)


def bounded(s: Any, v: Any) -> State:
    """Keep values of a loop from growing."""
    return 2.0 * np.tanh(s), 2.0 * np.tanh(v)


def run_cond(s: Any, v: Any, limit: float, yes: Any, no: Any) -> State:
    # One branch is given its operands, the other closes over them.
    return lax.cond(s > limit, lambda a, b: run(yes, a, b), lambda a, b: run(no, s, v), s, v)


def run_switch(s: Any, v: Any, *nodes: Any) -> State:
    index = np.floor(2.0 * s).astype(np.int64)
    return lax.switch(index, [lambda a, b, n=n: run(n, a, b) for n in nodes], s, v)


def run_scan(s: Any, v: Any, steps: int, node: Any, reverse: bool) -> State:
    def step(carry: State, x: Any) -> tuple[State, Any]:
        a, b = run(node, *carry)
        return bounded(a + 0.1 * s, b + x * v), {"y": a * x[0], "z": b}

    (a, b), ys = lax.scan(step, (s, v), ROWS[:steps], reverse=reverse)
    return a + 0.1 * np.sum(ys["y"] ** 2), b + 0.1 * np.sum(ys["z"], axis=0)


def run_fori(s: Any, v: Any, steps: int, node: Any) -> State:
    def step(i: Any, carry: State) -> State:
        a, b = run(node, *carry)
        return bounded(a + s * fnp.take(TABLE, i) + fnp.take(b, i % 3), b)

    return lax.fori_loop(0, steps, step, (s, v))


def run_computed(s: Any, v: Any, node: Any) -> State:
    steps = np.floor(np.abs(3.0 * s)).astype(np.int64) % 4
    return lax.fori_loop(
        0, steps, lambda i, c: bounded(*run(node, c[0] + 0.1 * i * s, c[1])), (s, v)
    )


def run_while(s: Any, v: Any, steps: int, node: Any) -> State:
    def step(carry: Any) -> Any:
        i, a, b = carry
        a, b = bounded(*run(node, a, b))
        return i + 1, a + 0.1 * s, b + 0.1 * v

    start = (0, s, v)
    return lax.while_loop(lambda c: (c[0] < steps) & (c[1] < 1.9), step, start)[1:]


def run_map(s: Any, v: Any, node: Any) -> State:
    def one(element: Any) -> Any:
        a, b = run(node, element + s, v)
        return np.tanh(a) + 0.1 * np.sum(b)

    return s, lax.map(one, v)


RUNNERS: dict[str, Callable[..., State]] = {
    "op": lambda s, v, k: OPERATIONS[k](s, v),
    "then": lambda s, v, a, b: run(b, *run(a, s, v)),
    "cond": run_cond,
    "switch": run_switch,
    "scan": run_scan,
    "fori": run_fori,
    "computed": run_computed,
    "while": run_while,
    "map": run_map,
}

# --- laws --------------------------------------------------------------------------------------

POINTS = np.array([0.37, -0.83, 1.21])
VECTORS = np.array([[0.51, -0.33, 0.92], [0.12, 0.77, -0.61], [-0.45, 0.28, 0.66]])


def loss_of(node: Any) -> Callable[[Any, Any], Any]:
    """Return a program as a function with one number as result."""

    def loss(s: Any, v: Any) -> Any:
        a, b = run(node, s, v)
        return a + np.sum(b * np.array([1.0, 0.5, -0.25]))

    return loss


def close(got: Any, want: Any, what: str, rtol: float = 1e-9) -> None:
    for g, w in zip(ft.tree.leaves(got), ft.tree.leaves(want), strict=True):
        g, w = np.asarray(g), np.asarray(w)
        assert g.dtype == w.dtype, what
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol, err_msg=what)


def nestings(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test on random programs, the same ones each time."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    options = settings(
        max_examples=COUNT, deadline=None, derandomize=True, suppress_health_check=checks
    )
    return options(given(programs())(test))


@nestings
def test_ways_to_run_agree(node: Any) -> None:
    loss = loss_of(node)
    s, v = POINTS[0], VECTORS[0]
    with ft.disable_jit():
        value, gradient = ft.value_and_grad(loss, (0, 1))(s, v)
    close(loss(s, v), value, "eager")
    close(ft.jit(loss)(s, v), value, "jit")
    close(ft.grad(loss, (0, 1))(s, v), gradient, "the gradient of it")
    close(ft.jit(ft.grad(loss, (0, 1)))(s, v), gradient, "jit of the gradient")


@pytest.fixture
def interpreted() -> Any:
    """Run loops as Python: what these tests are about is the rules."""
    with config.override(backend="python", checks=True):
        yield


@pytest.mark.usefixtures("interpreted")
@nestings
def test_derivatives_agree(node: Any) -> None:
    loss = loss_of(node)
    s, v, t, u = POINTS[0], VECTORS[0], 0.7, VECTORS[1]
    _, moved = ft.jvp(loss, (s, v), (t, u))
    h = 1e-6
    high, low = (loss(s + d * t, v + d * u) for d in (h, -h))
    close(moved, (high - low) / (2 * h), "jvp against differences", 1e-6)
    gs, gv = ft.grad(loss, (0, 1))(s, v)
    close(gs * t + np.dot(gv, u), moved, "reverse against forward mode")
    staged = ft.make_jaxpr(ft.grad(loss, (0, 1)))(s, v)
    close(tuple(ft.core.jaxpr.jaxpr_as_fun(staged)(s, v)), (gs, gv), "the staged gradient")
    _, hvp = ft.jvp(ft.grad(loss, (0, 1)), (s, v), (t, u))
    other = ft.grad(lambda s, v: ft.jvp(loss, (s, v), (t, u))[1], (0, 1))(s, v)
    close(hvp, other, "forward over reverse against reverse over forward", 1e-7)
    twice = ft.grad(
        lambda s, v: np.sum(ft.grad(loss, 1)(s, v) * u) + t * ft.grad(loss)(s, v), (0, 1)
    )
    close(twice(s, v), hvp, "reverse over reverse", 1e-7)


@pytest.mark.usefixtures("interpreted")
@nestings
def test_vmap_is_a_loop(node: Any) -> None:
    loss = loss_of(node)
    both = ft.value_and_grad(loss, (0, 1))
    lanes = [both(s, v) for s, v in zip(POINTS, VECTORS)]
    want = ft.tree.map(lambda *xs: np.stack(xs), *lanes)
    close(ft.vmap(both)(POINTS, VECTORS), want, "vmap of the gradient")
    summed = ft.grad(lambda s, v: np.sum(ft.vmap(loss)(s, v)), (0, 1))(POINTS, VECTORS)
    close(summed, want[1], "the gradient of vmap")
    shared = ft.vmap(loss, (None, 0))(POINTS[0], VECTORS)
    close(shared, np.stack([loss(POINTS[0], v) for v in VECTORS]), "vmap of one argument")
