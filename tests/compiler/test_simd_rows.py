"""Short rows, a few columns side by side, pairs of points: where SIMD code needs help."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import arrays_of, check, trace

from functrace.compiler.pipeline import compile_jaxpr
from functrace.compiler.planning.fusion import fuse
from functrace.compiler.planning.recompute import recompute_cheap
from functrace.config import config
from functrace.ops.arithmetic import add, div, mul, neg, sub
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.convolution import conv_p
from functrace.ops.creation import convert_element_type
from functrace.ops.exponentials import exp, log
from functrace.ops.powers import sqrt
from functrace.ops.reductions import reduce_max
from functrace.ops.structural import transpose

RNG = np.random.default_rng(0)


def normal(*shape: int, dtype: Any = np.float64) -> Any:
    return RNG.normal(size=shape).astype(dtype)


def along(v: Any, x: Any) -> Any:
    """A value per row, for each element of the row."""
    return broadcast_in_dim(v, x.shape, tuple(range(len(x.shape) - 1)))


def softmax(x: Any) -> list[Any]:
    last = len(x.shape) - 1
    e = exp(sub(x, along(reduce_max(x, (last,)), x)))
    total = reduce_sum(e, (last,))
    return [div(e, along(total, x)), log(total)]


@pytest.mark.parametrize("backend", ["llvm", "python"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [5, 7, 8, 9, 15, 16, 17, 31, 64, 65, 100, 511, 513])
def test_rows_of_every_length(n: int, dtype: str, backend: str) -> None:
    rows = 150 if backend == "llvm" else 70
    check(softmax, normal(rows, n, dtype=dtype), backend=backend, rtol=1e-5)
    if n < 20:
        check(softmax, normal(3, rows, n, dtype=dtype), backend=backend, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "bool", "float16", "complex64"])
@pytest.mark.parametrize("n", [6, 11, 40, 70])
def test_short_rows_of_every_kind(n: int, dtype: str) -> None:
    x = (RNG.normal(size=(90, n)) * 50).astype(dtype)

    def fun(x: Any) -> list[Any]:
        wide = along(reduce_max(x, (1,)), x)
        return [convert_element_type(x, np.float32) if dtype == "bool" else add(x, wide), wide]

    check(fun, x, rtol=1e-2 if dtype == "float16" else 1e-5)


@pytest.mark.parametrize("n", [5, 10, 60])
def test_heavy_maps_of_short_rows(n: int) -> None:
    x, v, w = normal(300, n), normal(300), normal(n)
    check(
        lambda x, v, w: [exp(mul(sub(x, along(v, x)), broadcast_in_dim(w, x.shape, (1,))))], x, v, w
    )
    check(lambda x, v: [exp(sub(transpose(x, (1, 0)), broadcast_in_dim(v, (n, 300), (1,))))], x, v)


def test_the_last_vector_is_partly_idle() -> None:
    f = compile_jaxpr(trace(lambda x: [exp(x)], normal(1003)))
    for fill in (0.0, np.nan):
        x = np.full(1003, fill)
        (out,) = f(x)
        np.testing.assert_array_equal(out, np.exp(x))


@pytest.mark.parametrize("backend", ["llvm", "python"])
@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("axes", [(0,), (1,)])
def test_a_few_columns_are_folded_side_by_side(axes: tuple[int], k: int, backend: str) -> None:
    """One fold of three columns for each point, along memory and across it."""
    n, m = (77, 90) if backend == "llvm" else (20, 33)
    x, w, v = normal(n, k), normal(m, k), normal(n, m)

    def fun(x: Any, w: Any, v: Any) -> list[Any]:
        shape = (n, m, k)
        pairs = sub(broadcast_in_dim(x, shape, (0, 2)), broadcast_in_dim(w, shape, (1, 2)))
        weighted = mul(pairs, broadcast_in_dim(v, shape, (0, 1)))
        return [neg(reduce_sum(weighted, axes)), reduce_max(weighted, axes)]

    compiled = check(fun, x, w, v, backend=backend)
    assert any(s.bundle for s in compiled.compilation.schedules.values())


def pairs(x: Any, y: Any) -> list[Any]:
    """Sums over either point of pairs, of what is cheap to compute from less memory."""
    shape = (x.shape[0], x.shape[0], 3)
    d = sub(broadcast_in_dim(x, shape, (0, 2)), broadcast_in_dim(x, shape, (1, 2)))
    r = sqrt(add(reduce_sum(mul(d, d), (2,)), 1.0))
    force = mul(add(d, d), broadcast_in_dim(mul(r, y), shape, (0, 1)))
    return [reduce_sum(force, (0,)), reduce_sum(force, (1,))]


def test_pairs_arent_kept_in_memory() -> None:
    args = normal(300, 3), normal(300, 300)
    program = arrays_of(pairs, *args)
    groups = recompute_cheap(program, fuse(program))
    assert max(a.size for g in groups for a in g.stores) == 300 * 300
    check(pairs, *args)


def test_bits_dont_depend_on_threads() -> None:
    cases: list[tuple[Any, tuple[Any, ...]]] = [
        (softmax, (normal(9000, 10),)),
        (softmax, (normal(2000, 130),)),
        (pairs, (normal(300, 3), normal(300, 300))),
    ]
    for fun, args in cases:
        found = []
        for threads in (1, 2, 3, 8):
            with config.override(threads=threads):
                found.append(compile_jaxpr(trace(fun, *args))(*args))
        for others in found[1:]:
            for one, other in zip(found[0], others):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("shape", "window", "strides", "pads", "base", "step"),
    [
        ((1, 2, 3, 30, 31), (4, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1)),
        ((1, 2, 3, 30, 31), (4, 3, 5), (1, 1), ((0, 2), (-1, 1)), (1, 1), (2, 1)),
        ((1, 2, 3, 30, 31), (4, 3, 3), (2, 1), ((1, 1), (0, 0)), (1, 1), (1, 1)),
        ((2, 3, 2, 9, 8), (2, 3, 2), (1, 1), ((2, 2), (1, 3)), (3, 2), (1, 1)),
        ((1, 2, 2, 5, 6), (3, 2, 7), (1, 1), ((0, 1), (5, 2)), (2, 4), (1, 1)),
        ((1, 2, 2, 6, 7), (3, 3, 3), (2, 1), ((3, 1), (2, 2)), (2, 3), (1, 2)),
        ((1, 3, 2, 40), (3, 5), (1,), ((4, 3),), (3,), (1,)),
        ((1, 1, 2, 4, 5, 6), (2, 2, 3, 2), (1, 1, 1), ((1, 0),) * 3, (2, 1, 3), (1, 1, 1)),
    ],
)
def test_convolutions_by_products(
    shape: Any, window: Any, strides: Any, pads: Any, base: Any, step: Any
) -> None:
    """Dilated inputs, as gradients of strided convolutions have, and whole images as lines."""
    x = normal(*shape)
    w = normal(shape[0], window[0], shape[2], *window[1:])
    params = {
        "window_strides": strides,
        "padding": pads,
        "lhs_dilation": base,
        "rhs_dilation": step,
    }
    check(lambda x, w: [conv_p.bind(x, w, **params)], x, w)


def test_what_a_line_computes_for_nothing_stays_unseen() -> None:
    """Places between the rows see both ends of a row: no NaN may come from there."""
    x = np.zeros((1, 1, 1, 30, 30))
    x[0, 0, 0, 3, 29] = np.nan
    w = np.ones((1, 1, 1, 3, 3))
    ones, none = (1, 1), ((0, 0), (0, 0))
    params = {
        "window_strides": ones,
        "padding": none,
        "lhs_dilation": ones,
        "rhs_dilation": ones,
    }
    f = compile_jaxpr(trace(lambda x, w: [conv_p.bind(x, w, **params)], x, w))
    (out,) = f(x, w)
    assert np.isnan(out).sum() == 3
