"""Abstract values: what is known of an array while its values are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.dtypes import (
    PYTHON_SCALARS,
    canonical_dtype,
    check_supported,
    python_scalar_dtype,
    short_name,
    tangent_dtype,
)
from functrace.errors import DTypeError, compose

__all__ = [
    "ShapeDtypeStruct",
    "ShapedArray",
    "dtype_of",
    "fellow_dtype",
    "is_array_like",
    "is_python_number",
    "shape_of",
    "typeof",
]

Shape = tuple[int, ...]


class ShapedArray:
    """The shape, the dtype and the weakness of an array.

    A weak array came from Python numbers only and gives way in promotion (NEP 50).
    """

    __slots__ = ("dtype", "shape", "weak_type")

    def __init__(self, shape: Shape, dtype: np.dtype[Any], weak_type: bool = False) -> None:
        self.shape = shape
        self.dtype = dtype
        self.weak_type = weak_type

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    def strong(self) -> ShapedArray:
        """Return the same, not weak."""
        return ShapedArray(self.shape, self.dtype) if self.weak_type else self

    def tangent(self) -> ShapedArray:
        """Return the abstract value of this one's tangents."""
        return ShapedArray(self.shape, tangent_dtype(self.dtype))

    def update(self, **changes: Any) -> ShapedArray:
        """Return a copy with some attributes changed."""
        fields = {"shape": self.shape, "dtype": self.dtype, "weak_type": self.weak_type}
        return ShapedArray(**{**fields, **changes})

    def same_type(self, other: ShapedArray) -> bool:
        """Tell whether shape and dtype agree; weakness aside."""
        return self.shape == other.shape and self.dtype == other.dtype

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ShapedArray)
            and self.shape == other.shape
            and self.dtype == other.dtype
            and self.weak_type == other.weak_type
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __str__(self) -> str:
        shape = ",".join(str(n) for n in self.shape)
        return f"{short_name(self.dtype)}[{shape}]"

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapedArray({self}{weak})"


class ShapeDtypeStruct:
    """A stand-in for an array, of which only the shape and the dtype are known.

    Example:
        >>> ShapeDtypeStruct((2, 3), "float32")
        ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """

    __slots__ = ("dtype", "shape", "weak_type")

    def __init__(self, shape: Any, dtype: Any, *, weak_type: bool = False) -> None:
        if dtype is None:
            raise DTypeError(compose("ShapeDtypeStruct needs a dtype; it was given None."))
        self.shape: Shape = tuple(int(n) for n in shape)
        self.dtype = canonical_dtype(dtype)
        self.weak_type = weak_type

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return ShapedArray(self.shape, self.dtype).size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a ShapeDtypeStruct without axes")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and (
            (self.shape, self.dtype, self.weak_type) == (other.shape, other.dtype, other.weak_type)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype}{weak})"


_python_avals = {kind: ShapedArray((), python_scalar_dtype(kind), True) for kind in PYTHON_SCALARS}


def typeof(value: Any) -> ShapedArray:
    """Return the abstract value of an array, a NumPy scalar, a Python number or a tracer."""
    kind = type(value)
    if kind is np.ndarray or isinstance(value, np.generic):
        return ShapedArray(value.shape, check_supported(value.dtype, "an array"))
    weak = _python_avals.get(kind)
    if weak is not None:
        return weak
    aval = getattr(value, "aval", None)
    if isinstance(aval, ShapedArray):
        return aval
    if isinstance(value, ShapeDtypeStruct):
        return ShapedArray(value.shape, check_supported(value.dtype, repr(value)), value.weak_type)
    if isinstance(value, np.ndarray):
        return ShapedArray(value.shape, check_supported(value.dtype, "an array"))
    for python_kind in PYTHON_SCALARS:
        if isinstance(value, python_kind):
            return _python_avals[python_kind]
    raise DTypeError(
        compose(
            f"{value!r} of type {kind.__name__} is not an array.",
            "functrace traces ndarrays, NumPy scalars and Python numbers, in any pytree.",
            "convert it with np.asarray, register its class as a pytree, or mark it static.",
        )
    )


def is_array_like(value: Any) -> bool:
    """Tell whether ``typeof`` would accept the value."""
    return isinstance(value, (np.ndarray, np.generic, *PYTHON_SCALARS)) or isinstance(
        getattr(value, "aval", None), ShapedArray
    )


def shape_of(value: Any) -> Shape:
    """Return the shape of an array, a number or a tracer; quick."""
    try:
        shape: Shape = value.shape
    except AttributeError:
        return ()
    return shape


def dtype_of(value: Any) -> np.dtype[Any]:
    """Return the dtype of an array, a number or a tracer; quick."""
    try:
        dtype: np.dtype[Any] = value.dtype
    except AttributeError:
        return typeof(value).dtype
    return dtype


def is_python_number(value: Any) -> bool:
    """Tell whether a value is a plain Python number; NumPy's scalars aren't, though subclasses."""
    return type(value) in PYTHON_SCALARS


def fellow_dtype(operands: Sequence[Any]) -> np.dtype[Any] | None:
    """Return the dtype a Python number takes beside other operands of an element-wise primitive.

    It is that of the last operand that isn't boolean (``select_n(mask, x, 0.0)``).
    """
    found = None
    for operand in reversed(operands):
        if not is_python_number(operand):
            dtype: np.dtype[Any] = operand.dtype
            if dtype.kind != "b":
                return dtype
            found = found or dtype
    return found
