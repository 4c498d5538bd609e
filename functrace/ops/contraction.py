"""dot_general: every product of arrays that sums over axes, with batch axes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of
from functrace.core.lowering import Library, Nest
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.dtypes import canonical_dtype
from functrace.errors import ShapeError, compose
from functrace.ops.creation import convert_element_type
from functrace.ops.families import ANY, check_dtypes
from functrace.ops.nests import fold_each, for_each
from functrace.ops.structural import inverse_permutation, transpose

__all__ = ["MatrixProduct", "dot", "dot_general"]

Axes = tuple[int, ...]
DotDimensionNumbers = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]

BLAS_DTYPES = tuple(np.dtype(n) for n in ("float32", "float64", "complex64", "complex128"))


@dataclass(frozen=True)
class MatrixProduct:
    """What BLAS is asked for: which axes of each operand are batch, kept and contracted.

    The result has the batch axes, then those the first operand keeps, then those of the second.
    """

    lhs_batch: Axes
    lhs_kept: Axes
    lhs_contracted: Axes
    rhs_batch: Axes
    rhs_kept: Axes
    rhs_contracted: Axes

    @staticmethod
    def of(dimension_numbers: DotDimensionNumbers, lhs_ndim: int, rhs_ndim: int) -> MatrixProduct:
        """Return it from ``lax``'s dimension numbers."""
        (lc, rc), (lb, rb) = dimension_numbers
        return MatrixProduct(lb, _rest(lhs_ndim, lb, lc), lc, rb, _rest(rhs_ndim, rb, rc), rc)


def _rest(ndim: int, *named: Axes) -> Axes:
    taken = {d for axes in named for d in axes}
    return tuple(d for d in range(ndim) if d not in taken)


dot_general_p = Primitive("dot_general")

# Products of vectors and matrices that are NumPy's as they stand, by number of axes.
_PLAIN: dict[Any, Callable[[Any, Any], Any]] = {
    (1, 1, (((0,), (0,)), ((), ()))): lambda x, y: x @ y,
    (2, 1, (((1,), (0,)), ((), ()))): lambda x, y: x @ y,
    (1, 2, (((0,), (0,)), ((), ()))): lambda x, y: x @ y,
    (2, 2, (((1,), (0,)), ((), ()))): lambda x, y: x @ y,
    (2, 2, (((1,), (1,)), ((), ()))): lambda x, y: x @ y.T,
    (2, 2, (((0,), (0,)), ((), ()))): lambda x, y: x.T @ y,
}


@dot_general_p.def_impl
def _dot_general_impl(
    x: Any,
    y: Any,
    *,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: np.dtype[Any] | None,
) -> Any:
    if preferred_element_type is not None:
        x, y = x.astype(preferred_element_type), y.astype(preferred_element_type)
    plain = _PLAIN.get((x.ndim, y.ndim, dimension_numbers))
    if plain is not None:
        return plain(x, y)
    p = MatrixProduct.of(dimension_numbers, x.ndim, y.ndim)
    shape = _result_shape(p, x.shape, y.shape)
    if not p.lhs_contracted:
        x = np.transpose(x, (*p.lhs_batch, *p.lhs_kept))
        y = np.transpose(y, (*p.rhs_batch, *p.rhs_kept))
        split = len(p.lhs_batch)
        x = x.reshape(x.shape + (1,) * len(p.rhs_kept))
        y = y.reshape(y.shape[:split] + (1,) * len(p.lhs_kept) + y.shape[split:])
        return np.asarray(x * y)[()]
    x = np.transpose(x, (*p.lhs_batch, *p.lhs_kept, *p.lhs_contracted))
    y = np.transpose(y, (*p.rhs_batch, *p.rhs_contracted, *p.rhs_kept))
    k = _size(x.shape[len(x.shape) - len(p.lhs_contracted) :])
    batch = shape[: len(p.lhs_batch)]
    m = _size(shape[len(batch) : len(batch) + len(p.lhs_kept)])
    n = _size(shape[len(batch) + len(p.lhs_kept) :])
    out = np.matmul(x.reshape((*batch, m, k)), y.reshape((*batch, k, n)))
    return out.reshape(shape)[()]


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _result_shape(p: MatrixProduct, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    return (
        *(x[d] for d in p.lhs_batch),
        *(x[d] for d in p.lhs_kept),
        *(y[d] for d in p.rhs_kept),
    )


@dot_general_p.def_abstract_eval
def _dot_general_type(
    x: ShapedArray,
    y: ShapedArray,
    *,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: np.dtype[Any] | None,
) -> ShapedArray:
    check_dtypes("dot_general", ANY, [x, y])
    (lc, rc), (lb, rb) = dimension_numbers
    fits = (
        len(lc) == len(rc)
        and len(lb) == len(rb)
        and len({*lc, *lb}) == len(lc) + len(lb)
        and len({*rc, *rb}) == len(rc) + len(rb)
        and all(0 <= d < x.ndim for d in (*lc, *lb))
        and all(0 <= d < y.ndim for d in (*rc, *rb))
        and all(x.shape[d] == y.shape[e] for d, e in zip((*lc, *lb), (*rc, *rb)))
    )
    if not fits:
        raise ShapeError(
            compose(
                f"dot_general got operands of types {x} and {y} and "
                f"dimension_numbers={dimension_numbers}.",
                "they are ((lhs contracted, rhs contracted), (lhs batch, rhs batch)): each axis "
                "once, and axes that go together have one size.",
            )
        )
    shape = _result_shape(MatrixProduct.of(dimension_numbers, x.ndim, y.ndim), x.shape, y.shape)
    return ShapedArray(shape, x.dtype if preferred_element_type is None else preferred_element_type)


dot_general_p.def_jvp_each(
    lambda t, out, x, y, **params: dot_general_p.bind(t, y, **params),
    lambda t, out, x, y, **params: dot_general_p.bind(x, t, **params),
)


@dot_general_p.def_transpose
def _dot_general_transpose(
    ct: Any,
    x: Any,
    y: Any,
    *,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: np.dtype[Any] | None,
) -> Any:
    by_x = is_linear(x)
    dims, order = _transpose_plan(dimension_numbers, len(x.shape), len(y.shape), by_x)
    wanted, other = (x, y) if by_x else (y, x)
    if dtype_of(other) != ct.dtype:
        other = convert_element_type(other, ct.dtype)
    pair = (ct, other) if by_x else (other, ct)
    product = dot_general_p.bind(*pair, dimension_numbers=dims, preferred_element_type=None)
    result = transpose(product, order)
    if result.dtype != wanted.dtype:
        result = convert_element_type(result, wanted.dtype)
    return [result, None] if by_x else [None, result]


@functools.cache
def _transpose_plan(
    dimension_numbers: DotDimensionNumbers, lhs_ndim: int, rhs_ndim: int, by_lhs: bool
) -> tuple[DotDimensionNumbers, Axes]:
    """Return the product that is an operand's cotangent, and the permutation of its axes.

    It is ``ct . rhs`` or ``lhs . ct``: a matrix's cotangent then needs no transposing.
    """
    p = MatrixProduct.of(dimension_numbers, lhs_ndim, rhs_ndim)
    nb, nx = len(p.lhs_batch), len(p.lhs_kept)
    ct_batch, ct_x = tuple(range(nb)), tuple(range(nb, nb + nx))
    ct_y = tuple(range(nb + nx, nb + nx + len(p.rhs_kept)))
    if by_lhs:
        names = dict(zip(p.rhs_contracted, p.lhs_contracted))
        contracted = tuple(names[d] for d in sorted(p.rhs_contracted))
        axes = (*p.lhs_batch, *p.lhs_kept, *contracted)
        return ((ct_y, p.rhs_kept), (ct_batch, p.rhs_batch)), inverse_permutation(axes)
    names = dict(zip(p.lhs_contracted, p.rhs_contracted))
    contracted = tuple(names[d] for d in sorted(p.lhs_contracted))
    axes = (*p.rhs_batch, *contracted, *p.rhs_kept)
    return ((p.lhs_kept, ct_x), (p.lhs_batch, ct_batch)), inverse_permutation(axes)


@dot_general_p.def_batching
def _dot_general_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[Any],
    *,
    dimension_numbers: DotDimensionNumbers,
    **params: Any,
) -> Any:
    (lc, rc), (lb, rb) = dimension_numbers
    (x, y), (dx, dy) = args, dims
    if dx is not None:
        lc, lb = _moved(lc, dx), _moved(lb, dx)
    if dy is not None:
        rc, rb = _moved(rc, dy), _moved(rb, dy)
    if dx is not None and dy is not None:
        lb, rb, out_dim = (dx, *lb), (dy, *rb), 0
    elif dx is not None:
        # The lanes are one more kept axis.
        out_dim = len(lb) + _rest(len(x.shape), lc, lb).index(dx)
    else:
        kept = len(_rest(len(np.shape(x)), lc, lb))
        out_dim = len(lb) + kept + _rest(len(y.shape), rc, rb).index(dy)
    new = ((lc, rc), (lb, rb))
    return dot_general_p.bind(x, y, dimension_numbers=new, **params), out_dim


def _moved(axes: Axes, dim: int) -> Axes:
    return tuple(d + (d >= dim) for d in axes)


def _product_rule(
    avals_in: Sequence[ShapedArray],
    *,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: np.dtype[Any] | None,
) -> MatrixProduct | None:
    x, y = avals_in
    # (None would equal float64, which np.dtype(None) is.)
    widened = preferred_element_type is not None and preferred_element_type != x.dtype
    if x.dtype not in BLAS_DTYPES or widened:
        return None
    return MatrixProduct.of(dimension_numbers, x.ndim, y.ndim)


def _product_nest(
    b: Any,
    ins: Any,
    outs: Any,
    scratch: Any,
    avals_in: Any,
    avals_out: Any,
    *,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: np.dtype[Any] | None,
) -> None:
    (x, y), (out,) = ins, outs
    p = MatrixProduct.of(dimension_numbers, x.ndim, y.ndim)
    nb, nx = len(p.lhs_batch), len(p.lhs_kept)

    def place(index: tuple[Any, ...]) -> None:
        batch, kept_x, kept_y = index[:nb], index[nb : nb + nx], index[nb + nx :]

        def step(k: tuple[Any, ...], acc: Any) -> list[Any]:
            at_x = dict(zip((*p.lhs_batch, *p.lhs_kept, *p.lhs_contracted), (*batch, *kept_x, *k)))
            at_y = dict(zip((*p.rhs_batch, *p.rhs_kept, *p.rhs_contracted), (*batch, *kept_y, *k)))
            left = x.load([at_x[d] for d in range(x.ndim)])
            right = y.load([at_y[d] for d in range(y.ndim)])
            return [b.add(acc, b.mul(b.cast(left, acc.dtype), b.cast(right, acc.dtype)))]

        # NumPy's float16 products add up in float32.
        wide = np.dtype(np.float32) if out.dtype == np.float16 else out.dtype
        extents = [x.shape[d] for d in p.lhs_contracted]
        (total,) = fold_each(b, extents, [b.const(0, wide)], step)
        out.store(index, b.cast(total, out.dtype))

    for_each(b, out.shape, place)


dot_general_p.def_lowering(Library(_product_rule, Nest(_product_nest)))


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Multiply, and sum over the contracted axes; batch axes go together.

    ``dimension_numbers`` is ``((lhs contracted, rhs contracted), (lhs batch, rhs batch))``. The
    result has the batch axes, the other axes of ``lhs``, the other axes of ``rhs``. ``precision``
    is accepted; products are always in full precision.
    """
    (lc, rc), (lb, rb) = dimension_numbers
    dims = ((tuple(lc), tuple(rc)), (tuple(lb), tuple(rb)))
    wanted = None if preferred_element_type is None else canonical_dtype(preferred_element_type)
    if wanted == dtype_of(lhs):
        wanted = None
    return dot_general_p.bind(lhs, rhs, dimension_numbers=dims, preferred_element_type=wanted)


def dot(lhs: Any, rhs: Any, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Product of vectors and matrices: the last axis of ``lhs`` with the first of ``rhs``."""
    dims = (((len(lhs.shape) - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dims, precision, preferred_element_type)
