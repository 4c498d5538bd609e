"""What the functions that draw share: checks, the shape of the result, one compiled program.

``@sampler()`` makes a public function of a body that knows only its formula: the body gets a packed
key, parameters of the result's dtype that are 0-d or have its shape, the shape and the dtype.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from functrace import lax
from functrace.control.jit import jit
from functrace.core.aval import shape_of
from functrace.dtypes import canonical_dtype
from functrace.errors import DTypeError, ShapeError, compose
from functrace.numpy.dispatching import operand
from functrace.ops.broadcasting import broadcast_to
from functrace.random.keys import checked_key
from functrace.random.streams import pack

__all__ = [
    "batched",
    "checked_dtype",
    "checked_shape",
    "drawn_with",
    "inexact",
    "result_shape",
    "sampler",
    "shared",
]

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULTS = {"f": float, "i": int, "u": np.uint64}
_KINDS = {"f": "float", "i": "integer", "u": "unsigned integer", "c": "complex"}


def sampler(kinds: str = "f", static: str = "", pointwise: bool = True) -> Callable[[F], F]:
    """Return a decorator that makes a public function of a body.

    Args:
        kinds: the kinds of dtype it draws; the first one's widest dtype is the default. None are
            named where the dtype is the body's matter.
        static: names of parameters that are no arrays, besides ``shape`` and ``dtype``.
        pointwise: whether a number of the result depends on its own place and the parameters
            there, and on nothing else. The body is then free of shapes; otherwise it gets its
            arguments as they are.
    """

    def decorate(body: F) -> F:
        name = body.__name__
        names = list(inspect.signature(body).parameters)[1:]
        fixed = [i for i, n in enumerate(names) if n in ("shape", "dtype", *static.split())]
        complete = _completer(body)
        traced = _Traced(body, names, fixed, pointwise)
        compiled = jit(traced, static_argnums=[i + 1 for i in fixed])
        shape_at = names.index("shape") if "shape" in names else None
        dtype_at = names.index("dtype") if "dtype" in names else None

        @functools.wraps(body)
        def draw(key: Any, *args: Any, **kwargs: Any) -> Any:
            given = complete(args, kwargs)
            if shape_at is not None and given[shape_at] is not None:
                given[shape_at] = checked_shape(name, given[shape_at])
            if dtype_at is not None and kinds:
                given[dtype_at] = checked_dtype(name, given[dtype_at], kinds)
            return compiled(checked_key(name, key), *given)

        return draw  # type: ignore[return-value]

    return decorate


class _Traced:
    """A body under ``jit``, with what it needn't know of done before and after."""

    def __init__(self, body: Any, names: list[str], fixed: list[int], pointwise: bool) -> None:
        self.__name__ = body.__name__
        self.__qualname__ = body.__qualname__
        self.__module__ = body.__module__
        self.body = body
        self.names = names
        self.fixed = fixed
        self.pointwise = pointwise

    def __call__(self, key: Any, *args: Any) -> Any:
        # Bits wrap; where nothing is traced NumPy would warn of its scalars.
        with np.errstate(over="ignore"):
            given = dict(zip(self.names, args))
            if self.pointwise:
                return self.everywhere(pack(key), given)
            return self.body(pack(key), **given)

    def everywhere(self, key: Any, given: dict[str, Any]) -> Any:
        """Run the body on parameters of the result's dtype and shape."""
        dtype, name = given.get("dtype"), self.body.__name__
        moving = [n for i, n in enumerate(self.names) if i not in self.fixed]
        for n in moving:
            given[n] = operand(given[n], f"{n} of random.{name}")
            if dtype is not None and dtype.kind == "f":
                given[n] = lax.convert_element_type(given[n], dtype)
        shape = result_shape(name, given["shape"], *(given[n] for n in moving))
        if all(shape_of(given[n]) == () for n in moving) and len(shape) > 1:
            # One long line of numbers is the same numbers, in longer loops.
            given["shape"] = (math.prod(shape),)
            return lax.reshape(self.body(key, **given), shape)
        for n in moving:
            if shape_of(given[n]) != ():
                given[n] = broadcast_to(given[n], shape)
        given["shape"] = shape
        return self.body(key, **given)


def inexact(x: Any, where: str) -> Any:
    """Return a parameter as floats: integers become float64."""
    x = operand(x, where)
    return x if x.dtype.kind == "f" else lax.convert_element_type(x, np.float64)


def result_shape(name: str, shape: tuple[int, ...] | None, *parameters: Any) -> tuple[int, ...]:
    """Return the shape to draw: the one asked for, which holds the parameters, or theirs."""
    shapes = [shape_of(p) for p in parameters]
    if shape is None:
        return lax.broadcast_shapes(*shapes)
    try:
        fits = lax.broadcast_shapes(shape, *shapes) == shape
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            compose(
                f"random.{name}: parameters of shapes {', '.join(map(str, shapes))} don't "
                f"broadcast to shape={shape}.",
                "shape is that of the whole result.",
            )
        )
    return shape


def shared(shape: tuple[int, ...], parameter: Any) -> bool:
    """Tell whether an element of a parameter serves several numbers of a result.

    What is done with such a one and a constant XLA does first, once for all of them.
    """
    return math.prod(shape_of(parameter)) < math.prod(shape)


def drawn_with(
    name: str, shape: tuple[int, ...] | None, dtype: Any, parameter: Any
) -> tuple[tuple[int, ...], Any]:
    """Return the shape of the result and a parameter of its dtype, and still of its own shape."""
    parameter = operand(parameter, f"a parameter of random.{name}")
    shape = result_shape(name, shape, parameter)
    return shape, lax.convert_element_type(parameter, dtype)


def batched(name: str, shape: tuple[int, ...] | None, parameter: Any) -> tuple[int, ...]:
    """Return the shape of results that have the last axis of a parameter."""
    *batch, last = shape_of(parameter) or (1,)
    if shape_of(parameter) == ():
        raise ShapeError(f"random.{name}: the parameter has no axis.")
    given = np.broadcast_to(np.False_, tuple(batch))
    return (*result_shape(name, shape, given), last)


def checked_shape(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple of integers."""
    try:
        sizes = tuple(map(operator.index, shape))
    except TypeError as error:
        raise ShapeError(
            compose(
                f"random.{name} got shape={shape!r}.",
                "a shape is a tuple of integers.",
                f"shape=({shape!r},)" if isinstance(shape, int) else "",
            )
        ) from error
    if any(n < 0 for n in sizes):
        raise ShapeError(f"random.{name} got shape={sizes}; sizes can't be negative.")
    return sizes


def checked_dtype(name: str, dtype: Any, kinds: str) -> np.dtype[Any]:
    """Return a dtype of one of the kinds; the widest of the first of them for None."""
    found = canonical_dtype(_DEFAULTS[kinds[0]] if dtype is None else dtype)
    if found.kind not in kinds or found.itemsize > 8 * (1 + (found.kind == "c")):
        wanted = " or ".join(_KINDS[k] for k in kinds)
        raise DTypeError(f"random.{name} draws {wanted} numbers; dtype is {found}.")
    return found


def _completer(body: Callable[..., Any]) -> Callable[[Any, dict[str, Any]], list[Any]]:
    """Return what puts the arguments after the key into a list, in order, with the defaults.

    ``inspect.Signature.bind`` would do, but takes longer than drawing a number.
    """
    signature = inspect.signature(body)
    parameters = list(signature.parameters.values())[1:]
    places = {p.name: i for i, p in enumerate(parameters)}
    defaults = [p.default for p in parameters]
    positional = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)

    def complete(args: Any, kwargs: dict[str, Any]) -> list[Any]:
        given = [*args, *defaults[len(args) :]]
        for name, value in kwargs.items():
            place = places.get(name, -1)
            if place < len(args):
                signature.bind(None, *args, **kwargs)  # raises
            given[place] = value
        if len(args) > positional or any(x is inspect.Parameter.empty for x in given):
            signature.bind(None, *args, **kwargs)  # raises
        return given

    return complete
