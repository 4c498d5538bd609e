"""Python called from traced and compiled code: callbacks, prints, checks, progress, interrupts."""

from __future__ import annotations

import bdb
import io
import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import functrace as ft
from functrace import lax
from functrace.errors import CheckError, DTypeError, MissingRuleError, ShapeError, StructureError

X = np.array([1.0, 2.0, 3.0])
SCALAR = ft.ShapeDtypeStruct((), np.float64)


def forms(f: Any) -> list[Any]:
    return [f, ft.jit(f)]


# --- pure_callback -----------------------------------------------------------------------------


def test_pure_callback_of_trees() -> None:
    def host(p: Any, n: Any, *, kind: str) -> Any:
        assert isinstance(n, np.integer)
        return {"sum": p["a"] + p["b"], "text": np.float32(len(kind) * n)}

    spec = {"sum": X, "text": ft.ShapeDtypeStruct((), np.float32)}

    def f(x: Any) -> Any:
        return ft.pure_callback(host, spec, {"a": x, "b": 2.0 * x}, 3, kind="four")

    for form in forms(f):
        out = form(X)
        np.testing.assert_array_equal(out["sum"], 3.0 * X)
        assert out["text"] == 12.0
        assert out["text"].dtype == np.float32


@pytest.mark.parametrize("method", ["sequential", "expand_dims", "broadcast_all"])
def test_vmap_methods(method: str) -> None:
    shapes: list[Any] = []

    def host(a: Any, b: Any) -> Any:
        shapes.append((np.shape(a), np.shape(b)))
        return a + b

    def f(a: Any, b: Any) -> Any:
        return ft.pure_callback(host, SCALAR, a, b, vmap_method=method)

    mapped = ft.vmap(f, in_axes=(0, None))
    table = ft.vmap(ft.vmap(f, in_axes=(None, 0)), in_axes=(0, None))
    wanted = {
        "sequential": [((), ())] * 3,
        "expand_dims": [((3,), (1,))],
        "broadcast_all": [((3,), (3,))],
    }
    for form in (mapped, ft.jit(mapped)):
        shapes.clear()
        np.testing.assert_array_equal(form(X, 1.0), X + 1.0)
        assert shapes == wanted[method]
    for form in (table, ft.jit(table)):
        np.testing.assert_array_equal(form(X, X[:2]), X[:, None] + X[:2])


def test_pure_callback_says_what_is_wrong() -> None:
    def double(x: Any) -> Any:
        return 2.0 * x

    def f(x: Any) -> Any:
        return ft.pure_callback(double, SCALAR, x)

    with pytest.raises(MissingRuleError, match=r"double.*vmap"):
        ft.vmap(f)(X)
    for form in forms(f):
        with pytest.raises(MissingRuleError, match=r"(?s)double.*custom_jvp"):
            ft.grad(form)(1.0)
        with pytest.raises(ShapeError, match=r"double.*shape \(3,\)"):
            form(X)
    with pytest.raises(DTypeError, match="complex128"):
        ft.pure_callback(lambda: 1j, SCALAR)
    with pytest.raises(StructureError, match="has the structure"):
        ft.pure_callback(lambda: (1.0, 2.0), SCALAR)
    with pytest.raises(TypeError, match="result_shape_dtypes"):
        ft.pure_callback(lambda: 1.0, "f8")
    with pytest.raises(ValueError, match="vmap_method"):
        ft.pure_callback(lambda: 1.0, SCALAR, vmap_method="loop")


def test_pure_callback_with_a_rule() -> None:
    @ft.custom_jvp
    def f(x: Any) -> Any:
        return ft.pure_callback(np.sin, x, x, vmap_method="expand_dims")

    f.defjvp(lambda p, t: (f(*p), np.cos(p[0]) * t[0]))
    for form in forms(lambda x: np.sum(f(x))):
        np.testing.assert_allclose(ft.grad(form)(X), np.cos(X))
        np.testing.assert_allclose(ft.jit(ft.grad(form))(X), np.cos(X))


def test_pure_callbacks_nobody_needs_are_dropped() -> None:
    calls: list[Any] = []

    @ft.jit
    def f(x: Any) -> Any:
        ft.pure_callback(lambda v: calls.append(v) or v, x, x)
        return x

    f(1.0)
    assert calls == []


def test_errors_of_callbacks_reach_the_caller_as_themselves() -> None:
    class MineError(Exception):
        pass

    def fail(x: Any) -> Any:
        raise MineError("text")

    def in_loop(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, c: ft.pure_callback(fail, SCALAR, c), x)

    for f in (lambda x: 1.0 + ft.pure_callback(fail, SCALAR, x), in_loop):
        for form in forms(f):
            with pytest.raises(MineError, match=r"^text$"):
                form(1.0)


def test_callbacks_may_call_jitted_code_from_many_threads() -> None:
    inner = ft.jit(lambda x: np.sum(x) * 3.0)
    outer = ft.jit(lambda x: 1.0 + ft.pure_callback(inner, SCALAR, x))
    assert outer(X) == 19.0
    results: list[Any] = []

    def work(k: int) -> None:
        results.extend(outer(X * k) == 1.0 + 18.0 * k for _ in range(20))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [True] * 120
    again = ft.jit(lambda x: ft.pure_callback(lambda v: outer(v * np.ones(3)), SCALAR, x))
    assert again(2.0) == 19.0


# --- io_callback -------------------------------------------------------------------------------


def test_io_callbacks_happen_once_and_in_order() -> None:
    seen: list[Any] = []

    def note(tag: str, x: Any) -> Any:
        seen.append((tag, float(x)))
        return x + 1.0

    def f(x: Any) -> Any:
        a = ft.io_callback(note, SCALAR, "first", x, ordered=True)
        ft.io_callback(lambda v: seen.append(("unused", float(v))), None, x)
        ft.io_callback(note, SCALAR, "second", a, ordered=True)
        return x

    for form in forms(f):
        seen.clear()
        form(1.0)
        assert seen == [("first", 1.0), ("unused", 1.0), ("second", 2.0)]
    with pytest.raises(MissingRuleError, match="differentiated"):
        ft.grad(lambda x: ft.io_callback(note, SCALAR, "t", x))(1.0)
    seen.clear()
    ft.jit(ft.vmap(f))(X[:2])
    assert [t for t, _ in seen] == ["first"] * 2 + ["unused"] * 2 + ["second"] * 2


def test_effects_in_loops_and_branches_keep_their_order() -> None:
    seen: list[Any] = []

    def note(*values: Any) -> None:
        seen.append(tuple(v.item() for v in values))

    def f(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            ft.debug.callback(note, i, c)
            lax.cond(i == 1, lambda: ft.debug.callback(note, 10 * i), lambda: None)
            return c + 1.0

        out = lax.fori_loop(0, 3, body, x)
        ft.debug.callback(note, out)
        return 1.0

    wanted = [(0, 5.0), (1, 6.0), (10,), (2, 7.0), (8.0,)]
    for form in (*forms(f), ft.grad(lambda x: f(x) * x), ft.jit(ft.grad(lambda x: f(x) * x))):
        seen.clear()
        form(5.0)
        assert seen == wanted


# --- debug.print, debug.callback, debug.breakpoint ---------------------------------------------


def test_debug_print(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        ft.debug.print("{} {x:.2f} {name} {n}", x * 2.0, x=x, name="text", n=3, ordered=True)
        return x * x

    for form in forms(f):
        form(1.5)
        ft.grad(form)(1.5)
        ft.jvp(form, (1.5,), (1.0,))
        assert capsys.readouterr().out == "3.0 1.50 text 3\n" * 3
        ft.vmap(ft.grad(form))(X[:2])
        assert capsys.readouterr().out == "2.0 1.00 text 3\n4.0 2.00 text 3\n"
    ft.debug.print("plain")
    assert capsys.readouterr().out == "plain\n"
    with pytest.raises(ValueError, match="no field for y"):
        ft.debug.print("{x}", x=1, y=2)
    with pytest.raises(KeyError):
        ft.debug.print("{x} {y}", x=1)
    with pytest.raises(TypeError, match="format string"):
        ft.debug.print(X)


def test_arrays_given_to_callbacks_may_be_kept() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, c: (ft.debug.callback(seen.append, c), c + 1.0)[1], x)

    ft.jit(f)(np.zeros(500))
    assert [v[0] for v in seen] == [0.0, 1.0, 2.0]


def test_breakpoint() -> None:
    out = io.StringIO()

    def f(x: Any, label: str = "plain") -> Any:
        local = {"double": x * 2.0}
        ft.debug.breakpoint(stdin=io.StringIO("p local\np label, X[0]\nc\n"), stdout=out)
        return local["double"]

    tracing = sys.gettrace()
    assert ft.jit(f)(3.0) == 6.0
    assert sys.gettrace() is tracing
    text = out.getvalue()
    assert "{'double': np.float64(6.0)}" in text
    assert "('plain', np.float64(1.0))" in text
    assert "test_callbacks.py" in text

    def quits(x: Any) -> Any:
        ft.debug.breakpoint(stdin=io.StringIO("q\n"), stdout=io.StringIO())
        return x

    with pytest.raises(bdb.BdbQuit):
        ft.jit(quits)(1.0)


# --- checks ------------------------------------------------------------------------------------


def root(x: Any) -> Any:
    ft.debug.check(x >= 0.0, "no root of {x} ({}, {kind})", 3, x=x, kind="real")
    return np.sqrt(x)


@pytest.mark.parametrize("n", [1, 3, 70, 5000])
def test_check_shows_the_first_wrong_element(n: int) -> None:
    good = np.linspace(1.0, 2.0, n)
    bad = good.copy()
    bad[n // 2 :] = -np.arange(1.0, n - n // 2 + 1)
    total = lambda x: np.sum(root(x))  # noqa: E731
    for f in (*forms(root), ft.vmap(root), ft.grad(total), ft.jit(ft.grad(total))):
        f(good)
        with pytest.raises(CheckError, match=r"^no root of -1\.0 \(3, real\)\n") as caught:
            f(bad)
        assert "test_callbacks.py" in caught.value.__notes__[0]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint64", "bool"])
def test_check_shows_values_of_every_dtype(dtype: str) -> None:
    value = np.dtype(dtype).type(1)
    text = str(value)

    def f(x: Any) -> Any:
        ft.debug.check(x != x, "{x}", x=x)
        return 2.0

    for form in forms(f):
        with pytest.raises(CheckError, match=rf"^{text}\n"):
            form(value)


def test_checks_whose_values_no_kernel_can_tell() -> None:
    def f(x: Any, y: Any) -> Any:
        ft.debug.check(np.all(x > 0.0), "{x} {y}", x=x, y=y)
        return x

    for form in forms(f):
        form(X, 1j)
        with pytest.raises(CheckError, match=r"^\[-1\. -2\. -3\.\] 1j\n"):
            form(-X, 1j)


def test_checks_in_loops_and_branches() -> None:
    def scanned(x: Any) -> Any:
        def body(c: Any, v: Any) -> Any:
            ft.debug.check(c < 3.0, "c={c} v={v}", c=c, v=v)
            return c + v, c

        return lax.scan(body, x, np.arange(5.0))[0]

    for f in (*forms(scanned), ft.grad(scanned), ft.jit(ft.grad(scanned))):
        f(-20.0)
        with pytest.raises(CheckError, match=r"^c=3\.0 v=3\.0\n"):
            f(0.0)

    def chosen(x: Any) -> Any:
        def no(x: Any) -> Any:
            ft.debug.check(x > 1, "{x} is too small", x=x)
            return x

        return lax.cond(x > 5, lambda x: x, no, x)

    for f in forms(chosen):
        assert f(2) == 2
        with pytest.raises(CheckError, match="1 is too small"):
            f(1)


def test_check_refuses_what_is_no_condition() -> None:
    with pytest.raises(DTypeError, match="condition of dtype float64"):
        ft.debug.check(X, "text")
    with pytest.raises(ValueError, match="no field"):
        ft.debug.check(True, "text", x=1)


def test_checked_functions() -> None:
    log = ft.debug.checked(lambda x: np.sum(np.log(x)) * 2.0)
    assert log(np.ones(3)) == 0.0
    for f in (log, ft.jit(log), ft.debug.checked(ft.jit(lambda x: np.log(x)))):
        with pytest.raises(FloatingPointError, match="produced by log") as caught:
            f(-X)
        assert "test_callbacks.py" in caught.value.__notes__[0]
    for op in (lambda a, b: a // b, lambda a, b: a % b, lambda a, b: a / b):
        with pytest.raises(ZeroDivisionError, match="division by zero in"):
            ft.debug.checked(op)(np.arange(3), np.arange(3))

    def loop(x: Any) -> Any:
        return lax.while_loop(lambda c: c < 10.0, lambda c: np.sqrt(c - 1.0) + 1.0, x)

    with pytest.raises(FloatingPointError, match="produced by sqrt"):
        ft.debug.checked(loop)(0.0)
    assert np.isnan(ft.debug.checked(np.log, nan=False)(-1.0))


def test_debug_nans() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.log(x) * 2.0)

    def loop(x: Any) -> Any:
        return lax.scan(lambda c, v: (np.sqrt(c) - v, c), x, np.arange(4.0))[0]

    jitted = ft.jit(f)
    assert np.isnan(jitted(-X))
    out = np.empty(())
    with ft.config.override(debug_nans=True):
        assert jitted(np.ones(3)) == 0.0
        for g, x, name in (
            (jitted, -X, "log"),
            (lambda x: jitted(x, out=out), -X, "log"),
            (ft.grad(f), -X, "log"),
            (ft.jit(loop), 2.0, "sqrt"),
            (loop, 2.0, "sqrt"),
        ):
            with pytest.raises(FloatingPointError, match=f"produced by {name}") as caught:
                g(x)
            assert "test_callbacks.py" in caught.value.__notes__[0]
        ft.config.update("jax_debug_nans", False)
        assert np.isnan(jitted(-X))
    assert np.isnan(jitted(-X))


# --- progress and interrupts -------------------------------------------------------------------


@pytest.mark.parametrize("tqdm", [True, False])
def test_progress(tqdm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    shown = io.StringIO()
    scan = ft.debug.progress(lax.scan, every=2, desc="steps", stream=shown)

    def f(x: Any) -> Any:
        return scan(lambda c, v: (c + v, c * v), x, np.arange(7.0))

    plain = lax.scan(lambda c, v: (c + v, c * v), 1.0, np.arange(7.0))
    for form in (*forms(f), ft.jit(f)):
        shown.truncate(0)
        carry, ys = form(1.0)
        assert carry == plain[0]
        np.testing.assert_array_equal(ys, plain[1])
        assert "7/7" in shown.getvalue()
        assert "steps" in shown.getvalue()
    assert ft.grad(lambda x: f(x)[0])(1.0) == 1.0
    fori = ft.debug.progress(lax.fori_loop, stream=shown)
    assert ft.jit(lambda n: fori(2, n, lambda i, c: c + i, 0))(30) == sum(range(2, 30))
    assert "28/28" in shown.getvalue()
    with pytest.raises(TypeError, match=r"lax\.scan or lax\.fori_loop"):
        ft.debug.progress(lax.cond)
    with pytest.raises(ValueError, match="positive"):
        ft.debug.progress(lax.scan, every=0)


def scalar_loop(x: Any) -> Any:
    return lax.while_loop(lambda c: c < 1e18, lambda c: c + 1e-3 * np.sin(c), x)


def array_loop(x: Any) -> Any:
    start = x + np.zeros(20_000)
    return lax.while_loop(lambda c: c[0] < 1e18, lambda c: c + 1e-3 * np.sin(c), start)


def counted_loop(x: Any) -> Any:
    return lax.fori_loop(0, 10**12, lambda i, c: c + np.sin(c), x)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("loop", [scalar_loop, array_loop, counted_loop])
def test_ctrl_c_stops_a_compiled_loop(loop: Any) -> None:
    program = ft.jit(loop)
    program.lower(1.0).compile()
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        program(1.0)
    assert time.perf_counter() - sent[0] < 0.5  # 0.1 when nothing else runs
    timer.join()
