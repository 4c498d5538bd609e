"""NumPy's own functions on traced arrays: fills the tables that tracers look in.

``np.sin(x)`` reaches a tracer's ``__array_ufunc__``, ``np.stack([x, y])`` its
``__array_function__``; both find functrace's function of the same name here.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from functrace.errors import InPlaceUpdateError, compose
from functrace.numpy.dispatching import operand
from functrace.numpy.indexing import getitem
from functrace.numpy.taking import compress
from functrace.ops import dispatch
from functrace.ops.dispatch import NAMESPACE

__all__ = ["install"]


def traced_version(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of functrace.numpy without its search for tracers."""
    return getattr(function, "__wrapped__", function)


# --- methods of ufuncs -------------------------------------------------------------------------

_REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "fmax": "nanmax",
    "fmin": "nanmin",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATIONS = {"add": "cumsum", "multiply": "cumprod"}


def _reduce(name: str) -> Callable[..., Any]:
    def reduce(
        array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, **options: Any
    ) -> Any:
        if dtype is not None and name in ("sum", "prod"):
            options["dtype"] = dtype
        return getattr(NAMESPACE, name)(array, axis=axis, **options)

    reduce.__doc__ = f"``{name}`` of an array, along the first axis by default."
    return reduce


def _accumulate(name: str) -> Callable[..., Any]:
    def accumulate(array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        return getattr(NAMESPACE, name)(array, axis=axis, dtype=dtype)

    accumulate.__doc__ = f"``{name}`` of an array, along the first axis by default."
    return accumulate


def _outer(ufunc: np.ufunc) -> Callable[..., Any]:
    def outer(a: Any, b: Any, **options: Any) -> Any:
        x, y = operand(a), operand(b)
        wide = x.reshape(x.shape + (1,) * y.ndim)
        return ufunc(wide, y, **options)

    outer.__doc__ = f"``{ufunc.__name__}`` of every pair of elements."
    return outer


def _refuse_at(ufunc: np.ufunc) -> Callable[..., Any]:
    method = {"add": "add", "subtract": "subtract", "multiply": "multiply"}.get(
        ufunc.__name__, "set"
    )

    def at(*args: Any, **options: Any) -> Any:
        raise InPlaceUpdateError(
            compose(
                f"numpy.{ufunc.__name__}.at(x, index, values) with a traced argument.",
                "it changes x in place.",
                f"x = functrace.numpy.at(x)[index].{method}(values)",
            )
        )

    return at


def _binary_ufuncs() -> list[np.ufunc]:
    return [u for u in dispatch.UFUNCS if u.nin == 2 and u.nout == 1 and u.signature is None]


def _fill_methods() -> None:
    for name, target in _REDUCTIONS.items():
        dispatch.UFUNC_METHODS[getattr(np, name), "reduce"] = _reduce(target)
    for name, target in _ACCUMULATIONS.items():
        dispatch.UFUNC_METHODS[getattr(np, name), "accumulate"] = _accumulate(target)
    for ufunc in _binary_ufuncs():
        dispatch.UFUNC_METHODS[ufunc, "outer"] = _outer(ufunc)
    for ufunc in dispatch.UFUNCS:
        dispatch.UFUNC_METHODS[ufunc, "at"] = _refuse_at(ufunc)


# --- the tables --------------------------------------------------------------------------------

_IN_PLACE = ("copyto", "place", "put", "putmask")


def _refuse_in_place(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise InPlaceUpdateError(
            compose(
                f"numpy.{name} with a traced argument.",
                "it changes an array in place.",
                "x = functrace.numpy.at(x)[index].set(values), or functrace.numpy.where.",
            )
        )

    return refuse


def _fill(module: Any, original: Any) -> None:
    """Pair the functions of one of NumPy's modules with ours of the same names."""
    for name in module.__all__:
        ours, theirs = getattr(module, name), getattr(original, name, None)
        if not callable(ours) or isinstance(ours, type) or theirs is None or ours is theirs:
            continue
        if isinstance(theirs, np.ufunc):
            dispatch.UFUNCS[theirs] = traced_version(ours)
        elif hasattr(theirs, "__wrapped__") or not isinstance(theirs, type):
            dispatch.ARRAY_FUNCTIONS[theirs] = traced_version(ours)


def _compress_method(x: Any, condition: Any, axis: Any = None, out: Any = None) -> Any:
    """As the method, whose array comes first."""
    return compress(condition, x, axis, out)


def install(module: ModuleType) -> None:
    """Fill the tables from ``functrace.numpy``, which calls this when it is complete."""
    _fill(module, np)
    linalg = getattr(module, "linalg", None)
    if linalg is not None:
        _fill(linalg, np.linalg)
    for name in _IN_PLACE:
        dispatch.ARRAY_FUNCTIONS[getattr(np, name)] = _refuse_in_place(name)
    _fill_methods()
    for name in module.__all__:
        function = getattr(module, name)
        if isinstance(getattr(np, name, None), np.ufunc):
            function = traced_version(function)  # operators have a tracer
        setattr(NAMESPACE, name, function)
    NAMESPACE.getitem = getitem
    NAMESPACE.flatten = module.ravel
    NAMESPACE.compress = _compress_method
    NAMESPACE.module = module
