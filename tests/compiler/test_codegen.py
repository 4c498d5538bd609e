"""Kernels on odd inputs: layouts, empty and 0-d arrays, every kind of fold, several dtypes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from programs import check, trace

from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.emit.llvm.kernels import kernel_module
from functrace.compiler.pipeline import Compiled, compile_jaxpr
from functrace.config import config
from functrace.core.trace import PRIMITIVES
from functrace.ops.arithmetic import add, div, mul, neg, sub
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.contraction import dot_general
from functrace.ops.creation import convert_element_type
from functrace.ops.exponentials import exp
from functrace.ops.joining import concatenate, pad, slice_in_dim
from functrace.ops.reductions import reduce_max
from functrace.ops.structural import reshape, rev, transpose

RNG = np.random.default_rng(0)
BACKENDS = ["llvm", "python"]
SHAPES = [
    (),
    (1,),
    (5,),
    (0,),
    (1, 1),
    (3, 1),
    (1, 4),
    (3, 4),
    (0, 3),
    (3, 0),
    (2, 3, 4),
    (2, 1, 4),
]


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_maps_of_every_shape(shape: tuple[int, ...], backend: str) -> None:
    x = np.asarray(normal(*shape))[()]
    check(lambda x: [add(mul(x, 2.0), x), neg(x)], x, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_broadcasts_in_every_position(backend: str) -> None:
    full = (2, 3, 5)
    y = normal(*full)
    for kept in itertools.product([False, True], repeat=3):
        x = normal(*(n for n, k in zip(full, kept) if k))
        dims = tuple(i for i, k in enumerate(kept) if k)

        def fun(x: Any, y: Any, dims: Any = dims) -> list[Any]:
            return [mul(broadcast_in_dim(x, full, dims), y), broadcast_in_dim(x, full, dims)]

        check(fun, x, y, backend=backend)


@pytest.mark.parametrize("permutation", list(itertools.permutations(range(3))))
def test_transposes_in_and_out(permutation: tuple[int, ...]) -> None:
    x = normal(3, 4, 5)

    def fun(x: Any) -> list[Any]:
        t = transpose(x, permutation)
        return [t, exp(t), transpose(neg(x), permutation), add(t, reshape(t, t.shape))]

    check(fun, x)


@pytest.mark.parametrize("backend", BACKENDS)
def test_negative_strides_and_slices(backend: str) -> None:
    def fun(x: Any) -> list[Any]:
        part = slice_in_dim(x, 1, 6, 2, axis=0)
        return [rev(x, (0, 1)), mul(rev(x, (1,)), x), add(part, rev(part, (0,)))]

    check(fun, normal(6, 4), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reshape_of_what_is_not_contiguous(backend: str) -> None:
    check(lambda x: [reshape(transpose(x, (1, 0)), (2, 6))], normal(4, 3), backend=backend)


def every_axes(ndim: int) -> list[tuple[int, ...]]:
    return [c for n in range(1, ndim + 1) for c in itertools.combinations(range(ndim), n)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "shape", [(5,), (1,), (3, 4), (4, 1), (0, 3), (3, 0), (2, 3, 4), (7, 20, 6)]
)
def test_folds_over_every_axes(shape: tuple[int, ...], backend: str) -> None:
    x = normal(*shape)
    for axes in every_axes(len(shape)):
        check(lambda x, axes=axes: [reduce_sum(x, axes)], x, backend=backend)
        if x.size:
            check(lambda x, axes=axes: [reduce_max(exp(x), axes)], x, backend=backend)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("axes", every_axes(3))
def test_folds_of_transposed_operands(order: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = normal(6, 20, 40)
    check(lambda x: [reduce_sum(transpose(x, order), axes)], x)


@pytest.mark.parametrize("n", [1, 3, 15, 16, 17, 511, 512, 513, 1024, 1025, 5000])
def test_folds_of_every_length(n: int) -> None:
    x, wide = normal(n), normal(n, 3)

    def light(x: Any) -> list[Any]:
        return [reduce_sum(x, (0,)), reduce_sum(mul(x, x), (0,))]

    def heavy(x: Any) -> list[Any]:
        e = exp(neg(mul(x, x)))
        return [reduce_sum(e, (0,)), reduce_max(e, (0,)), e]

    for fun in (light, heavy):
        check(fun, x)
        check(fun, wide)
        check(fun, wide.T.copy())


@pytest.mark.parametrize("n", [1, 4, 5, 511, 512, 513, 1500])
def test_column_folds_of_every_width(n: int) -> None:
    def fun(x: Any) -> list[Any]:
        y = exp(x)
        return [reduce_sum(y, (0,)), div(reduce_sum(x, (0,)), 7.0), y]

    check(fun, normal(7, n))
    check(lambda x: [reduce_sum(x, (0, 2))], normal(3, n, 2))
    check(lambda x: [reduce_sum(x, (1,))], normal(3, 4, n))


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int32", "uint64", "float16", "float32", "complex64"]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_dtypes(dtype: str, backend: str) -> None:
    x = (np.arange(12).reshape(3, 4) % 5 + 1).astype(dtype)
    half = dtype == "float16"

    def fun(x: Any) -> list[Any]:
        return [mul(x, x), reduce_sum(x, (1,)), reduce_sum(sub(x, x), (0,))]

    check(fun, x, backend=backend, rtol=1e-2 if half else 1e-6)


def test_conversions_in_a_chain() -> None:
    def fun(x: Any) -> list[Any]:
        y = convert_element_type(mul(x, 0.1), np.float32)
        return [convert_element_type(add(y, np.float32(0.2)), np.float64), y]

    check(fun, normal(9))


@pytest.mark.parametrize("backend", BACKENDS)
def test_indexed_operations_in_maps_and_folds(backend: str) -> None:
    def fun(x: Any) -> list[Any]:
        both = concatenate([x, neg(x)], 1)
        edge = pad(x, 0.0, ((1, 2, 0), (0, 1, 1)))
        return [mul(both, 2.0), edge, reduce_sum(both, (1,)), reduce_sum(edge, (0,))]

    check(fun, normal(3, 4), backend=backend)


def test_an_indexed_operation_over_axes_of_size_one() -> None:
    check(lambda x: [exp(concatenate([x, x], 1))], normal(1, 4, 1))


PRODUCTS = [
    ((3, 4), (4, 5), (((1,), (0,)), ((), ()))),
    ((4, 3), (4, 5), (((0,), (0,)), ((), ()))),
    ((3, 4), (5, 4), (((1,), (1,)), ((), ()))),
    ((4,), (4, 5), (((0,), (0,)), ((), ()))),
    ((3, 4), (4,), (((1,), (0,)), ((), ()))),
    ((4,), (4,), (((0,), (0,)), ((), ()))),
    ((2, 3, 4), (2, 4, 5), (((2,), (1,)), ((0,), (0,)))),
    ((3, 2, 4), (4, 5, 2), (((2,), (0,)), ((1,), (2,)))),
    ((2, 3, 4), (4, 3, 5), (((1, 2), (1, 0)), ((), ()))),
    ((0, 4), (4, 5), (((1,), (0,)), ((), ()))),
    ((3, 0), (0, 5), (((1,), (0,)), ((), ()))),
    ((1, 4), (4, 1), (((1,), (0,)), ((), ()))),
    ((3, 1), (1, 5), (((1,), (0,)), ((), ()))),
    ((3,), (5,), (((), ()), ((), ()))),
    ((2, 3), (2, 5), (((), ()), ((0,), (0,)))),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("a", "b", "dims"), PRODUCTS)
def test_products(a: Any, b: Any, dims: Any, backend: str) -> None:
    x, y = normal(*a), normal(*b)
    check(lambda x, y: [dot_general(x, y, dims)], x, y, backend=backend)
    integers = [np.rint(3 * z).astype(np.int64) for z in (x, y)]
    check(lambda x, y: [dot_general(x, y, dims)], *integers, backend=backend)
    if dims[1] == ((), ()):

        def swapped(x: Any, y: Any) -> list[Any]:
            z = dot_general(x, y, dims)
            kept = len(x.shape) - len(dims[0][0])
            order = (*range(kept, z.ndim), *range(kept))
            return [transpose(z, order)]

        check(swapped, x, y, backend=backend)


def test_products_of_views() -> None:
    dims = (((1,), (0,)), ((), ()))

    def fun(x: Any, v: Any) -> list[Any]:
        wide = broadcast_in_dim(v, (4, 5), (1,))
        return [
            dot_general(x, wide, dims),
            dot_general(rev(x, (0, 1)), wide, dims),
            dot_general(transpose(x, (1, 0)), x, dims),
            dot_general(slice_in_dim(x, 0, 3, 2, axis=0), wide, dims),
        ]

    check(fun, normal(3, 4), normal(5))


def kernels(compiled: Compiled) -> list[str]:
    codes = compiled.compilation.codes
    return [kernel_module(c.kernel) for c in codes if isinstance(c, StepCode)]


def test_one_kernel_serves_all_extents_of_a_class() -> None:
    """Short and long innermost loops want different code; nothing else depends on extents."""

    def fun(x: Any, v: Any) -> list[Any]:
        return [add(exp(x), broadcast_in_dim(v, x.shape, (1,)))]

    short = {
        *kernels(check(fun, normal(37, 19), normal(19))),
        *kernels(check(fun, normal(70, 20), normal(20))),
        *kernels(check(fun, normal(800, 60), normal(60))),
    }
    long = {
        *kernels(check(fun, normal(37, 190), normal(190))),
        *kernels(check(fun, normal(8, 300), normal(300))),
    }
    assert len(short) == len(long) == 1


def test_equal_updates_of_matrix_and_vector_are_one_kernel() -> None:
    def fun(w: Any, b: Any, g: Any, h: Any) -> list[Any]:
        return [sub(w, mul(g, 0.1)), sub(b, mul(h, 0.1))]

    compiled = check(fun, normal(6, 7), normal(7), normal(6, 7), normal(7))
    assert len(kernels(compiled)) == 2
    assert len(set(kernels(compiled))) == 1


def test_bits_dont_depend_on_threads() -> None:
    def fun(x: Any) -> list[Any]:
        e = exp(x)
        return [e, reduce_sum(e, (0,)), reduce_sum(e, (1,)), reduce_sum(e, (0, 1))]

    x = normal(600, 700)
    results = []
    for threads in (1, 2):
        with config.override(threads=threads):
            results.append(compile_jaxpr(trace(fun, x))(x))
    for one, two in zip(*results):
        np.testing.assert_array_equal(one, two)


def test_large_maps_are_split() -> None:
    compiled = check(lambda x: [exp(x)], normal(1000, 300))
    (plan,) = compiled.compilation.schedules.values()
    assert plan.grain > 0 and not plan.light


def test_threads_that_are_awake_share_less() -> None:
    compiled = check(lambda x: [add(x, 1.0)], normal(400, 300))
    (plan,) = compiled.compilation.schedules.values()
    assert plan.grain > 0 and plan.light


@pytest.mark.parametrize("shape", [(130, 140), (3, 97, 128), (200, 2, 100), (3000, 7)])
def test_tiles(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    last = len(shape) - 1
    order = (last, *range(last))
    compiled = check(lambda x: [transpose(x, order), mul(transpose(exp(x), order), 2.0)], x)
    styles = {s.style for s in compiled.compilation.schedules.values()}
    assert "tiles" in styles


@pytest.mark.parametrize("shape", [(1 << 18,), ((1 << 18) + 77,), (700, 401), (3, 400, 301)])
def test_large_folds_in_blocks(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    axes = tuple(range(len(shape)))

    def fun(x: Any, s: Any) -> list[Any]:
        heavy = exp(neg(mul(x, x)))
        return [div(reduce_sum(x, axes), s), reduce_max(x, axes), reduce_sum(heavy, axes), heavy]

    def strided(x: Any) -> list[Any]:
        return [reduce_sum(rev(x, (0,)), axes)]

    styles = set()
    for compiled in (check(fun, x, np.float64(3.0), rtol=1e-10), check(strided, x, rtol=1e-10)):
        styles |= {s.style for s in compiled.compilation.schedules.values()}
    assert styles == {"blocks"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64", "complex128", "int8"])
@pytest.mark.parametrize("shape", [(5, 600), (600, 5), (2, 1500), (40, 30)])
def test_folds_of_other_dtypes(dtype: str, shape: tuple[int, ...]) -> None:
    x = RNG.integers(-2, 3, size=shape).astype(dtype)

    def fun(x: Any) -> list[Any]:
        square = mul(x, x)
        return [reduce_sum(square, (0,)), reduce_sum(square, (1,)), reduce_sum(x, (0, 1)), square]

    check(fun, x)


def test_boolean_folds() -> None:
    x = RNG.random((70, 90)) < 0.02

    def fun(x: Any) -> list[Any]:
        folds = [PRIMITIVES[name] for name in ("reduce_or", "reduce_and")]
        return [fold.bind(x, axes=(k,)) for fold in folds for k in (0, 1)]

    check(fun, x)


@pytest.mark.parametrize("n", [5, 520, 1300])
def test_heavy_expressions_of_strided_operands(n: int) -> None:
    x, y = normal(7, n), normal(n, 7)

    def fun(x: Any, y: Any) -> list[Any]:
        odd = exp(slice_in_dim(x, 0, n, 2, axis=1))
        back = exp(rev(x, (1,)))
        crossed = exp(add(transpose(y, (1, 0)), x))
        return [
            odd,
            back,
            reduce_sum(odd, (1,)),
            reduce_sum(exp(transpose(x, (1, 0))), (1,)),
            reduce_sum(crossed, (0,)),
            reduce_sum(exp(rev(mul(x, 0.5), (0, 1))), (1,)),
            reduce_max(exp(neg(rev(y, (0, 1)))), (0,)),
        ]

    check(fun, x, y, rtol=1e-10)
