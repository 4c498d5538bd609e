"""Calls of Python from compiled programs: pure_callback, io_callback, and what debug is made of.

A callback is a step of the program, run with copies of its operands. What it raises, the caller of
the program gets; it may call jitted functions itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from functrace import tree
from functrace.core.arguments import argument_leaf, require_callable
from functrace.core.aval import ShapedArray, is_array_like, typeof
from functrace.core.lowering import Host
from functrace.core.trace import Primitive, Tracer
from functrace.errors import DTypeError, MissingRuleError, ShapeError, StructureError, compose
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.structural import move_axis
from functrace.source_info import api_boundary, describe_function

__all__ = [
    "debug_callback",
    "debug_callback_p",
    "io_callback",
    "io_callback_p",
    "pure_callback",
    "pure_callback_p",
]

VMAP_METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all")


class HostFunction:
    """A Python function of flat arrays to flat arrays; ``name`` is for messages."""

    def __init__(self, function: Callable[..., Sequence[Any]], name: str) -> None:
        self.function, self.name = function, name

    def __call__(self, *args: Any, out_avals: Sequence[ShapedArray]) -> list[Any]:
        """Call it; return its results as the arrays that were promised."""
        results = self.function(*args)
        return [self._as_promised(r, a) for r, a in zip(results, out_avals, strict=True)]

    def _as_promised(self, result: Any, aval: ShapedArray) -> Any:
        array = np.asarray(result)
        if array.shape != aval.shape:
            raise ShapeError(
                compose(
                    f"the callback {self.name} returned an array of shape {array.shape}.",
                    f"{aval} was promised by result_shape_dtypes.",
                )
            )
        if not np.can_cast(array.dtype, aval.dtype, "same_kind"):
            raise DTypeError(
                compose(
                    f"the callback {self.name} returned an array of dtype {array.dtype}.",
                    f"{aval} was promised by result_shape_dtypes.",
                    f"astype({aval.dtype.name!r}) in the callback.",
                )
            )
        return array.astype(aval.dtype, copy=False)[()]

    def __repr__(self) -> str:
        return self.name


def _host_function(
    callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], out_tree: Any
) -> tuple[HostFunction, list[Any]]:
    """Return a callback of the traced leaves of its arguments, and these."""
    name = describe_function(callback)
    flat, in_tree = tree.flatten((args, kwargs))
    # What is only shown may stay a Python number; other callbacks get arrays and NumPy scalars.
    arrays = (Tracer, np.ndarray, np.generic)
    moving = [isinstance(v, arrays) or (out_tree is not None and is_array_like(v)) for v in flat]
    kept = [None if m else v for v, m in zip(flat, moving)]

    def function(*values: Any) -> list[Any]:
        given = iter(values)
        leaves = [next(given) if m else v for v, m in zip(kept, moving)]
        rebuilt: Any = in_tree.unflatten(leaves)
        result = callback(*rebuilt[0], **rebuilt[1])
        if out_tree is None or not out_tree.num_leaves:
            return []
        outs, found = tree.flatten(result)
        if found != out_tree:
            raise StructureError(
                compose(
                    f"the callback {name} returned a value of structure {found}.",
                    f"result_shape_dtypes has the structure {out_tree}.",
                )
            )
        return outs

    place = f"an argument of the callback {name}"
    leaves = [argument_leaf(v, lambda: place).value for v, m in zip(flat, moving) if m]
    return HostFunction(function, name), leaves


def _promised(result_shape_dtypes: Any) -> tuple[tuple[ShapedArray, ...], Any]:
    specs, out_tree = tree.flatten(result_shape_dtypes)
    for spec in specs:
        if not (hasattr(spec, "shape") and hasattr(spec, "dtype")) and not is_array_like(spec):
            raise TypeError(
                compose(
                    f"result_shape_dtypes has the leaf {spec!r}.",
                    then="functrace.ShapeDtypeStruct(shape, dtype), or an array like the result.",
                )
            )
    avals = [
        ShapedArray(tuple(s.shape), np.dtype(s.dtype))
        if hasattr(s, "shape")
        else typeof(s).strong()
        for s in specs
    ]
    return tuple(avals), out_tree


# --- what users call ---------------------------------------------------------------------------


@api_boundary
def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    vmap_method: str | None = None,
    **kwargs: Any,
) -> Any:
    """Call a Python function without side effects, also from compiled code.

    It may be called more often than written, or not at all if nobody needs its result. It has no
    derivative: give it one with ``custom_jvp`` or ``custom_vjp``.

    Args:
        callback: takes arrays, returns a tree of arrays.
        result_shape_dtypes: a tree of ``ShapeDtypeStruct`` or arrays, like what it returns.
        args: arguments; leaves that are no arrays are handed on as they are.
        vmap_method: how it is batched: ``"sequential"``, a call for each lane; ``"expand_dims"``,
            one call with the lanes as first axis, of size 1 where there are none;
            ``"broadcast_all"``, likewise of full size. Without it ``vmap`` is an error.
        kwargs: arguments by name.

    Example:
        >>> import functrace as ft
        >>> import numpy as np
        >>> shape = ft.ShapeDtypeStruct((), np.float64)
        >>> f = ft.jit(lambda x: 2.0 * pure_callback(lambda v: float(v) + 1.0, shape, x))
        >>> f(3.0)
        np.float64(8.0)
    """
    require_callable(callback, "pure_callback")
    if vmap_method is not None and vmap_method not in VMAP_METHODS:
        raise ValueError(
            f"pure_callback: vmap_method={vmap_method!r} is none of {', '.join(VMAP_METHODS)}."
        )
    out_avals, out_tree = _promised(result_shape_dtypes)
    host, leaves = _host_function(callback, args, kwargs, out_tree)
    outs = pure_callback_p.bind(
        *leaves, callback=host, out_avals=out_avals, vmap_method=vmap_method
    )
    return out_tree.unflatten(outs)


@api_boundary
def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """Call a Python function for its effects, also from compiled code: always, and once.

    Under ``vmap`` it is called for one lane after the other. It has no derivative.

    Args:
        callback: takes arrays, returns a tree of arrays, or None.
        result_shape_dtypes: a tree of ``ShapeDtypeStruct`` or arrays, like what it returns.
        args: arguments; leaves that are no arrays are handed on as they are.
        ordered: all callbacks of a program keep their order here, so this changes nothing.
        kwargs: arguments by name.

    Example:
        >>> import functrace as ft
        >>> seen = []
        >>> @ft.jit
        ... def f(x):
        ...     io_callback(lambda v: seen.append(float(v)), None, x)
        ...     return x + 1.0
        >>> f(2.0), seen
        (np.float64(3.0), [2.0])
    """
    require_callable(callback, "io_callback")
    out_avals, out_tree = _promised(result_shape_dtypes)
    host, leaves = _host_function(callback, args, kwargs, out_tree)
    outs = io_callback_p.bind(*leaves, callback=host, out_avals=out_avals, ordered=ordered)
    return out_tree.unflatten(outs)


def debug_callback(callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call a Python function that returns nothing; derivatives pass it by."""
    host, leaves = _host_function(callback, args, kwargs, None)
    debug_callback_p.bind(*leaves, callback=host)


# --- the primitives ----------------------------------------------------------------------------

_WHY = "it is Python, of which no derivative is known"
pure_callback_p = Primitive("pure_callback", multiple_results=True, not_linear=_WHY)
io_callback_p = Primitive("io_callback", multiple_results=True, not_linear=_WHY, effect=True)
debug_callback_p = Primitive(
    "debug_callback",
    multiple_results=True,
    not_differentiable="it has no results",
    effect=True,
)


def _no_derivative(
    primals: Any, tangents: Any, *, callback: HostFunction, **params: Any
) -> NoReturn:
    raise MissingRuleError(
        compose(
            f"the callback {callback.name} was differentiated.",
            f"{_WHY}.",
            "give it a rule with custom_jvp or custom_vjp; or lax.stop_gradient on its arguments.",
        )
    )


def _lanes(size: int, args: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    """Return operands with their lanes, if any, first."""
    return [a if d is None else move_axis(a, d, 0) for a, d in zip(args, dims)]


def _one_by_one(
    callback: HostFunction, size: int, dims: Sequence[int | None], out_avals: Any
) -> HostFunction:
    """Return the callback that calls another for each lane."""
    mapped = [d is not None for d in dims]

    def function(*args: Any) -> list[Any]:
        lanes = [
            callback(*(a[i] if m else a for a, m in zip(args, mapped)), out_avals=out_avals)
            for i in range(size)
        ]
        return [
            np.stack([lane[k] for lane in lanes]) if size else np.zeros((0, *a.shape), a.dtype)
            for k, a in enumerate(out_avals)
        ]

    return HostFunction(function, callback.name)


def _wider(size: int, out_avals: Sequence[ShapedArray]) -> tuple[ShapedArray, ...]:
    return tuple(a.update(shape=(size, *a.shape)) for a in out_avals)


for _primitive in (pure_callback_p, io_callback_p):

    @_primitive.def_impl
    def _impl(
        *args: Any, callback: HostFunction, out_avals: tuple[ShapedArray, ...], **params: Any
    ) -> list[Any]:
        return callback(*args, out_avals=out_avals)

    @_primitive.def_abstract_eval
    def _type(
        *avals: ShapedArray, out_avals: tuple[ShapedArray, ...], **params: Any
    ) -> list[ShapedArray]:
        return list(out_avals)

    _primitive.def_jvp(_no_derivative)


@pure_callback_p.def_batching
def _pure_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    callback: HostFunction,
    out_avals: tuple[ShapedArray, ...],
    vmap_method: str | None,
) -> tuple[list[Any], list[int]]:
    if vmap_method is None:
        raise MissingRuleError(
            compose(
                f"the callback {callback.name} was called under vmap.",
                "pure_callback was given no vmap_method.",
                'vmap_method="sequential", or "expand_dims" for a callback that takes batches.',
            )
        )
    lanes = _lanes(size, args, dims)
    if vmap_method.startswith("sequential"):
        callback = _one_by_one(callback, size, dims, out_avals)
    else:
        width = size if vmap_method == "broadcast_all" else 1
        lanes = [_stretched(a, width) if d is None else a for a, d in zip(lanes, dims)]
    outs = pure_callback_p.bind(
        *lanes, callback=callback, out_avals=_wider(size, out_avals), vmap_method=vmap_method
    )
    return outs, [0] * len(outs)


def _stretched(x: Any, width: int) -> Any:
    shape = np.shape(x) if not isinstance(x, Tracer) else x.shape
    return broadcast_in_dim(x, (width, *shape), tuple(range(1, len(shape) + 1)))


@io_callback_p.def_batching
def _io_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    callback: HostFunction,
    out_avals: tuple[ShapedArray, ...],
    ordered: bool,
) -> tuple[list[Any], list[int]]:
    outs = io_callback_p.bind(
        *_lanes(size, args, dims),
        callback=_one_by_one(callback, size, dims, out_avals),
        out_avals=_wider(size, out_avals),
        ordered=ordered,
    )
    return outs, [0] * len(outs)


@debug_callback_p.def_impl
def _debug_impl(*args: Any, callback: HostFunction) -> list[Any]:
    return callback(*args, out_avals=())


@debug_callback_p.def_abstract_eval
def _debug_type(*avals: ShapedArray, callback: HostFunction) -> list[ShapedArray]:
    return []


@debug_callback_p.def_batching
def _debug_batching(
    size: int, args: Sequence[Any], dims: Sequence[int | None], *, callback: HostFunction
) -> tuple[list[Any], list[int]]:
    lanes = _lanes(size, args, dims)
    debug_callback_p.bind(*lanes, callback=_one_by_one(callback, size, dims, ()))
    return [], []


pure_callback_p.def_lowering(Host("the user's pure_callback"))
io_callback_p.def_lowering(Host("the user's io_callback"))
debug_callback_p.def_lowering(Host("the user's debug callback"))
