"""What identifies a call of a jitted function: static values, tree, types of the leaves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace import tree
from functrace.core.aval import ShapedArray, ShapeDtypeStruct, typeof
from functrace.core.trace import Tracer
from functrace.dtypes import check_supported
from functrace.errors import DTypeError, StaticArgumentError, compose
from functrace.source_info import describe_function

__all__ = ["CallSignature", "Exact", "Statics", "exact", "read_call"]

_PYTHON = (bool, int, float, complex)


class Statics:
    """Which arguments of a function are static, by position and by name."""

    def __init__(
        self, fun: Any, argnums: int | Iterable[int] | None, argnames: str | Iterable[str] | None
    ) -> None:
        numbers = _as_tuple(argnums, int)
        names = _as_tuple(argnames, str)
        parameters = _positional_parameters(fun)
        if parameters is not None:
            for n in numbers:
                if not -len(parameters) <= n < len(parameters) and not _takes_varargs(fun):
                    raise ValueError(
                        f"jit of {describe_function(fun)}: argnums {n} is out of range for a "
                        f"function of {len(parameters)} positional arguments."
                    )
            self._check_names(fun, names)
            named = [parameters.index(n) for n in names if n in parameters]
            count = len(parameters)
            numbers = tuple(dict.fromkeys([n + count if n < 0 else n for n in numbers] + named))
            names = tuple(
                dict.fromkeys([*names, *(parameters[n] for n in numbers if n < len(parameters))])
            )
        self.argnums = frozenset(numbers)
        self.argnames = frozenset(names)

    @staticmethod
    def _check_names(fun: Any, names: Sequence[str]) -> None:
        parameters = inspect.signature(fun).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return
        for name in names:
            if name not in parameters:
                raise ValueError(
                    f"jit of {describe_function(fun)}: it has no argument named {name!r}."
                )

    def __bool__(self) -> bool:
        return bool(self.argnums or self.argnames)


def _as_tuple(value: Any, kind: type) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, kind) else tuple(value)


def _positional_parameters(fun: Any) -> list[str] | None:
    try:
        parameters = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _takes_varargs(fun: Any) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(fun).parameters.values())


class CallSignature(NamedTuple):
    """The key of a trace: equal keys mean the same jaxpr."""

    statics: tuple[Any, ...]
    treedef: Any
    types: tuple[Any, ...]


class Exact:
    """A static number, or a tuple, as part of a key: equal where the values can't be told apart.

    A NaN is itself, ``0.0`` is not ``-0.0``, and ``(1,)`` is not ``(1.0,)``.
    """

    __slots__ = ("key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = _exact_key(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return repr(self.value)


def _exact_key(value: Any) -> Any:
    if isinstance(value, tuple):
        return type(value), tuple(map(_exact_key, value))
    inexact = isinstance(value, (float, complex, np.inexact))
    return type(value), repr(value) if inexact else value


def exact(value: Any) -> Any:
    """Return what stands for a static value in a key."""
    return Exact(value) if isinstance(value, (float, complex, np.inexact, tuple)) else value


class ReadCall(NamedTuple):
    """A call taken apart: its key, its leaves as arrays or tracers, and how to rebuild it."""

    key: CallSignature
    leaves: list[Any]
    rebuild: Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]]
    avals: list[ShapedArray]


def read_call(fun: Any, statics: Statics, args: Sequence[Any], kwargs: dict[str, Any]) -> ReadCall:
    """Take a call apart.

    Raises:
        StaticArgumentError: a static argument isn't hashable.
        DTypeError: a leaf is no array; the message has its path.
    """
    if statics:
        static_args = {i: a for i, a in enumerate(args) if i in statics.argnums}
        static_kwargs = {k: v for k, v in kwargs.items() if k in statics.argnames}
        dynamic = [None if i in static_args else a for i, a in enumerate(args)]
        dynamic_kwargs = {k: v for k, v in kwargs.items() if k not in static_kwargs}
        static_key = _static_key(fun, static_args, static_kwargs)
    else:
        static_args, static_kwargs, static_key = {}, {}, ()
        dynamic, dynamic_kwargs = list(args), kwargs
    flat, treedef = tree.flatten((dynamic, dynamic_kwargs))
    leaves, types, avals = [], [], []
    for i, value in enumerate(flat):
        leaf, aval = _leaf(fun, value, dynamic, dynamic_kwargs, i)
        leaves.append(leaf)
        avals.append(aval)
        types.append((aval.shape, aval.dtype, aval.weak_type))

    def rebuild(values: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        new_args, new_kwargs = treedef.unflatten(values)
        call_args = [static_args.get(i, a) for i, a in enumerate(new_args)]
        return call_args, {**new_kwargs, **static_kwargs}

    return ReadCall(CallSignature(static_key, treedef, tuple(types)), leaves, rebuild, avals)


def _static_key(
    fun: Any, static_args: dict[int, Any], static_kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    key = []
    for name, value in (*static_args.items(), *sorted(static_kwargs.items())):
        if any(isinstance(v, Tracer) for v in tree.leaves(value)):
            raise StaticArgumentError(
                compose(
                    f"jit of {describe_function(fun)}: static argument {name!r} is traced.",
                    "a static argument's value is part of the cache key and must be known.",
                    "don't make it static, or pass a Python value.",
                )
            )
        try:
            hash(value)
        except TypeError:
            raise StaticArgumentError(
                compose(
                    f"jit of {describe_function(fun)}: static argument {name!r} is {value!r} of "
                    f"type {type(value).__name__}, which can't be hashed.",
                    "static arguments are part of the cache key.",
                    "a tuple instead of a list, or a frozen dataclass; pass arrays as ordinary "
                    "arguments.",
                )
            ) from None
        key.append((name, type(value), exact(value)))
    return tuple(key)


def _leaf(
    fun: Any, value: Any, args: Sequence[Any], kwargs: dict[str, Any], index: int
) -> tuple[Any, ShapedArray]:
    kind = type(value)
    if kind is np.ndarray and value.dtype.isnative and value.dtype.kind in "fciub":
        return value, ShapedArray(value.shape, value.dtype)
    if isinstance(value, (Tracer, ShapeDtypeStruct)):
        return value, typeof(value)
    if kind in _PYTHON or isinstance(value, (*_PYTHON, np.generic)):
        array = np.asarray(value)
        weak = not isinstance(value, np.generic)
    elif isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        array, weak = np.asarray(value), False
    else:
        array, weak = np.asarray(None), False
    if array.dtype.kind not in "fciub":
        path = tree.leaves_with_path((tuple(args), kwargs))[index][0]
        place = (
            f"argument {path[1].idx}{tree.keystr(path[2:])}"
            if path[0].idx == 0
            else f"keyword argument {path[1].key}{tree.keystr(path[2:])}"
        )
        raise DTypeError(
            compose(
                f"jit of {describe_function(fun)}: {place} is {value!r} of type {kind.__name__}"
                + (f" and dtype {value.dtype}." if hasattr(value, "dtype") else "."),
                "jitted functions take arrays and numbers, in any pytree.",
                "mark it static (static_argnums or static_argnames), convert it to an array, or "
                "register its class as a pytree.",
            )
        )
    dtype = check_supported(array.dtype, "an argument")
    array = np.asarray(array, dtype)
    return array, ShapedArray(array.shape, dtype, weak)
