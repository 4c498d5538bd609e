"""Arrays from nothing, and dtype conversion: full, iota, convert_element_type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, dtype_of, is_python_number
from functrace.core.lowering import Elementwise, Indexed
from functrace.core.trace import Primitive
from functrace.dtypes import canonical_dtype, is_inexact
from functrace.errors import ShapeError

__all__ = ["convert_element_type", "full", "iota", "zeros_like_aval"]

# --- convert_element_type ----------------------------------------------------------------------

convert_element_type_p = Primitive("convert_element_type", elementwise=True)


@convert_element_type_p.def_impl
def _convert_impl(x: Any, *, new_dtype: np.dtype[Any]) -> Any:
    if x.dtype == new_dtype:
        return x
    if x.dtype.kind == "c" and new_dtype.kind != "c" and new_dtype.kind != "b":
        x = x.real
    return x.astype(new_dtype)


@convert_element_type_p.def_abstract_eval
def _convert_type(x: ShapedArray, *, new_dtype: np.dtype[Any]) -> ShapedArray:
    return ShapedArray(x.shape, new_dtype)


@convert_element_type_p.def_jvp
def _convert_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, new_dtype: np.dtype[Any]
) -> Any:
    (x,), (t,) = primals, tangents
    out = convert_element_type(x, new_dtype)
    return out, convert_element_type(t, new_dtype) if is_inexact(new_dtype) else None


@convert_element_type_p.def_transpose
def _convert_transpose(ct: Any, x: Any, *, new_dtype: np.dtype[Any]) -> Any:
    return [convert_element_type(ct, x.dtype)]


@convert_element_type_p.def_batching
def _convert_batching(size: int, args: Sequence[Any], dims: Sequence[int], **params: Any) -> Any:
    return convert_element_type_p.bind(args[0], **params), dims[0]


convert_element_type_p.def_lowering(Elementwise(lambda b, x, new_dtype: b.cast(x, new_dtype)))


def convert_element_type(x: Any, new_dtype: Any) -> Any:
    """Convert to another dtype as ``astype`` does; a complex operand drops its imaginary part."""
    dtype = canonical_dtype(new_dtype)
    if is_python_number(x):
        return _convert_impl(np.asarray(x), new_dtype=dtype)[()]
    if dtype_of(x) == dtype:
        return x
    return convert_element_type_p.bind(x, new_dtype=dtype)


# --- full --------------------------------------------------------------------------------------

full_p = Primitive("full", not_differentiable="it has no operand")


@full_p.def_impl
def _full_impl(*, shape: tuple[int, ...], fill_value: Any, dtype: np.dtype[Any]) -> Any:
    return np.full(shape, fill_value, dtype)[()]


@full_p.def_abstract_eval
def _full_type(*, shape: tuple[int, ...], fill_value: Any, dtype: np.dtype[Any]) -> ShapedArray:
    return ShapedArray(shape, dtype)


@full_p.def_batching
def _full_batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
    # Without operands nothing is ever mapped; one lane serves all.
    return full_p.bind(**params), None


full_p.def_lowering(
    Indexed(
        lambda b, idx, operands, avals_in, aval_out, *, shape, fill_value, dtype: b.const(
            np.asarray(fill_value).astype(dtype)[()], dtype
        )
    )
)


def full(shape: Sequence[int], fill_value: Any, dtype: Any) -> Any:
    """An array of one Python or NumPy number repeated."""
    return full_p.bind(shape=tuple(shape), fill_value=fill_value, dtype=canonical_dtype(dtype))


def zeros_like_aval(aval: ShapedArray) -> Any:
    """Zeros of a type; the instance of a symbolic zero."""
    return full(aval.shape, 0, aval.dtype)


# --- iota --------------------------------------------------------------------------------------

iota_p = Primitive("iota", not_differentiable="it has no operand")


@iota_p.def_impl
def _iota_impl(*, dtype: np.dtype[Any], shape: tuple[int, ...], dimension: int) -> Any:
    line = np.arange(shape[dimension]).astype(dtype)
    if len(shape) == 1:
        return line
    return np.broadcast_to(line.reshape((-1,) + (1,) * (len(shape) - 1 - dimension)), shape)


@iota_p.def_abstract_eval
def _iota_type(*, dtype: np.dtype[Any], shape: tuple[int, ...], dimension: int) -> ShapedArray:
    if not 0 <= dimension < len(shape):
        raise ShapeError(f"iota: shape {shape} has no axis {dimension}.")
    return ShapedArray(shape, dtype)


@iota_p.def_batching
def _iota_batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
    # Without operands nothing is ever mapped; one lane serves all.
    return iota_p.bind(**params), None


iota_p.def_lowering(
    Indexed(
        lambda b, idx, operands, avals_in, aval_out, *, dtype, shape, dimension: b.cast(
            idx[dimension], dtype
        )
    )
)


def iota(dtype: Any, shape: Sequence[int] | int, dimension: int = 0) -> Any:
    """The index along one axis, at every place of ``shape``: 0, 1, 2, ..."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return iota_p.bind(dtype=canonical_dtype(dtype), shape=sizes, dimension=dimension)
