"""Families of primitives: constructors that fill in the rules a whole family shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray
from functrace.core.lowering import Lowering, Reduction
from functrace.core.trace import Primitive
from functrace.errors import DTypeError, ShapeError, compose

__all__ = [
    "ANY",
    "BITS",
    "COMPLEX",
    "FLOATING",
    "INEXACT",
    "NUMERIC",
    "ORDERED",
    "REAL",
    "binary",
    "check_dtypes",
    "comparison",
    "nary",
    "reduction",
    "unary",
]

FLOATING = "f"
COMPLEX = "c"
INEXACT = "fc"
REAL = "iuf"
NUMERIC = "iufc"
ORDERED = "biuf"
BITS = "biu"
ANY = "biufc"

_KIND_NAMES = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}

OutDtype = Callable[..., np.dtype[Any]]


def check_dtypes(name: str, dtypes: str, avals: Sequence[ShapedArray]) -> None:
    """Raise unless all operands have one dtype, of one of the kinds in ``dtypes``."""
    first = avals[0].dtype
    for aval in avals:
        if aval.dtype.kind not in dtypes:
            accepted = ", ".join(_KIND_NAMES[k] for k in dtypes)
            raise DTypeError(
                compose(
                    f"{name} got an operand of type {aval}.",
                    f"it is defined for {accepted}.",
                    "convert the operand with .astype(...).",
                )
            )
        if aval.dtype != first:
            types = ", ".join(map(str, avals))
            raise DTypeError(
                compose(
                    f"{name} got operands of types {types}.",
                    "primitives are strict: their operands have one dtype.",
                    "functrace.numpy or an operator, which promote; or lax.convert_element_type.",
                )
            )


def elementwise_shape(name: str, avals: Sequence[ShapedArray]) -> tuple[int, ...]:
    """Return the shape of element-wise operands: all the same, or 0-d."""
    shape: tuple[int, ...] = ()
    for aval in avals:
        if aval.shape == shape or aval.shape == ():
            continue
        if shape != ():
            types = ", ".join(map(str, avals))
            raise ShapeError(
                compose(
                    f"{name} got operands of types {types}.",
                    "primitives are strict: operands have equal shapes, or none.",
                    "functrace.numpy or an operator, which broadcast; or lax.broadcast_in_dim.",
                )
            )
        shape = aval.shape
    return shape


def nary(
    name: str,
    impl: Callable[..., Any],
    dtypes: str,
    lowering: Lowering,
    *,
    out_dtype: OutDtype | None = None,
    not_differentiable: str | None = None,
    not_linear: str | None = None,
) -> Primitive:
    """Return an element-wise primitive: impl, type, batching and lowering are filled in.

    Args:
        name: the primitive's name.
        impl: the NumPy function it is.
        dtypes: the dtype kinds of the operands, which agree.
        lowering: what it is in a kernel.
        out_dtype: the result's dtype from the operands' dtypes and the parameters; the first's
            without it.
        not_differentiable: why it has no derivative.
        not_linear: why it has no transpose.
    """
    primitive = Primitive(
        name, elementwise=True, not_differentiable=not_differentiable, not_linear=not_linear
    )
    primitive.def_impl(impl)

    @primitive.def_abstract_eval
    def abstract_eval(*avals: ShapedArray, **params: Any) -> ShapedArray:
        check_dtypes(name, dtypes, avals)
        shape = elementwise_shape(name, avals)
        dtype = avals[0].dtype
        if out_dtype is not None:
            dtype = out_dtype(*(a.dtype for a in avals), **params)
        return ShapedArray(shape, dtype)

    @primitive.def_batching
    def batching(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        # The engine has aligned the operands: mapped axes first, shapes equal or 0-d.
        return primitive.bind(*args, **params), next(d for d in dims if d is not None)

    primitive.def_lowering(lowering)
    return primitive


def unary(
    name: str, impl: Callable[..., Any], dtypes: str, lowering: Lowering, **options: Any
) -> Primitive:
    """Return an element-wise primitive of one operand; see ``nary``."""
    return nary(name, impl, dtypes, lowering, **options)


def binary(
    name: str, impl: Callable[..., Any], dtypes: str, lowering: Lowering, **options: Any
) -> Primitive:
    """Return an element-wise primitive of two operands of one dtype; see ``nary``."""
    return nary(name, impl, dtypes, lowering, **options)


def _boolean(*_: Any, **__: Any) -> np.dtype[Any]:
    return np.dtype(np.bool_)


def comparison(name: str, impl: Callable[..., Any], dtypes: str, lowering: Lowering) -> Primitive:
    """Return an element-wise primitive with a boolean result."""
    return nary(
        name, impl, dtypes, lowering, out_dtype=_boolean, not_differentiable="boolean output"
    )


def reduction(
    name: str,
    impl: Callable[..., Any],
    dtypes: str,
    lowering: Reduction,
    *,
    not_differentiable: str | None = None,
    not_linear: str | None = None,
) -> Primitive:
    """Return a primitive that folds the axes in the parameter ``axes`` away; dtype is kept."""
    primitive = Primitive(name, not_differentiable=not_differentiable, not_linear=not_linear)
    primitive.def_impl(impl)

    @primitive.def_abstract_eval
    def abstract_eval(aval: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
        check_dtypes(name, dtypes, [aval])
        if len(set(axes)) != len(axes) or not all(0 <= a < aval.ndim for a in axes):
            raise ShapeError(f"{name}: axes {axes} don't fit an operand of type {aval}.")
        shape = tuple(n for i, n in enumerate(aval.shape) if i not in axes)
        return ShapedArray(shape, aval.dtype)

    @primitive.def_batching
    def batching(
        size: int, args: Sequence[Any], dims: Sequence[int], *, axes: tuple[int, ...]
    ) -> Any:
        dim = dims[0]
        moved = tuple(a + (a >= dim) for a in axes)
        out_dim = dim - sum(a < dim for a in moved)
        return primitive.bind(args[0], axes=moved), out_dim

    primitive.def_lowering(lowering)
    return primitive


def kept_axes(ndim: int, axes: Sequence[int]) -> tuple[int, ...]:
    """Return the axes that a reduction over ``axes`` keeps."""
    return tuple(i for i in range(ndim) if i not in axes)
