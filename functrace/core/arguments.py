"""What a user may pass: leaves of arguments become tracers, arrays or NumPy scalars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from functrace import tree
from functrace.core.trace import Tracer
from functrace.dtypes import check_supported
from functrace.errors import DTypeError, StructureError, compose

__all__ = ["Leaf", "argument_leaf", "check_same_structure", "flat_values", "require_callable"]

_PYTHON = (bool, int, float, complex)


def require_callable(fun: Any, what: str) -> None:
    """Raise unless ``fun`` can be called."""
    if not callable(fun):
        raise TypeError(
            compose(
                f"{what} takes a function; it was given {fun!r} of type {type(fun).__name__}.",
                then=f"{what}(f)(x) instead of {what}(f(x)).",
            )
        )


class Leaf(NamedTuple):
    """A leaf of an argument as an array or a tracer, and whether it was a Python number."""

    value: Any
    weak: bool


def argument_leaf(value: Any, where: Callable[[], str]) -> Leaf:
    """Turn a leaf into what transformations work on: a tracer, an ndarray or a NumPy scalar.

    Raises:
        DTypeError: it is no array, or one of an unsupported dtype; ``where()`` names it.
    """
    if isinstance(value, Tracer):
        return Leaf(value, value.weak_type)
    kind = type(value)
    if kind is np.ndarray or isinstance(value, np.generic):
        if not value.dtype.isnative or value.dtype.kind not in "fciub":
            check_supported(value.dtype, where())
            value = np.asarray(value, value.dtype.newbyteorder("="))
        return Leaf(value if value.ndim else value[()], False)
    if kind in _PYTHON or isinstance(value, _PYTHON):
        return Leaf(np.asarray(value)[()], True)
    if hasattr(value, "__array__") or isinstance(value, np.ndarray):
        array = np.asarray(value)
        check_supported(array.dtype, where())
        return Leaf(array if array.ndim else array[()], False)
    raise DTypeError(
        compose(
            f"{where()} is {value!r} of type {kind.__name__}, not an array.",
            "functrace works on ndarrays, NumPy scalars and Python numbers, in any pytree.",
            "convert it with np.asarray, register its class as a pytree, or don't make it a "
            "traced argument (argnums, in_axes, static_argnums, or a closure).",
        )
    )


def flat_values(value: Any, place: str) -> tuple[list[Any], Any]:
    """Return the leaves of a tree of the user's as tracers and arrays, and its structure.

    Raises:
        DTypeError: a leaf is no array; the message calls it ``place``.
    """
    leaves, treedef = tree.flatten(value)
    return [argument_leaf(v, lambda: place).value for v in leaves], treedef


def check_same_structure(given: Any, wanted: Any, what: str) -> None:
    """Raise unless two structures agree.

    Raises:
        StructureError: with both structures.
    """
    if given != wanted:
        raise StructureError(
            compose(
                f"{what} has structure {given}.",
                f"it must have the structure {wanted}.",
                "the same containers, keys and lengths.",
            )
        )
