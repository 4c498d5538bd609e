"""Simplification keeps values bit by bit; every rewrite of the table fires and is held to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from functrace.compiler.rewriting.rewrites import REWRITES
from functrace.compiler.rewriting.simplify import simplify
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, check_jaxpr, eval_jaxpr
from functrace.core.trace import PRIMITIVES
from functrace.interpreters.staging import stage
from functrace.ops.arithmetic import add, div, mul, neg, sub
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.contraction import dot_general
from functrace.ops.creation import convert_element_type, full
from functrace.ops.dynamic import dynamic_slice, dynamic_update_slice
from functrace.ops.structural import reshape_p, transpose_p

F64, F32, I32 = np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.int32)
SPECIAL = [0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 5e-324, 1e308, 3.0, 0.1, -7.25]

Program = Callable[..., Any]


def sum_of_wide(x: Any) -> Any:
    return reduce_sum(broadcast_in_dim(x, (8, 12), (1,)), (0,))


def window(x: Any) -> Any:
    return dynamic_slice(x, (np.int64(3),), (4,))


def into_window(x: Any, update: Any) -> Any:
    return dynamic_update_slice(x, update, (np.int64(3),))


def cut(x: Any) -> Any:
    return into_window(x, full((4,), 0.0, x.dtype))


def padded(x: Any, value: float) -> Any:
    return PRIMITIVES["pad"].bind(x, full((), value, x.dtype), padding_config=((3, 5, 0),))


def put_back(x: Any) -> Any:
    return padded(window(x), -0.0)


# For each rewrite: programs of two arrays of 12 elements of the dtypes named.
CASES: dict[str, list[tuple[Program, str]]] = {
    "window_sum": [
        (lambda x, y: into_window(x, add(window(y), window(x))), "dfi"),
        (lambda x, y: into_window(x, sub(window(x), window(y))), "dfi"),
    ],
    "sum_of_pads": [(lambda x, y: add(padded(x, 0.0), padded(y, 0.0)), "dfi")],
    "slice_at_known_place": [(lambda x, y: window(x), "dfi")],
    "window_back": [(lambda x, y: add(cut(x), put_back(x)), "df")],
    "add_zero": [
        (lambda x, y: add(x, np.float64(-0.0)), "d"),
        (lambda x, y: add(np.int32(0), x), "i"),
        (lambda x, y: add(full((12,), 0, I32), x), "i"),
    ],
    "add_neg": [
        (lambda x, y: add(x, neg(y)), "dfi"),
        (lambda x, y: add(neg(x), y), "dfi"),
        (lambda x, y: add(x, mul(neg(y), x)), "dfi"),
        (lambda x, y: add(mul(x, neg(y)), y), "dfi"),
    ],
    "sub_zero": [
        (lambda x, y: sub(x, np.float64(0.0)), "d"),
        (lambda x, y: sub(x, np.int32(0)), "i"),
    ],
    "sub_neg": [
        (lambda x, y: sub(x, neg(y)), "dfi"),
        (lambda x, y: sub(x, mul(neg(x), y)), "dfi"),
    ],
    "neg_neg": [(lambda x, y: neg(neg(x)), "dfi")],
    "mul_one": [
        (lambda x, y: mul(x, np.float64(1)), "d"),
        (lambda x, y: mul(full((12,), 1, I32), x), "i"),
    ],
    "mul_minus_one": [
        (lambda x, y: mul(x, np.float64(-1)), "d"),
        (lambda x, y: mul(np.int32(-1), x), "i"),
    ],
    "mul_neg_neg": [(lambda x, y: mul(neg(x), neg(y)), "dfi")],
    "div_neg_neg": [(lambda x, y: div(neg(x), neg(y)), "df")],
    "div_one": [(lambda x, y: div(x, np.float32(1)), "f")],
    "div_power_of_two": [
        (lambda x, y: div(x, np.float64(8)), "d"),
        (lambda x, y: div(x, np.float64(-0.25)), "d"),
    ],
    "convert_same": [(lambda x, y: _convert(x, x.dtype), "dfi")],
    "convert_back": [(lambda x, y: _convert(_convert(x, F64), F32), "f")],
    "identity": [
        (lambda x, y: bind("copy", x), "dfi"),
        (lambda x, y: bind("stop_gradient", x), "dfi"),
    ],
    "select_same": [(lambda x, y: bind("select_n", bind("gt", x, y), y, y), "dfi")],
    "not_not": [(lambda x, y: bind("not", bind("not", x)), "i")],
    "abs_neg": [(lambda x, y: bind("abs", neg(x)), "dfi")],
    "real_of_pair": [(lambda x, y: bind("real", bind("complex", x, y)), "df")],
    "imag_of_pair": [(lambda x, y: bind("imag", bind("complex", x, y)), "df")],
    "conj_conj": [
        (lambda x, y: bind("imag", bind("conj", bind("conj", bind("complex", x, y)))), "df")
    ],
    "rev_twice": [(lambda x, y: rev_of(rev_of(x)), "d")],
    "reshape_twice": [
        (lambda x, y: reshape_p.bind(reshape_p.bind(x, new_sizes=(3, 4)), new_sizes=(2, 6)), "d")
    ],
    "full_is_broadcast": [(lambda x, y: full((3, 4), 2.5, F64), "d")],
    "broadcast_same": [(lambda x, y: broadcast_in_dim(x, (12,), (0,)), "d")],
    "broadcast_twice": [
        (lambda x, y: broadcast_in_dim(broadcast_in_dim(x, (2, 12), (1,)), (2, 3, 12), (0, 2)), "d")
    ],
    "transpose_same": [(lambda x, y: transpose_p.bind(x, permutation=(0,)), "d")],
    "transpose_twice": [
        (
            lambda x, y: transpose_p.bind(
                transpose_p.bind(broadcast_in_dim(x, (2, 3, 12), (2,)), permutation=(2, 0, 1)),
                permutation=(1, 0, 2),
            ),
            "d",
        )
    ],
    "reshape_same": [(lambda x, y: reshape_p.bind(x, new_sizes=(12,)), "d")],
    "transpose_of_product": [
        (lambda x, y: transpose_p.bind(product(x, y), permutation=(1, 0)), "di"),
    ],
    "product_of_scalars": [
        (lambda x, y: dot_general(x, y, (((), ()), ((), ()))), "dfi"),
        (lambda x, y: column_by_row(x, y), "dfi"),
    ],
    "sum_of_repeats": [(lambda x, y: sum_of_wide(x), "i")],
}


def bind(name: str, *xs: Any) -> Any:
    return PRIMITIVES[name].bind(*xs)


def rev_of(x: Any) -> Any:
    return PRIMITIVES["rev"].bind(x, dimensions=(0,))


def product(x: Any, y: Any) -> Any:
    """A product whose sums round nothing: the operands' elements are small integers."""
    small = [reshape_p.bind(convert_element_type(a, np.int32), new_sizes=(3, 4)) for a in (x, y)]
    return dot_general(small[0], small[1], (((1,), (1,)), ((), ())))


def column_by_row(x: Any, y: Any) -> Any:
    """A product that sums one term each."""
    left, right = (reshape_p.bind(a, new_sizes=n) for a, n in ((x, (12, 1)), (y, (1, 12))))
    return dot_general(left, right, (((1,), (0,)), ((), ())))


def _convert(x: Any, dtype: Any) -> Any:
    from functrace.ops.creation import convert_element_type_p

    return convert_element_type_p.bind(x, new_dtype=np.dtype(dtype))


def operands(dtype: np.dtype[Any]) -> list[np.ndarray[Any, Any]]:
    if dtype.kind == "i":
        info = np.iinfo(dtype)
        x = np.array([0, 1, -1, info.min, info.max, 7, -7, 2, 3, 4, 5, 6], dtype)
        return [x, x[::-1].copy()]
    with np.errstate(all="ignore"):
        x = np.array(SPECIAL).astype(dtype)
    return [x, np.roll(x, 5)]


def trace(fun: Program, args: Sequence[np.ndarray[Any, Any]]) -> ClosedJaxpr:
    avals = [ShapedArray(a.shape, a.dtype) for a in args]
    return stage(lambda *xs: [fun(*xs)], avals, "case")


def values(closed: ClosedJaxpr, args: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    with np.errstate(all="ignore"):
        return [np.asarray(v) for v in eval_jaxpr(closed.jaxpr, closed.consts, *args)]


def equal_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    nan = np.isnan(a) & np.isnan(b) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
    same = a.view(f"u{a.itemsize}") == b.view(f"u{b.itemsize}")
    return a.dtype == b.dtype and bool(np.all(same | nan))


@pytest.mark.parametrize("rule", [r for rules in REWRITES.values() for r in rules])
def test_every_rewrite_fires_and_keeps_bits(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = rule.__name__
    assert name in CASES, f"the rewrite {name} has no case in this test"
    fired = []

    def watched(r: Any, invars: Any, params: Any) -> Any:
        out = rule(r, invars, params)
        fired.append(out is not None)
        return out

    table = {p: [watched if x is rule else x for x in xs] for p, xs in REWRITES.items()}
    monkeypatch.setattr("functrace.compiler.rewriting.simplify.REWRITES", table)
    for fun, kinds in CASES[name]:
        for kind in kinds:
            args = operands(np.dtype(kind))
            closed = trace(fun, args)
            fired.clear()
            simple = simplify(closed)
            check_jaxpr(simple.jaxpr)
            assert any(fired), f"{name} doesn't fire on\n{closed}"
            for want, got in zip(values(closed, args), values(simple, args)):
                assert equal_bits(np.ascontiguousarray(want), np.ascontiguousarray(got)), simple


def test_dead_code_goes() -> None:
    x = np.arange(3.0)
    closed = trace(lambda x: (mul(x, x), add(x, 1.0))[1], [x])
    assert [e.primitive.name for e in simplify(closed).eqns] == ["add"]


def test_equal_equations_merge() -> None:
    x = np.arange(3.0)
    closed = trace(lambda x: add(mul(x, x), mul(x, x)), [x])
    assert [e.primitive.name for e in simplify(closed).eqns] == ["mul", "add"]


def test_literals_that_differ_in_sign_of_zero_stay_apart() -> None:
    x = np.arange(3.0)
    closed = trace(lambda x: div(mul(x, 0.0), mul(x, np.float64(-0.0))), [x])
    assert [e.primitive.name for e in simplify(closed).eqns] == ["mul", "mul", "div"]


def test_scalar_constants_fold() -> None:
    closed = trace(lambda x: mul(x, add(mul_p(2.0), 3.0)), [np.arange(3.0)])
    (eqn,) = simplify(closed).eqns
    assert float(eqn.invars[1].val) == 7.0


def mul_p(x: float) -> Any:
    return mul(full((), x, F64), 2.0)


def test_repeated_scalars_become_scalars() -> None:
    x = np.arange(6.0).reshape(2, 3)

    def fun(x: Any, s: Any) -> Any:
        wide = broadcast_in_dim(s, (2, 3), ())
        return mul(x, add(wide, full((2, 3), 1.0, F64)))

    simple = simplify(trace(fun, [x, np.float64(2.0)]))
    assert [e.primitive.name for e in simple.eqns] == ["add", "mul"]
    assert simple.eqns[0].outvars[0].aval.shape == ()


def test_a_failing_fold_is_left_for_run_time() -> None:
    closed = trace(lambda x: convert_element_type(full((), 2.0, F64), I32), [np.arange(3.0)])
    assert simplify(closed).eqns == []
