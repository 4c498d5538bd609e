"""What the public transformations share: argument handling, ownership of results, checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.core.arguments import argument_leaf
from functrace.core.aval import ShapedArray, is_array_like, is_python_number, typeof
from functrace.dtypes import float0, is_inexact
from functrace.errors import DTypeError, ShapeError, compose
from functrace.ops.creation import convert_element_type, zeros_like_aval
from functrace.source_info import describe_function

__all__ = [
    "Owner",
    "cast_like",
    "given_tangent",
    "leaf_place",
    "normalize_argnums",
    "output_type",
    "strong_type",
    "transformation_name",
    "zero_gradient",
]

_PYTHON = (bool, int, float, complex)


def normalize_argnums(
    argnums: int | Sequence[int], count: int, what: str, fun: Any
) -> tuple[int, ...]:
    """Return the positions ``argnums`` names, counted from 0.

    Raises:
        ValueError: a position is out of range, or named twice.
    """
    if argnums == 0 and count and type(argnums) is int:
        return (0,)  # the usual case
    try:
        numbers = (argnums,) if isinstance(argnums, (int, np.integer)) else tuple(argnums)
        numbers = tuple(n.__index__() for n in numbers)
    except (TypeError, AttributeError):
        raise TypeError(
            f"{what}: argnums must be an integer or a sequence of integers, not {argnums!r}."
        ) from None
    result = tuple(n + count if n < 0 else n for n in numbers)
    if any(not 0 <= n < count for n in result) or len(set(result)) != len(result):
        raise ValueError(
            compose(
                f"{what} of {describe_function(fun)}: argnums={argnums} doesn't fit a call with "
                f"{count} positional argument{'s' * (count != 1)}.",
                then="argnums counts positional arguments from 0; pass differentiated arguments "
                "by position.",
            )
        )
    return result


def leaf_place(argnum: int, path: Any) -> str:
    """Return how a message names a leaf of a positional argument: ``argument 1['w']``."""
    return f"argument {argnum}{tree.keystr(path)}"


class Owner:
    """Hands out results that share memory with nothing the caller can see."""

    __slots__ = ("taken",)

    def __init__(self, *groups: Sequence[Any]) -> None:
        self.taken = {id(value) for group in groups for value in group}

    def own(self, value: Any) -> Any:
        """Return a computed value: NumPy scalars for 0-d, a fresh writable array otherwise."""
        if type(value) is np.ndarray:
            if value.ndim == 0:
                return value[()]
            if value.base is not None or id(value) in self.taken or not value.flags.writeable:
                value = value.copy()
            self.taken.add(id(value))
        return value

    def own_foreign(self, value: Any) -> Any:
        """Return a value the function returned untraced: arrays are always copied."""
        if type(value) is np.ndarray:
            return value.copy() if value.ndim else value[()]
        if is_python_number(value):
            return np.asarray(value)[()]
        return value


def zero_gradient(aval: ShapedArray) -> Any:
    """Return the gradient of a value nothing depends on."""
    if is_inexact(aval.dtype):
        return zeros_like_aval(aval)
    return np.zeros(aval.shape, float0)


def cast_like(value: Any, aval: ShapedArray, what: str, where: str) -> Any:
    """Return a given tangent or cotangent as the type of the value it belongs to.

    Python numbers and other real dtypes are cast; a Python number stands for every element
    only when the value is 0-d.

    Raises:
        ShapeError: the shapes differ.
        DTypeError: it isn't numeric, or is complex where the value is real.
    """
    if not is_array_like(value) and not hasattr(value, "__array__"):
        raise DTypeError(f"{what} {where} is {value!r}, not an array of type {aval}.")
    leaf = argument_leaf(value, lambda: f"{what} {where}").value
    if leaf.shape != aval.shape:
        raise ShapeError(
            compose(
                f"{what} {where} has shape {leaf.shape}.",
                f"the value it belongs to has shape {aval.shape}.",
                f"a {what} of that shape (np.ones_like, np.broadcast_to).",
            )
        )
    if leaf.dtype == aval.dtype:
        return leaf
    if leaf.dtype.kind == "c" and aval.dtype.kind != "c":
        raise DTypeError(
            compose(
                f"{what} {where} has dtype {leaf.dtype}.",
                f"the value it belongs to is real, of dtype {aval.dtype}.",
                "its real part.",
            )
        )
    return convert_element_type(leaf, aval.dtype)


def strong_type(value: Any) -> ShapedArray:
    """Return the abstract value without weakness."""
    return typeof(value).strong()


def output_type(value: Any, name: str) -> ShapedArray:
    """Return the type of an output of the user's function."""
    return typeof(argument_leaf(value, lambda: f"the output of {name}").value)


def given_tangent(tangent: Any, primal: Any, place: str) -> Any:
    """Return a tangent as the type of its primal; None for integers, which don't move."""
    aval = strong_type(primal)
    if not is_inexact(aval.dtype):
        if getattr(tangent, "dtype", None) == float0 or not np.any(np.asarray(tangent)):
            return None
        raise DTypeError(
            compose(
                f"jvp: the tangent at {place} has a value, its primal has dtype {aval.dtype}.",
                "integers and booleans don't move.",
                "np.zeros(shape, functrace.dtypes.float0), or a float primal.",
            )
        )
    return cast_like(tangent, aval, "tangent", f"at {place} in jvp")


def transformation_name(what: str, fun: Any) -> str:
    return f"{what}({getattr(fun, '__name__', type(fun).__name__)})"
