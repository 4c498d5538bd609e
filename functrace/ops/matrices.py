"""What the factorisations share: batches of matrices, their triangles, and LAPACK's arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, shape_of
from functrace.errors import ShapeError, compose
from functrace.ops.arithmetic import add, mul
from functrace.ops.broadcasting import broadcast_in_dim, reduce_sum
from functrace.ops.complexes import conj, real
from functrace.ops.contraction import dot_general
from functrace.ops.creation import convert_element_type, iota
from functrace.ops.families import INEXACT, check_dtypes
from functrace.ops.logical import eq, ge, gt, select
from functrace.ops.nests import for_each
from functrace.ops.structural import lanes_first, transpose

__all__ = [
    "adjoint",
    "as_hermitian",
    "batch_first",
    "batch_size",
    "check_matrices",
    "diagonal",
    "identity",
    "letter",
    "matmul",
    "on_diagonal",
    "real_dtype",
    "scale_columns",
    "scale_rows",
    "shares",
    "spaces",
    "swap",
    "transposing",
    "tril",
    "triu",
]

INT64 = np.dtype(np.int64)
_LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}

# --- types -------------------------------------------------------------------------------------


def check_matrices(name: str, *avals: ShapedArray, square: bool = False) -> None:
    """Raise unless the operands are batches of matrices of one dtype that LAPACK has."""
    check_dtypes(name, INEXACT, avals)
    fits = all(x.ndim >= 2 and x.shape[:-2] == avals[0].shape[:-2] for x in avals)
    if square:
        fits = fits and avals[0].shape[-1] == avals[0].shape[-2]
    if not fits or avals[0].dtype.name not in _LETTERS:
        types = ", ".join(map(str, avals))
        raise ShapeError(
            compose(
                f"{name} got operands of types {types}.",
                f"it takes {'square ' if square else ''}matrices in the last two axes, of float32, "
                "float64, complex64 or complex128, and equal axes before them.",
            )
        )


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the parts of a complex dtype; of a real one, itself."""
    return np.empty(0, dtype).real.dtype


def letter(dtype: np.dtype[Any]) -> str:
    """Return the letter of a dtype in the names of BLAS and LAPACK."""
    return _LETTERS[dtype.name]


def batch_size(aval: ShapedArray) -> int:
    """Return how many matrices there are."""
    return math.prod(aval.shape[:-2])


def spaces(aval: ShapedArray, work: int) -> int:
    """Return how many threads may factorise a batch at once, each in work space of its own."""
    return max(1, min(8, batch_size(aval), batch_size(aval) * work >> 18))


def shares(lines: int, work: int) -> tuple[int, int]:
    """Return how many lines a call does, and how many calls do them all: some for each thread."""
    size = -(-lines // (16 * max(1, min(4, work >> 19)))) * 16
    return size, -(-lines // size)


# --- algebra; each is linear in x --------------------------------------------------------------


def swap(x: Any) -> Any:
    """Return the transposed matrices."""
    n = len(shape_of(x))
    return transpose(x, (*range(n - 2), n - 1, n - 2))


def adjoint(x: Any) -> Any:
    """Return the conjugated, transposed matrices."""
    return conj(swap(x)) if dtype_of(x).kind == "c" else swap(x)


def matmul(x: Any, y: Any) -> Any:
    """Return the products of matrices whose batch axes are equal."""
    n = len(shape_of(x))
    batch = tuple(range(n - 2))
    return dot_general(x, y, (((n - 1,), (n - 2,)), (batch, batch)))


def _rows_and_columns(x: Any) -> tuple[Any, Any]:
    shape = shape_of(x)
    return iota(INT64, shape, len(shape) - 2), iota(INT64, shape, len(shape) - 1)


def tril(x: Any, k: int = 0) -> Any:
    """Return the matrices with zeros above diagonal ``k``."""
    rows, columns = _rows_and_columns(x)
    return select(ge(add(rows, k), columns), x, 0.0)


def triu(x: Any, k: int = 0) -> Any:
    """Return the matrices with zeros below diagonal ``k``."""
    rows, columns = _rows_and_columns(x)
    return select(gt(add(rows, k), columns), 0.0, x)


def on_diagonal(x: Any) -> Any:
    """Return the matrices with zeros off their diagonals."""
    rows, columns = _rows_and_columns(x)
    return select(eq(rows, columns), x, 0.0)


def diagonal(x: Any) -> Any:
    """Return the diagonals of square matrices."""
    return reduce_sum(on_diagonal(x), (len(shape_of(x)) - 1,))


def identity(shape: Sequence[int], dtype: np.dtype[Any]) -> Any:
    """Return an array of identity matrices."""
    n = len(shape)
    same = eq(iota(INT64, shape, n - 2), iota(INT64, shape, n - 1))
    return convert_element_type(same, dtype)


def as_hermitian(x: Any, lower: bool = True) -> Any:
    """Return the Hermitian matrices of which ``x`` holds one triangle; the rest isn't read."""
    strict = tril(x, -1) if lower else triu(x, 1)
    middle = on_diagonal(x)
    if dtype_of(x).kind == "c":
        middle = convert_element_type(real(middle), dtype_of(x))
    return add(add(strict, adjoint(strict)), middle)


def scale_columns(x: Any, d: Any) -> Any:
    """Return ``x @ diag(d)``, linear in either."""
    shape = shape_of(x)
    others = (*range(len(shape) - 2), len(shape) - 1)
    return mul(x, broadcast_in_dim(d, shape, others))


def scale_rows(x: Any, d: Any) -> Any:
    """Return ``diag(d) @ x``, linear in either."""
    shape = shape_of(x)
    return mul(x, broadcast_in_dim(d, shape, range(len(shape) - 1)))


# --- batching ----------------------------------------------------------------------------------


def batch_first(size: int, args: Sequence[Any], dims: Sequence[Any]) -> list[Any]:
    """Return operands with their lanes along axis 0: one more axis of a batch."""
    return [lanes_first(size, x, d) for x, d in zip(args, dims)]


# --- lowering ----------------------------------------------------------------------------------

Rule = Callable[[Any, Any, Any, Any], None]
_TILE = 8


def transposing(
    source: Callable[[Any, Any, Any], Any],
    target: Callable[[Any, Any, Any], Any],
    rows: int,
    columns: int,
    keep: Callable[[Any, Any, Any], Any] | None = None,
) -> Rule:
    """Return a stage: ``target[..., i, j] = source[..., j, i]``, zero where ``keep`` isn't true.

    Args:
        source, target: choose an array, from ``(ins, outs, scratch)``.
        rows, columns: the shape of what is written.
        keep: ``keep(b, i, j)`` for element i, j of the target.
    """

    def rule(b: Any, ins: Any, outs: Any, scratch: Any) -> None:
        read, write = source(ins, outs, scratch), target(ins, outs, scratch)
        zero = b.const(0, write.dtype)
        m, n = b.param_int(rows), b.param_int(columns)

        def one(batch: tuple[Any, ...], i: Any, j: Any) -> None:
            value = read.load((*batch, j, i))
            if keep is not None:
                value = b.select(keep(b, i, j), value, zero)
            write.store((*batch, i, j), value)

        def tile(batch: tuple[Any, ...], start: Any) -> None:
            # Lines of both sides stay in the cache.
            stop = b.minimum(b.add(start, _TILE), m)
            b.loop(0, n, lambda j: b.loop(start, stop, lambda i: one(batch, i, j)))

        for_each(
            b, read.shape[:-2], lambda batch: b.loop(0, m, lambda i: tile(batch, i), step=_TILE)
        )

    return rule
