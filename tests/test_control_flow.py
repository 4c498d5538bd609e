"""Choices and loops: what their functions may do, what they say otherwise, what it costs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.config import config
from functrace.control.loops import bodies, while_reverse
from functrace.core.jaxpr import Jaxpr, JaxprEqn
from functrace.errors import (
    DTypeError,
    MissingRuleError,
    ShapeError,
    StructureError,
    TracerBoolConversionError,
)

XS = np.array([0.5, -1.0, 2.0])


def body_of(fun: Callable[..., Any], *args: Any, last: bool = True) -> JaxprEqn:
    """Return the first or the last scan of a function's jaxpr."""
    found = [e for e in ft.make_jaxpr(fun)(*args).eqns if e.primitive.name == "scan"]
    return found[-1 if last else 0]


def names(jaxpr: Jaxpr) -> list[str]:
    return [eqn.primitive.name for eqn in jaxpr.eqns]


# --- one body, traced once ---------------------------------------------------------------------


def test_a_body_is_traced_once() -> None:
    calls = []

    def step(c: Any, x: Any) -> Any:
        calls.append(1)
        return c + x, None

    lax.scan(step, 0.0, XS)
    assert len(calls) == 2  # the second time with a carry that is no Python number


SCALE = 2.0


def test_a_trace_is_used_again_until_something_changes() -> None:
    global SCALE
    table = np.array([1.0, 2.0, 3.0])

    def step(c: Any, x: Any) -> Any:
        return c + x * table[0] * SCALE, None

    def traces(run: Callable[[], Any]) -> Any:
        """Return the result; the trace is the same object when it is used again."""
        result = run()
        kept = bodies._traces.get(step, {})
        return result, [id(k.body) for k in kept.values()]

    lax.scan(step, np.float64(0.0), XS)  # a function that comes once isn't watched
    first, body = traces(lambda: lax.scan(step, np.float64(0.0), XS)[0])
    again, same = traces(lambda: lax.scan(step, np.float64(0.0), XS)[0])
    assert first == again and body == same and body
    table[0] = 10.0  # NumPy computed with it while the body was traced
    changed, _ = traces(lambda: lax.scan(step, np.float64(0.0), XS)[0])
    np.testing.assert_allclose(changed, 10.0 * first)
    SCALE = 4.0
    np.testing.assert_allclose(lax.scan(step, np.float64(0.0), XS)[0], 20.0 * first)
    SCALE = 2.0


FACTOR = 1.0


@ft.jit
def jitted(x: Any) -> Any:
    return x * 2.0


def plain(x: Any) -> Any:
    return x * FACTOR


@pytest.mark.parametrize("wrap", [lambda f: f, ft.checkpoint, ft.grad, ft.vmap, ft.jit])
def test_a_change_is_seen_through_wrappers(wrap: Any) -> None:
    global FACTOR
    inner = wrap(plain)
    one = wrap is ft.vmap

    def step(c: Any, x: Any) -> Any:
        return c, inner(x[None])[0] if one else inner(jitted(x))

    first = lax.scan(step, np.float64(0.0), XS)[1]
    FACTOR = 3.0
    try:
        if wrap is ft.jit:
            inner.clear_cache()
        np.testing.assert_allclose(lax.scan(step, np.float64(0.0), XS)[1], 3.0 * first)
    finally:
        FACTOR = 1.0


def test_equal_bodies_are_one_jaxpr() -> None:
    jaxprs = [
        body_of(lambda x: lax.scan(lambda c, s: (c * s, c), x, XS), 1.0).params["jaxpr"]
        for _ in range(2)
    ]
    assert jaxprs[0] is jaxprs[1]


def test_arrays_closed_over_are_read_when_the_loop_runs() -> None:
    w = np.ones(3)

    def run() -> Any:
        return lax.scan(lambda c, x: (c + np.sum(w * x), None), 0.0, XS)[0]

    before = run()
    w *= 2.0
    np.testing.assert_allclose(run(), 2.0 * before)


# --- types of the carry ------------------------------------------------------------------------


def test_python_numbers_take_the_type_that_comes_back() -> None:
    assert lax.scan(lambda c, x: (c + x, c), 0, XS)[0].dtype == np.float64
    assert lax.scan(lambda c, x: (c + x, c), 0.0, np.float32(XS))[1].dtype == np.float32
    assert lax.while_loop(lambda c: c[1] < 2, lambda c: (c[1] * 0.5, c[1] + 1), (0, 0)) == (0.5, 2)
    # A number that the body returns gives way to the carry.
    out, ys = lax.scan(lambda c, x: (0.0, c), np.float32(1.0), XS)
    assert (out.dtype, ys.dtype) == (np.float32, np.float32)
    # A counter is a Python integer until its bounds say otherwise.
    assert lax.fori_loop(0, 3, lambda i, c: c * i, np.float32(1.0)).dtype == np.float32


def test_results_are_arrays_however_they_are_computed() -> None:
    functions: list[Callable[..., Any]] = [
        lambda: lax.scan(lambda c, x: (c + 1, {"y": x, "z": 1}), 0, XS),
        lambda: lax.scan(lambda c, x: (c + x, 2.0), 0, np.float32(XS), reverse=True),
        lambda: lax.fori_loop(0, 3, lambda i, c: c + i, 0),
        lambda: lax.fori_loop(2, 2, lambda i, c: c + i, 1.5),
        lambda: lax.while_loop(lambda c: c < 5, lambda c: c + 1, 0),
        lambda: lax.cond(True, lambda: 1.0, lambda: np.float32(2.0)),
        lambda: lax.switch(7, [lambda: 1, lambda: 2]),
        lambda: lax.map(lambda x: x > 0, XS),
    ]
    for function in functions:
        with ft.disable_jit():
            want = function()
        for got in (function(), ft.jit(function)()):
            assert ft.tree.structure(got) == ft.tree.structure(want)
            for g, w in zip(ft.tree.leaves(got), ft.tree.leaves(want), strict=True):
                assert isinstance(g, (np.ndarray, np.generic))
                assert (g.dtype, g.shape) == (w.dtype, w.shape)
                np.testing.assert_array_equal(g, w)


MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: lax.scan(lambda c, x: ({"a": c["a"].astype(np.float32)}, x), {"a": XS}, XS),
        DTypeError,
        r"carry\['a'\] is f64\[3\] where the body takes it and f32\[3\].*"
        r"return carry\['a'\].astype\(np.float64\)",
    ),
    (lambda: lax.scan(lambda c, x: (c + XS, x), 1.0, XS), ShapeError, r"carry is f64\[\] where"),
    (lambda: lax.scan(lambda c, x: ((c, c), x), 1.0, XS), StructureError, "returned a carry of"),
    (lambda: lax.scan(lambda c, x: c, 1.0, XS), TypeError, "one array.*not a pair"),
    (lambda: lax.scan(lambda c, x: (c, x), 1.0, (XS, XS[:2])), ShapeError, r"xs\[1\] has 2"),
    (lambda: lax.scan(lambda c, x: (c, x), 1.0, XS, length=4), ShapeError, "length=4"),
    (lambda: lax.scan(lambda c, x: (c, x), 1.0, 3.0), ShapeError, "a scalar has none"),
    (lambda: lax.scan(lambda c, x: (c, x), 1.0), ShapeError, "how many steps"),
    (lambda: lax.scan(lambda c, x: (c, "y"), 1.0, XS), DTypeError, "not an array"),
    (lambda: lax.scan(lambda c, x: (c, x), "c", XS), DTypeError, "init of scan"),
    (lambda: lax.scan(lambda c, x: (c, x), 1.0, XS, unroll=-1), ValueError, "unroll"),
    (lambda: lax.scan(lambda c, x: (c, x), 1.0, XS, checkpoint="all"), ValueError, "checkpoint"),
    (
        lambda: ft.jit(lambda n: lax.scan(lambda c, x: (c, x), 1.0, None, n))(3),
        TypeError,
        "lax.while_loop",
    ),
    (lambda: lax.while_loop(lambda c: c, lambda c: c, 1.0), DTypeError, "one boolean"),
    (lambda: lax.while_loop(lambda c: c > 0, lambda c: c, XS), DTypeError, r"bool\[3\]"),
    (lambda: lax.while_loop(lambda c: (c > 0,), lambda c: c, 1.0), DTypeError, "a tree"),
    (lambda: lax.fori_loop(0.5, 3, lambda i, c: c, 1.0), DTypeError, "counts in integers"),
    (lambda: lax.fori_loop(0, XS, lambda i, c: c, 1.0), ShapeError, "upper"),
    (lambda: lax.fori_loop(0, 3, lambda i, c: (c, c), 1.0), StructureError, "<lambda>"),
    (lambda: lax.fori_loop(0, 3, lambda i, c: c[:2], XS), ShapeError, r"carry is f64\[3\]"),
    (lambda: lax.cond(XS > 0, lambda: 1, lambda: 2), ShapeError, "np.where"),
    (lambda: lax.switch(0.5, [lambda: 1]), DTypeError, "lax.cond"),
    (lambda: lax.switch(0, []), ValueError, "no branches"),
    (lambda: lax.map(3, XS), TypeError, "takes a function"),
    (lambda: lax.map(lambda x: x, XS, batch_size=0), ValueError, "batch_size"),
    (lambda: lax.map(lambda x: x, 1.0, batch_size=2), ShapeError, "a scalar has none"),
    (lambda: lax.associative_scan(lambda a, b: (a, b), XS), StructureError, "returned"),
    (lambda: lax.associative_scan(np.add, XS, axis=1), ShapeError, "axis 1"),
    (
        lambda: lax.associative_scan(lambda a, b: a, (XS, XS[:2])),
        ShapeError,
        r"sizes \[2, 3\]",
    ),
    (lambda: lax.reduce((XS, XS[:2]), (0.0, 0.0), lambda a, b: a, (0,)), ShapeError, "one shape"),
]


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES)
def test_messages(mistake: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"(?s){text}"):
        mistake()


BRANCH_MISTAKES: list[tuple[Callable[..., Any], Callable[..., Any], type[Exception], str]] = [
    (lambda: 1.0, lambda: (1.0,), StructureError, "one structure"),
    (lambda: XS, lambda: XS[:2], ShapeError, "output of <lambda>"),
    (lambda: {"a": XS}, lambda: {"a": XS > 0}, DTypeError, r"output\['a'\].*is bool\[3\]"),
    (lambda: 1.5, lambda: np.int64(1), DTypeError, r"is f64\[\]"),
]


@pytest.mark.parametrize(("yes", "no", "error", "text"), BRANCH_MISTAKES)
def test_messages_of_branches(yes: Any, no: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ft.jit(lambda p: lax.cond(p, yes, no))(True)


# --- bodies that need values -------------------------------------------------------------------


def absolute(c: Any, x: Any) -> Any:
    return (c + x if x > 0 else c - x), c


def test_a_body_that_needs_values_runs_in_python_with_one_warning() -> None:
    with pytest.warns(UserWarning, match="runs as a Python loop") as caught:
        out, ys = lax.scan(absolute, 0.0, XS)
        lax.scan(absolute, 0.0, XS)
    assert len(caught) == 1 and caught[0].filename == __file__
    np.testing.assert_allclose(out, np.sum(np.abs(XS)))
    np.testing.assert_allclose(ys, [0.0, 0.5, 1.5])
    with pytest.raises(TracerBoolConversionError):
        ft.jit(lambda xs: lax.scan(absolute, 0.0, xs))(XS)
    gradient = ft.grad(lambda xs: lax.scan(absolute, 0.0, xs)[0])(XS)
    np.testing.assert_array_equal(gradient, np.sign(XS))


def test_while_and_fori_run_in_python_too() -> None:
    table = [3.0, 4.0, 5.0]
    with pytest.warns(UserWarning, match="while_loop of"):
        assert lax.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + table[c[0]]), (0, 0.0)
        ) == (3, 12.0)
    with pytest.warns(UserWarning, match="fori_loop of"):
        assert lax.fori_loop(0, 3, lambda i, c: c + table[i], 0.0) == 12.0
    with pytest.warns(UserWarning, match="runs as a Python loop"), pytest.raises(ShapeError):
        lax.fori_loop(0, 3, lambda i, c: np.ones(2) * table[i], 0.0)


def test_the_warning_says_what_to_write_instead() -> None:
    """NumPy asks an index for an array of it: no tracer can make ``XS[i]`` work."""
    with pytest.warns(UserWarning) as caught:
        lax.fori_loop(0, 3, lambda i, c: c + XS[i], 0.0)
    (text,) = [str(w.message) for w in caught]
    assert "test_control_flow.py:" in text
    assert "functrace.numpy.take(x, i, axis=0) or functrace.numpy.array(x)[i]" in text
    for pick in (lambda i: fnp.take(XS, i, axis=0), lambda i: fnp.array(XS)[i]):
        assert lax.fori_loop(0, 3, lambda i, c, pick=pick: c + pick(i), 0.0) == XS.sum()  # type: ignore[misc]


def test_effects_of_disable_jit() -> None:
    seen: list[Any] = []
    with ft.disable_jit(), warnings.catch_warnings():
        warnings.simplefilter("error")
        lax.scan(lambda c, x: (c + x, seen.append(float(x))), 0.0, XS)
        lax.fori_loop(0, 2, lambda i, c: seen.append(i) or c, 0.0)  # type: ignore[func-returns-value]
    assert seen == [0.5, -1.0, 2.0, 0, 1]


def test_a_loop_of_no_steps_has_types_without_jit() -> None:
    def step(c: Any, x: Any) -> Any:
        return lax.while_loop(lambda c: c < x, lambda c: c + 1.0, c), c > x

    with ft.disable_jit():
        out, ys = lax.scan(step, 1, XS[:0])
    assert (out, out.dtype, ys.dtype, ys.shape) == (1.0, np.float64, np.bool_, (0,))


# --- derivatives -------------------------------------------------------------------------------


def test_closures_are_differentiable_everywhere() -> None:
    def loss(a: Any) -> Any:
        first = lax.scan(lambda c, x: (c + a * x, None), 0.0, XS)[0]
        second = lax.fori_loop(0, 3, lambda i, c: c * a + i, first)
        third = lax.while_loop(lambda c: c < 50.0 * a, lambda c: c * (1.0 + a), second)
        fourth = lax.cond(a > 0, lambda: third * a, lambda: third)
        return fourth + np.sum(lax.map(lambda x: x * a * a, XS))

    with ft.disable_jit():
        want = [ft.grad(loss)(1.3), ft.grad(ft.grad(loss))(1.3)]
    assert ft.grad(loss)(1.3) == pytest.approx(want[0], rel=1e-12)
    assert ft.grad(ft.grad(loss))(1.3) == pytest.approx(want[1], rel=1e-12)
    assert ft.jit(ft.grad(loss))(1.3) == pytest.approx(want[0], rel=1e-12)


def test_what_is_the_same_in_each_step_is_stored_once() -> None:
    w = np.ones((3, 3))

    def loss(w: Any, h: Any) -> Any:
        return np.sum(lax.scan(lambda h, x: (np.sin(w) @ h * x, None), h, XS)[0])

    forward = body_of(ft.grad(loss, (0, 1)), w, XS, last=False)
    # Of each step the vectors h and sin(w) @ h at most; sin(w) and cos(w) come from outside.
    assert all(v.aval.shape == (3, 3) for v in forward.outvars[1:])
    assert "sin" not in names(forward.params["jaxpr"].jaxpr)


def test_integers_and_unused_results_carry_no_tangents() -> None:
    def loss(x: Any) -> Any:
        def step(c: Any, s: Any) -> Any:
            return (c[0] * s, c[1] + 1, c[2] + 1.0), c[1]

        return lax.scan(step, (x, 0, 0.0), XS)[0][0]

    backward = body_of(ft.grad(loss), 1.0)
    assert backward.params["num_carry"] == 1


def test_the_gradient_of_indexing_touches_one_place_a_step() -> None:
    table = np.linspace(0.0, 1.0, 1000)

    def nested(t: Any) -> Any:
        def inner(i: Any, c: Any) -> Any:
            c = lax.fori_loop(0, 2, lambda j, c: c + t[i + j] * c, c)
            return lax.cond(i > 1, lambda: c * t[i], lambda: c) + t[3] + np.sum(t[1:3])

        return lax.fori_loop(0, 4, inner, 1.0)

    backward = body_of(ft.grad(nested), table)

    def large(jaxpr: Jaxpr) -> list[str]:
        found = []
        for eqn in jaxpr.eqns:
            if any(v.aval.shape == (1000,) for v in eqn.outvars):
                found.append(eqn.primitive.name)
            for value in eqn.params.values():
                for closed in value if isinstance(value, tuple) else (value,):
                    if hasattr(closed, "jaxpr"):
                        found += large(closed.jaxpr)
        return found

    assert set(large(backward.params["jaxpr"].jaxpr)) <= {
        "scan", "cond", "scatter_add", "dynamic_update_slice"
    }  # fmt: skip
    with ft.disable_jit():
        want = ft.grad(nested)(table)
    np.testing.assert_allclose(ft.grad(nested)(table), want, rtol=1e-12)


def test_outer_products_are_summed_after_the_loop() -> None:
    rng = np.random.default_rng(0)
    w, u = rng.normal(size=(20, 20)) / 5, rng.normal(size=(20, 17)) / 5
    xs = rng.normal(size=(6, 4, 17))

    def loss(w: Any, u: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = np.tanh(h @ w.T + x @ u.T + np.sum(w * w) * 0.01)
            return h, h @ w

        h, ys = lax.scan(step, np.zeros((4, 20)), xs, reverse=True)
        return np.sum(h) + np.sum(ys * ys)

    backward = body_of(ft.grad(loss, (0, 1)), w, u, xs)
    inner = backward.params["jaxpr"].jaxpr
    shapes = [v.aval.shape for eqn in inner.eqns for v in eqn.outvars]
    assert (20, 17) not in shapes  # u only multiplies; w has a term that isn't a product
    with ft.disable_jit():
        want = ft.grad(loss, (0, 1, 2))(w, u, xs)
    for fun in (ft.grad(loss, (0, 1, 2)), ft.jit(ft.grad(loss, (0, 1, 2)))):
        for g, v in zip(fun(w, u, xs), want):
            np.testing.assert_allclose(g, v, rtol=1e-9, atol=1e-12)


def test_only_the_branch_that_is_taken_runs() -> None:
    def loss(x: Any) -> Any:
        return ft.jit(lambda p, x: lax.cond(p, lambda: np.sqrt(x), lambda: 0.0 * x))(x > 0, x)

    assert ft.grad(loss)(0.0) == 0.0
    np.testing.assert_array_equal(ft.vmap(ft.grad(loss))(np.array([0.0, 4.0])), [0.0, 0.25])


@pytest.mark.parametrize("how", ["sqrt", "binomial", 1, 4, 50])
@pytest.mark.parametrize("reverse", [False, True])
def test_checkpointed_scans(how: Any, reverse: bool) -> None:
    xs = np.sin(np.arange(23.0))

    def loss(a: Any, xs: Any, how: Any = None) -> Any:
        c, ys = lax.scan(
            lambda c, x: (np.tanh(a * c + x), c * a), 0.5, xs, reverse=reverse, checkpoint=how
        )
        return c + np.sum(ys * np.arange(23.0))

    want = ft.grad(loss, (0, 1))(0.9, xs)
    for fun in (ft.grad(loss, (0, 1)), ft.jit(ft.grad(loss, (0, 1)), static_argnums=2)):
        got = fun(0.9, xs, how)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-12)
    assert loss(0.9, xs, how) == pytest.approx(loss(0.9, xs), rel=1e-14)


def test_a_checkpointed_scan_keeps_the_carry_only() -> None:
    def loss(x: Any, how: Any) -> Any:
        return np.sum(
            lax.scan(lambda c, _: (np.sin(np.cos(c)), None), x, length=100, checkpoint=how)[0]
        )

    def stacked(how: Any) -> int:
        forward = body_of(lambda x: ft.grad(loss)(x, how), XS, last=False)
        return max(v.aval.shape[0] for v in forward.outvars[1:])

    assert (stacked(None), stacked("sqrt"), stacked(5)) == (100, 10, 5)


# --- while in reverse --------------------------------------------------------------------------


@pytest.mark.parametrize("places", [2, 4, 8])
def test_while_replays_what_it_did_not_keep(places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(while_reverse, "FEWEST", places)
    monkeypatch.setattr(while_reverse, "MOST", places)
    scale = 1.0 + places / 100  # programs are kept by what they compute

    def loss(a: Any, b: Any, steps: Any) -> Any:
        def step(c: Any) -> Any:
            i, x = c
            return i + 1, np.sin(a * x) * scale + b[i % 3]

        return np.sum(lax.while_loop(lambda c: c[0] < steps, step, (0, b * a))[1])

    with config.override(backend="python"):
        for steps in (0, 1, 3, 4, 5, 8, 9, 31, 70, 129):
            with ft.disable_jit():
                want = ft.grad(loss, (0, 1))(0.7, XS, steps)
            got = ft.grad(loss, (0, 1))(0.7, XS, steps)
            np.testing.assert_allclose(got[0], want[0], rtol=1e-10, err_msg=str(steps))
            np.testing.assert_allclose(got[1], want[1], rtol=1e-10, err_msg=str(steps))


def test_vmap_of_a_while_loop_runs_each_lane_as_long_as_it_needs() -> None:
    def count(n: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] + 1), (0, 0))

    def power(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]

    counts = ft.vmap(count)
    np.testing.assert_array_equal(counts(np.array([5, 0, 3]))[1], [5, 0, 3])
    closed = ft.make_jaxpr(counts)(np.array([5, 0, 3]))
    assert names(closed.jaxpr) == ["scan"]
    shared = ft.make_jaxpr(ft.vmap(power))(XS)
    assert names(shared.jaxpr) == ["while"]  # one count for all lanes: they go together


def test_transposes_of_loops() -> None:
    def linear(t: Any) -> Any:
        t = lax.fori_loop(0, 3, lambda i, c: c * (i + 1.0) + t, t)
        return lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, 2.0 * c[1]), (0, t))[1]

    (pulled,) = ft.linear_transpose(linear, 1.0)(1.0)
    assert pulled == pytest.approx(linear(1.0))
    with pytest.raises(MissingRuleError, match="condition depends"):
        ft.linear_transpose(lambda t: lax.while_loop(lambda c: c < 4.0, lambda c: 2.0 * c, t), 1.0)(
            1.0
        )


# --- the rest ----------------------------------------------------------------------------------


def test_branches_and_operands_by_name() -> None:
    assert lax.cond(False, lambda x: x, lambda x: -x, operand=2.0) == -2.0
    assert lax.switch(1, [lambda x: x, lambda x: -x], operand=2.0) == -2.0
    assert ft.jit(lambda i: lax.switch(i, [lambda: 5.0]))(3) == 5.0
    index = ft.jit(lambda i: lax.switch(i, [lambda: 0, lambda: 1, lambda: 2]))
    assert [int(index(np.int8(i))) for i in (-7, 0, 1, 2, 100)] == [0, 0, 1, 2, 2]


def test_unused_results_are_shed() -> None:
    def first(xs: Any) -> Any:
        return lax.scan(lambda c, x: ((c[0] + x, np.sin(c[1]) + c[0]), c[1] * x), (0.0, 0.0), xs)[
            0
        ][0]

    from functrace.interpreters.dce import dce_jaxpr

    light, _ = dce_jaxpr(ft.make_jaxpr(first)(XS), (True,))
    (scan,) = light.eqns
    assert scan.params["num_carry"] == 1 and len(scan.outvars) == 1
    assert names(scan.params["jaxpr"].jaxpr) == ["add"]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8])
def test_associative_scan(n: int) -> None:
    xs = np.linspace(0.5, 1.5, n * 2).reshape(n, 2)
    np.testing.assert_allclose(lax.associative_scan(np.add, xs), np.cumsum(xs, 0))
    got = lax.associative_scan(np.multiply, xs, reverse=True)
    np.testing.assert_allclose(got, np.cumprod(xs[::-1], 0)[::-1])
    np.testing.assert_allclose(lax.associative_scan(np.add, xs.T, axis=-1), np.cumsum(xs.T, 1))
    jitted = ft.jit(lambda xs: lax.associative_scan(np.add, xs))
    np.testing.assert_allclose(jitted(xs), np.cumsum(xs, 0))


def test_map_takes_slices_in_batches() -> None:
    xs = np.arange(7.0)
    for batch_size in (None, 1, 3, 7, 10):
        got = lax.map(lambda x: {"a": x * x, "b": fnp.stack([x, x])}, xs, batch_size=batch_size)
        np.testing.assert_array_equal(got["a"], xs * xs)
        np.testing.assert_array_equal(got["b"], np.stack([xs, xs], 1))


def test_reduce_of_pairs() -> None:
    xs = np.array([[3.0, 1.0], [2.0, 5.0]])
    index = np.broadcast_to(np.arange(2), (2, 2))

    def smaller(a: Any, b: Any) -> Any:
        take = b[0] < a[0]
        return fnp.where(take, b[0], a[0]), fnp.where(take, b[1], a[1])

    least, where = lax.reduce((xs, index), (np.inf, -1), smaller, (1,))
    np.testing.assert_array_equal(least, [1.0, 2.0])
    np.testing.assert_array_equal(where, [1, 0])
