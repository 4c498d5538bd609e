"""Products: dot, matmul, tensordot, inner, outer, vecdot, kron, cross, trace, multi_dot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.trace import Tracer
from functrace.errors import ShapeError, compose
from functrace.numpy.dispatching import (
    normalize_axes,
    normalize_axis,
    numpy_function,
    operand,
    refuse_out,
    strong,
)
from functrace.numpy.reductions import fold, sum_dtype
from functrace.numpy.taking import diagonal
from functrace.numpy.ufuncs import numpy_function_with
from functrace.ops import complexes, joining, structural
from functrace.ops.broadcasting import broadcast_to, reduce_sum_p
from functrace.ops.contraction import dot_general_p
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import broadcast_shapes, promote_dtypes
from functrace.ops.structural import move_axis

__all__ = [
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "matvec",
    "multi_dot",
    "outer",
    "tensordot",
    "trace",
    "vdot",
    "vecdot",
    "vecmat",
]

# --- what they share ---------------------------------------------------------------------------

JAX_OPTIONS = ("precision", "preferred_element_type")
"""Keywords that jax.numpy's products have: precision is accepted, products are always exact."""


def product_operands(*xs: Any, dtype: Any = None) -> list[Any]:
    """Return arrays of one dtype: the one given, or what theirs promote to."""
    arrays = promote_dtypes(*(strong(operand(x)) for x in xs))
    return arrays if dtype is None else [convert_element_type(x, dtype) for x in arrays]


def contract(
    a: Any,
    b: Any,
    axes_a: Sequence[int],
    axes_b: Sequence[int],
    batch_a: Sequence[int] = (),
    batch_b: Sequence[int] = (),
) -> Any:
    """Sum of products over pairs of axes: the result has batch axes, those of ``a``, of ``b``."""
    numbers = ((tuple(axes_a), tuple(axes_b)), (tuple(batch_a), tuple(batch_b)))
    return dot_general_p.bind(a, b, dimension_numbers=numbers, preferred_element_type=None)


def conjugate(x: Any) -> Any:
    """Return the complex conjugate; a real array as it is."""
    return complexes.conj(x) if x.dtype.kind == "c" else x


def flatten(x: Any) -> Any:
    """Return the elements in C order."""
    return x if len(x.shape) == 1 else structural.reshape(x, (math.prod(x.shape),))


def _check_same(name: str, a: Any, b: Any, axis_a: int, axis_b: int) -> None:
    if a.shape[axis_a] != b.shape[axis_b]:
        raise ShapeError(
            compose(
                f"{name}: shapes {a.shape} and {b.shape} not aligned: "
                f"{a.shape[axis_a]} (axis {axis_a % len(a.shape)}) != "
                f"{b.shape[axis_b]} (axis {axis_b % len(b.shape)}).",
                "the product sums over these two axes.",
            )
        )


# --- dot, inner, outer, tensordot --------------------------------------------------------------


@numpy_function_with(np.dot, *JAX_OPTIONS)
def dot(
    a: Any,
    b: Any,
    out: None = None,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Sum of products over the last axis of ``a`` and the last but one of ``b``; ``numpy.dot``.

    Example:
        >>> import numpy as np
        >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        np.float64(11.0)
    """
    refuse_out(out, "dot")
    a, b = product_operands(a, b, dtype=preferred_element_type)
    if not a.shape or not b.shape:
        return a * b
    axis = len(b.shape) - 2 if len(b.shape) > 1 else 0
    _check_same("dot", a, b, -1, axis)
    return contract(a, b, (len(a.shape) - 1,), (axis,))


@numpy_function_with(np.inner, *JAX_OPTIONS)
def inner(a: Any, b: Any, /, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Sum of products over the last axes; as ``numpy.inner``.

    Example:
        >>> import numpy as np
        >>> inner(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        np.float64(11.0)
    """
    a, b = product_operands(a, b, dtype=preferred_element_type)
    if not a.shape or not b.shape:
        return a * b
    _check_same("inner", a, b, -1, -1)
    return contract(a, b, (len(a.shape) - 1,), (len(b.shape) - 1,))


@numpy_function(np.outer)
def outer(a: Any, b: Any, out: None = None) -> Any:
    """Matrix of the products of each element of ``a`` with each of ``b``; as ``numpy.outer``.

    Example:
        >>> import numpy as np
        >>> outer(np.array([1, 2]), np.array([3, 4]))
        array([[3, 4],
               [6, 8]])
    """
    refuse_out(out, "outer")
    a, b = product_operands(a, b)
    n, m = math.prod(a.shape), math.prod(b.shape)
    return structural.reshape(a, (n, 1)) * structural.reshape(b, (1, m))


@numpy_function_with(np.vdot, *JAX_OPTIONS)
def vdot(a: Any, b: Any, /, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Dot product of the elements in C order, the first conjugated; as ``numpy.vdot``.

    Example:
        >>> import numpy as np
        >>> vdot(np.array([1j]), np.array([1j]))
        np.complex128(1+0j)
    """
    a, b = product_operands(a, b, dtype=preferred_element_type)
    a, b = flatten(a), flatten(b)
    _check_same("vdot", a, b, 0, 0)
    return contract(conjugate(a), b, (0,), (0,))


@numpy_function_with(np.tensordot, *JAX_OPTIONS)
def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Sum of products over chosen axes; as ``numpy.tensordot``.

    Args:
        a: an array.
        b: an array.
        axes: how many axes, the last of ``a`` and the first of ``b``; or two lists of axes.

    Example:
        >>> import numpy as np
        >>> tensordot(np.ones((2, 3)), np.ones((3, 2)), 1)
        array([[3., 3.],
               [3., 3.]])
    """
    a, b = product_operands(a, b, dtype=preferred_element_type)
    na, nb = len(a.shape), len(b.shape)
    if isinstance(axes, (int, np.integer)):
        axes_a: tuple[int, ...] = tuple(range(na - int(axes), na))
        axes_b: tuple[int, ...] = tuple(range(int(axes)))
    else:
        first, second = axes
        axes_a = normalize_axes(first, na)
        axes_b = normalize_axes(second, nb)
    if len(axes_a) != len(axes_b) or any(
        not 0 <= i < na or not 0 <= j < nb or a.shape[i] != b.shape[j]
        for i, j in zip(axes_a, axes_b)
    ):
        raise ShapeError(
            compose(
                f"shape-mismatch for sum: tensordot of shapes {a.shape} and {b.shape} over "
                f"axes {axes}.",
                "the axes come in pairs of equal size.",
            )
        )
    return contract(a, b, axes_a, axes_b)


# --- matmul and kin ----------------------------------------------------------------------------


def _core_mismatch(name: str, signature: str, axis: int, n: int, m: int) -> ShapeError:
    return ShapeError(
        f"{name}: Input operand 1 has a mismatch in its core dimension {axis}, "
        f"with gufunc signature {signature} (size {n} is different from {m})"
    )


@numpy_function_with(np.matmul, *JAX_OPTIONS)
def matmul(
    x1: Any,
    x2: Any,
    /,
    out: None = None,
    *,
    dtype: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Matrix product over the last two axes, the others broadcast; as ``numpy.matmul``, ``@``.

    Args:
        x1: an array of one axis or more.
        x2: an array of one axis or more.
        out: refused for traced arrays.
        dtype: the dtype to compute in.
        precision: accepted.
        preferred_element_type: JAX's name of ``dtype``.

    Raises:
        ShapeError: an operand has no axis, or the sizes don't fit; a ValueError too.

    Example:
        >>> import numpy as np
        >>> matmul(np.eye(2), np.array([1.0, 2.0]))
        array([1., 2.])
    """
    refuse_out(out, "matmul")
    dtype = dtype if preferred_element_type is None else preferred_element_type
    if not (
        dtype is None
        and isinstance(x1, Tracer | np.ndarray)
        and isinstance(x2, Tracer | np.ndarray)
        and x1.dtype is x2.dtype
    ):
        x1, x2 = product_operands(x1, x2, dtype=dtype)
    return _matmul(x1, x2)


def _matmul(x1: Any, x2: Any) -> Any:
    """Matrix product of arrays of one dtype."""
    n1, n2 = len(x1.shape), len(x2.shape)
    if not n1 or not n2:
        raise ShapeError(
            f"matmul: Input operand {0 if not n1 else 1} does not have enough dimensions "
            "(has 0, gufunc core with signature (n?,k),(k,m?)->(n?,m?) requires 1)"
        )
    row = n2 - 2 if n2 > 1 else 0
    if x1.shape[-1] != x2.shape[row]:
        raise _core_mismatch("matmul", "(n?,k),(k,m?)->(n?,m?)", 0, x2.shape[row], x1.shape[-1])
    if n2 <= 2 or n1 == 1:
        return contract(x1, x2, (n1 - 1,), (row,))
    if n1 == 2:
        return move_axis(contract(x1, x2, (1,), (row,)), 0, n2 - 2)
    return _batched_matmul(x1, x2)


def _batched_matmul(x1: Any, x2: Any) -> Any:
    """Matrix product of two stacks of matrices, the stack axes broadcast."""
    shape1, shape2 = x1.shape, x2.shape
    batch = broadcast_shapes(shape1[:-2], shape2[:-2])
    x1 = broadcast_to(x1, (*batch, *shape1[-2:]))
    x2 = broadcast_to(x2, (*batch, *shape2[-2:]))
    n = len(batch)
    places = tuple(range(n))
    return contract(x1, x2, (n + 1,), (n,), places, places)


@numpy_function(np.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Dot product of vectors along ``axis``, the first conjugated; as ``numpy.vecdot``.

    Example:
        >>> import numpy as np
        >>> vecdot(np.array([[1, 2], [3, 4]]), np.array([1, 1]))
        array([3, 7])
    """
    x1, x2 = product_operands(x1, x2)
    for i, x in enumerate((x1, x2)):
        if not x.shape:
            raise ShapeError(f"vecdot: Input operand {i} does not have enough dimensions")
    x1 = move_axis(x1, normalize_axis(axis, len(x1.shape)), len(x1.shape) - 1)
    x2 = move_axis(x2, normalize_axis(axis, len(x2.shape)), len(x2.shape) - 1)
    if x1.shape[-1] != x2.shape[-1]:
        raise _core_mismatch("vecdot", "(n),(n)->()", 0, x2.shape[-1], x1.shape[-1])
    shape = broadcast_shapes(x1.shape, x2.shape)
    n = len(shape) - 1
    places = tuple(range(n))
    x1, x2 = broadcast_to(conjugate(x1), shape), broadcast_to(x2, shape)
    return contract(x1, x2, (n,), (n,), places, places)


@numpy_function(getattr(np, "matvec", None))
def matvec(x1: Any, x2: Any, /) -> Any:
    """Product of matrices with vectors, stacks of them broadcast; as ``numpy.matvec``."""
    x1, x2 = product_operands(x1, x2)
    column = structural.expand_dims(x2, (len(x2.shape),))
    out = _matmul(x1, column)
    return structural.squeeze(out, (len(out.shape) - 1,))


@numpy_function(getattr(np, "vecmat", None))
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Product of conjugated vectors with matrices, stacks broadcast; as ``numpy.vecmat``."""
    x1, x2 = product_operands(x1, x2)
    row = structural.expand_dims(conjugate(x1), (len(x1.shape) - 1,))
    out = _matmul(row, x2)
    return structural.squeeze(out, (len(out.shape) - 2,))


# --- trace -------------------------------------------------------------------------------------


@numpy_function(np.trace)
def trace(
    a: Any,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Any = None,
    out: None = None,
) -> Any:
    """Sum along a diagonal of two axes; as ``numpy.trace``.

    Example:
        >>> import numpy as np
        >>> trace(np.array([[1, 2], [3, 4]]))
        np.int64(5)
    """
    refuse_out(out, "trace")
    x = diagonal(a, offset, axis1, axis2)
    x = convert_element_type(x, sum_dtype(x.dtype) if dtype is None else dtype)
    return fold(reduce_sum_p, x, (len(x.shape) - 1,))


# --- kron, cross -------------------------------------------------------------------------------


@numpy_function(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Kronecker product: blocks of ``b`` scaled by the elements of ``a``; as ``numpy.kron``.

    Example:
        >>> import numpy as np
        >>> kron(np.array([1, 10]), np.array([1, 2]))
        array([ 1,  2, 10, 20])
    """
    a, b = product_operands(a, b)
    ndim = max(len(a.shape), len(b.shape))
    shape_a = (1,) * (ndim - len(a.shape)) + tuple(a.shape)
    shape_b = (1,) * (ndim - len(b.shape)) + tuple(b.shape)
    wide_a = tuple(n for size in shape_a for n in (size, 1))
    wide_b = tuple(n for size in shape_b for n in (1, size))
    blocks = structural.reshape(a, wide_a) * structural.reshape(b, wide_b)
    return structural.reshape(blocks, tuple(n * m for n, m in zip(shape_a, shape_b)))


@numpy_function(np.cross)
def cross(
    a: Any,
    b: Any,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Any:
    """Cross product of vectors of three elements; as ``numpy.cross``.

    Args:
        a: the first vectors.
        b: the second vectors.
        axisa: the axis of ``a`` that holds the vector.
        axisb: the axis of ``b`` that holds the vector.
        axisc: the axis of the result that holds the vector.
        axis: all three at once.

    Raises:
        ShapeError: the vectors don't have three elements.

    Example:
        >>> import numpy as np
        >>> cross(np.array([1, 0, 0]), np.array([0, 1, 0]))
        array([0, 0, 1])
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = product_operands(a, b)
    a = move_axis(a, normalize_axis(axisa, len(a.shape)), len(a.shape) - 1)
    b = move_axis(b, normalize_axis(axisb, len(b.shape)), len(b.shape) - 1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError(
            compose(
                f"cross of vectors of {a.shape[-1]} and {b.shape[-1]} elements.",
                "traced cross products are those of three dimensions.",
                "append a 0 to vectors of two elements.",
            )
        )
    shape = broadcast_shapes(a.shape, b.shape)
    a, b = broadcast_to(a, shape), broadcast_to(b, shape)
    # (a x b)_k = a_i b_j - a_j b_i; with the parts turned by one, k comes one place early.
    out = _turn(a * _turn(b) - _turn(a) * b)
    return move_axis(out, len(shape) - 1, normalize_axis(axisc, len(shape)))


def _turn(x: Any) -> Any:
    """Turn vectors of three elements by one place to the left."""
    last = len(x.shape) - 1
    zeros, lead, ones = (0,) * last, x.shape[:-1], (1,) * (last + 1)
    rest = joining.slice(x, (*zeros, 1), (*lead, 3), ones)
    first = joining.slice(x, (*zeros, 0), (*lead, 1), ones)
    return joining.concatenate([rest, first], last)


# --- multi_dot ---------------------------------------------------------------------------------


@numpy_function(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: None = None) -> Any:
    """Product of a chain of matrices, in the cheapest order; as ``numpy.linalg.multi_dot``.

    Example:
        >>> import numpy as np
        >>> multi_dot([np.eye(2), np.eye(2), np.ones(2)])
        array([1., 1.])
    """
    refuse_out(out, "linalg.multi_dot")
    xs = product_operands(*arrays)
    if len(xs) < 2:
        raise ValueError("Expecting at least two arrays.")
    first, last = len(xs[0].shape) == 1, len(xs[-1].shape) == 1
    if first:
        xs[0] = structural.expand_dims(xs[0], (0,))
    if last:
        xs[-1] = structural.expand_dims(xs[-1], (1,))
    for x in xs:
        if len(x.shape) != 2:
            raise np.linalg.LinAlgError(
                f"{len(x.shape)}-dimensional array given. Array must be two-dimensional"
            )
    result = _chain(xs, chain_order([xs[0].shape[0], *(x.shape[1] for x in xs)]), 0, len(xs) - 1)
    squeezed = (0,) * first + (1,) * last
    return structural.squeeze(result, squeezed) if squeezed else result


def chain_order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return where to split each part of a chain of matrices so that it costs least."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = (
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
            cost[i, j], split[i, j] = min(options)
    return split


def _chain(xs: Sequence[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return xs[i]
    k = split[i, j]
    return dot(_chain(xs, split, i, k), _chain(xs, split, k + 1, j))
