"""solve, det and slogdet: what the factors of lu are for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.core.lowering import Composite
from functrace.core.trace import Primitive
from functrace.errors import ShapeError, compose
from functrace.ops.arithmetic import add, div, mul, neg, sub
from functrace.ops.bitwise import bitwise_and
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.complexes import abs, complex, imag, real, sign
from functrace.ops.creation import convert_element_type, full, iota
from functrace.ops.cumulative import reduce_prod
from functrace.ops.exponentials import log
from functrace.ops.joining import concatenate, slice_in_dim
from functrace.ops.logical import eq, lt, ne, select
from functrace.ops.lu import lu, lu_solve, permute_rows
from functrace.ops.matrices import (
    batch_first,
    check_matrices,
    diagonal,
    matmul,
    real_dtype,
    scale_rows,
    swap,
)
from functrace.ops.structural import rev, squeeze
from functrace.ops.triangular import fold_lanes, triangular_solve

__all__ = ["det", "slogdet", "solve"]

INT64 = np.dtype(np.int64)

# --- solve -------------------------------------------------------------------------------------

solve_p = Primitive("solve")
solve_p.def_impl(lambda a, b: np.linalg.solve(a, b))


@solve_p.def_abstract_eval
def _solve_type(a: ShapedArray, b: ShapedArray) -> ShapedArray:
    check_matrices("solve", a, b, square=True)
    if b.shape[-2] != a.shape[-1]:
        raise ShapeError(
            compose(
                f"solve got a of type {a} and b of type {b}.", "they must agree in the rows of b."
            )
        )
    return ShapedArray(b.shape, b.dtype)


@solve_p.def_jvp
def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    # a dx = db - da x, by the factors that gave x.
    (a, b), (da, db) = primals, tangents
    factors, _, permutation = lu(a, check=True)
    x = lu_solve(factors, permutation, b)
    if da is None:
        moved = db
    else:
        moved = neg(matmul(da, x))
        moved = moved if db is None else add(db, moved)
    return x, lu_solve(factors, permutation, moved)


@solve_p.def_transpose
def _solve_transpose(ct: Any, a: Any, b: Any) -> Any:
    return [None, solve_p.bind(swap(a), ct)]


@solve_p.def_batching
def _solve_batching(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    (a, b), (da, db) = args, dims
    if da is not None:
        return solve_p.bind(*batch_first(size, args, dims)), 0
    # One matrix for all lanes: they are more columns.
    b, back = fold_lanes(b, db)
    return back(solve_p.bind(a, b)), len(shape_of(a)) - 2


@Composite
def _solve_by_factors(a: Any, b: Any) -> list[Any]:
    factors, _, permutation = lu(a, check=True)
    return [lu_solve(factors, permutation, b)]


solve_p.def_lowering(_solve_by_factors)


def solve(a: Any, b: Any) -> Any:
    """Solve ``a x = b``, ``a`` square, ``b`` columns; a matrix without inverse is an error."""
    return solve_p.bind(a, b)


# --- what the factors say of the determinant -----------------------------------------------------


def _last(x: Any) -> int:
    return len(shape_of(x)) - 1


def _parity(pivots: Any, dtype: np.dtype[Any]) -> Any:
    """Return the sign of a permutation: 1 for an even number of exchanges, -1 for an odd one."""
    places = iota(pivots.dtype, shape_of(pivots), _last(pivots))
    exchanged = convert_element_type(ne(pivots, places), INT64)
    odd = bitwise_and(reduce_sum(exchanged, (_last(pivots),)), 1)
    return convert_element_type(sub(1, mul(odd, 2)), dtype)


def _det_of(factors: Any, pivots: Any) -> Any:
    return mul(
        reduce_prod(diagonal(factors), (_last(factors) - 1,)), _parity(pivots, factors.dtype)
    )


def _slogdet_of(factors: Any, pivots: Any) -> list[Any]:
    along = diagonal(factors)
    axis = (_last(along),)
    phase = mul(reduce_prod(sign(along), axis), _parity(pivots, factors.dtype))
    return [phase, reduce_sum(log(abs(along)), axis)]


# --- det ---------------------------------------------------------------------------------------

det_p = Primitive("det", not_linear="it is not linear")
det_p.def_impl(lambda a: np.linalg.det(a)[()])


@det_p.def_abstract_eval
def _det_type(a: ShapedArray) -> ShapedArray:
    check_matrices("det", a, square=True)
    return ShapedArray(a.shape[:-2], a.dtype)


@det_p.def_jvp
def _det_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (a,), (t,) = primals, tangents
    n = shape_of(a)[-1]
    axes = (_last(a) - 1, _last(a))
    if n == 0:
        return det_p.bind(a), None
    if n <= 3:
        return det_p.bind(a), reduce_sum(mul(_cofactors(a), t), axes)
    return _det_and_derivative(a, t)


def _cofactors(a: Any) -> Any:
    """Return the cofactors of matrices of up to three rows; they exist without an inverse."""
    shape, last = shape_of(a), _last(a)
    if shape[-1] == 1:
        return full(shape, 1, a.dtype)
    if shape[-1] == 2:
        same = eq(iota(INT64, shape, last - 1), iota(INT64, shape, last))
        turned = rev(a, (last - 1, last))
        return select(same, turned, neg(turned))
    # The cross products of the other two rows.
    first, second = _rolled(a, last - 1, 1), _rolled(a, last - 1, 2)
    ahead = mul(_rolled(first, last, 1), _rolled(second, last, 2))
    return sub(ahead, mul(_rolled(first, last, 2), _rolled(second, last, 1)))


def _rolled(x: Any, axis: int, k: int) -> Any:
    n = shape_of(x)[axis]
    return concatenate([slice_in_dim(x, k, n, axis=axis), slice_in_dim(x, 0, k, axis=axis)], axis)


def _det_and_derivative(a: Any, t: Any) -> Any:
    """Return det(a) and tr(adj(a) t); adj(a) = det(a) a^-1 also where the last pivot is zero.

    Solving with that pivot u replaced by 1 / (det / u), and all other right sides multiplied by
    det, never divides by u.
    """
    factors, pivots, permutation = lu(a)
    shape, last = shape_of(a), _last(a)
    n = shape[-1]
    along = diagonal(factors)
    others = slice_in_dim(along, 0, n - 1, axis=last - 1)
    partial = mul(reduce_prod(others, (last - 1,)), _parity(pivots, a.dtype))
    value = mul(partial, squeeze(slice_in_dim(along, n - 1, n, axis=last - 1), (last - 1,)))
    rows, columns = iota(INT64, shape, last - 1), iota(INT64, shape, last)
    wide = broadcast_in_dim(partial, shape, range(last - 1))
    corner = eq(add(rows, columns), 2 * (n - 1))
    upper = select(corner, div(1.0, select(corner, wide, 1.0)), factors)
    x = permute_rows(t, permutation)
    x = triangular_solve(factors, x, left_side=True, lower=True, unit_diagonal=True)
    scale = broadcast_in_dim(value, shape[:-1], range(last - 1))
    scale = select(lt(iota(INT64, shape[:-1], last - 1), n - 1), scale, 1.0)
    x = triangular_solve(upper, scale_rows(x, scale), left_side=True)
    return value, reduce_sum(diagonal(x), (last - 1,))


@det_p.def_batching
def _det_batching(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    return det_p.bind(*batch_first(size, args, dims)), 0


@Composite
def _det_by_factors(a: Any) -> list[Any]:
    return [_det_of(*lu(a)[:2])]


det_p.def_lowering(_det_by_factors)


def det(a: Any) -> Any:
    """Determinant of square matrices."""
    return det_p.bind(a)


# --- slogdet -----------------------------------------------------------------------------------

slogdet_p = Primitive("slogdet", multiple_results=True, not_linear="it is not linear")


@slogdet_p.def_impl
def _slogdet_impl(a: Any) -> list[Any]:
    phase, size = np.linalg.slogdet(a)
    return [phase[()], size[()]]


@slogdet_p.def_abstract_eval
def _slogdet_type(a: ShapedArray) -> list[ShapedArray]:
    check_matrices("slogdet", a, square=True)
    batch = a.shape[:-2]
    return [ShapedArray(batch, a.dtype), ShapedArray(batch, real_dtype(a.dtype))]


@slogdet_p.def_jvp
def _slogdet_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    # d log det a = tr(a^-1 da); its imaginary part turns the phase.
    (a,), (t,) = primals, tangents
    factors, pivots, permutation = lu(a)
    phase, size = _slogdet_of(factors, pivots)
    moved = diagonal(lu_solve(factors, permutation, t))
    trace = reduce_sum(moved, (_last(moved),))
    if dtype_of(trace).kind != "c":
        return [phase, size], [None, trace]
    turn = imag(trace)
    return [phase, size], [mul(phase, complex(mul(turn, 0.0), turn)), real(trace)]


@slogdet_p.def_batching
def _slogdet_batching(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    return slogdet_p.bind(*batch_first(size, args, dims)), [0, 0]


@Composite
def _slogdet_by_factors(a: Any) -> list[Any]:
    return _slogdet_of(*lu(a)[:2])


slogdet_p.def_lowering(_slogdet_by_factors)


def slogdet(a: Any) -> list[Any]:
    """Sign (a complex number's phase) and logarithm of the size of the determinant."""
    return slogdet_p.bind(a)  # type: ignore[no-any-return]
