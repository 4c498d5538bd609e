"""Ufuncs: their options, and operands of the dtypes of the loop that NumPy would run.

A traced ufunc takes its operands alone; the decorator deals with ``dtype``, ``where``, ``out``...
The loop is asked of NumPy itself (``ufunc.resolve_dtypes``): dtypes are NEP 50's by construction.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from functrace.core.trace import Tracer
from functrace.errors import DTypeError, compose
from functrace.numpy.dispatching import has_tracer, refuse_out
from functrace.ops.creation import convert_element_type
from functrace.ops.promotion import as_array, broadcast_arrays

__all__ = ["inexact", "loop_operands", "numpy_function_with", "operands", "ufunc_function"]

F = TypeVar("F", bound=Callable[..., Any])


def numpy_function_with(original: Callable[..., Any], *extras: str) -> Callable[[F], F]:
    """Return a decorator like ``numpy_function``, for a function with keywords NumPy's lacks.

    With one of the keywords ``extras`` the traced version runs on plain arrays as well.
    """

    def decorate(traced: F) -> F:
        @functools.wraps(traced)
        def function(*args: Any, **kwargs: Any) -> Any:
            if has_tracer(args) or has_tracer(tuple(kwargs.values())):
                return traced(*args, **kwargs)
            for name in extras:
                if kwargs.get(name) is not None:
                    return traced(*args, **kwargs)
                kwargs.pop(name, None)
            return original(*args, **kwargs)

        return cast(F, function)

    return decorate


def ufunc_function(original: np.ufunc) -> Callable[[F], F]:
    """Return a decorator for the traced version of a ufunc, which takes the operands alone.

    The options all ufuncs have (``dtype``, ``casting``, ``where``, ``out``, ...) are handled here.
    """

    def decorate(traced: F) -> F:
        @functools.wraps(traced)
        def with_options(*args: Any, **options: Any) -> Any:
            return _apply(original, traced, args, options) if options else traced(*args)

        @functools.wraps(traced)
        def function(*args: Any, **options: Any) -> Any:
            for arg in args:
                if isinstance(arg, Tracer):
                    return with_options(*args, **options)
            if has_tracer(args) or (options and has_tracer(tuple(options.values()))):
                return with_options(*args, **options)
            return original(*args, **options)

        function.__wrapped__ = with_options
        function.__signature__ = _signature(traced)  # type: ignore[attr-defined]
        return cast(F, function)

    return decorate


_OPTIONS = [
    inspect.Parameter("out", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None),
    *(
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in {
            "where": True,
            "casting": "same_kind",
            "order": "K",
            "dtype": None,
            "subok": True,
        }.items()
    ),
]


def _signature(traced: Callable[..., Any]) -> inspect.Signature:
    own = inspect.signature(traced)
    return own.replace(parameters=[*own.parameters.values(), *_OPTIONS])


def _apply(
    ufunc: np.ufunc, traced: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """Call a traced ufunc with options: ``dtype`` picks the loop, the layout ones don't matter."""
    if options.get("out") is not None or len(args) > ufunc.nin:
        refuse_out(options.get("out", args[-1]), ufunc.__name__)
    where = options.get("where", True)
    if where is not True:
        raise TypeError(
            compose(
                f"numpy.{ufunc.__name__}(..., where=mask) on a traced array.",
                "the elements where the mask is False would have no value without out=.",
                f"functrace.numpy.where(mask, numpy.{ufunc.__name__}(...), other)",
            )
        )
    dtype = options.get("dtype")
    if dtype is None:
        return traced(*args)
    values = [as_array(a) for a in args]
    signature = (*(None,) * ufunc.nin, *(np.dtype(dtype),) * ufunc.nout)
    loop = ufunc.resolve_dtypes(
        (*map(_entry, values), *(None,) * ufunc.nout),
        signature=signature,
        casting=options.get("casting", "same_kind"),
    )
    result = traced(*(_convert(v, d) for v, d in zip(values, loop)))
    return result if isinstance(result, tuple) else convert_element_type(result, loop[-1])


# --- operands of strict primitives -------------------------------------------------------------


def _entry(x: Any) -> Any:
    """Return what NumPy's type resolution wants of a value: a Python type for a weak one."""
    kind = type(x)
    if kind is float or kind is int or kind is complex:
        return kind
    if kind is bool:
        return _BOOL
    if isinstance(x, Tracer) and x.weak_type:
        return _WEAK_TYPES[x.dtype.kind]
    return x.dtype


_BOOL = np.dtype(np.bool_)
_WEAK_TYPES = {"i": int, "f": float, "c": complex, "b": _BOOL}


@functools.cache
def _loop_dtypes(ufunc: np.ufunc, entries: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    if all(isinstance(e, type) for e in entries):
        entries = tuple(map(np.dtype, entries))  # of Python numbers alone NumPy may pick objects
    try:
        return ufunc.resolve_dtypes((*entries, *(None,) * ufunc.nout))
    except TypeError as error:
        raise DTypeError(str(error)) from None


def loop_operands(ufunc: np.ufunc, *xs: Any) -> list[Any]:
    """Return operands of the dtypes of the loop NumPy picks, broadcast to one shape or 0-d.

    Raises:
        DTypeError: the ufunc has no loop for them, in NumPy's words.
        ShapeError: they don't broadcast, in NumPy's words.
    """
    values = [as_array(x) for x in xs]
    loop = _loop_dtypes(ufunc, tuple(map(_entry, values)))
    converted = [_convert(v, d) for v, d in zip(values, loop)]
    return broadcast_arrays(*converted) if len(converted) > 1 else converted


def _convert(x: Any, dtype: np.dtype[Any]) -> Any:
    if type(x) is int and dtype.kind in "iu":
        return dtype.type(x)  # raises OverflowError when it doesn't fit, as NumPy does
    return convert_element_type(x, dtype)


def operands(ufunc: np.ufunc, x: Any, y: Any) -> Any:
    """Return two operands as a strict primitive wants them; quick when they are so already."""
    try:
        dtype = x.dtype
        if y.dtype is dtype and dtype.kind in "iufc":
            a, b = x.shape, y.shape
            if a == b or not a or not b:
                return x, y
    except AttributeError:
        if isinstance(x, Tracer) and type(y) in _NUMBERS and x.dtype.kind == "f":
            return x, x.dtype.type(y)
        if isinstance(y, Tracer) and type(x) in _NUMBERS and y.dtype.kind == "f":
            return y.dtype.type(x), y
    return loop_operands(ufunc, x, y)


_NUMBERS = (float, int)


def inexact(ufunc: np.ufunc, x: Any) -> Any:
    """Return the operand of a floating-point ufunc: integers go to the loop NumPy picks."""
    if isinstance(x, Tracer) and x.dtype.kind == "f":
        return x
    return loop_operands(ufunc, x)[0]
