"""Batching: every mapped value carries one extra axis; rules say where it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.trace import (
    Primitive,
    Trace,
    Tracer,
    concretization_error,
    enter,
    leave,
    state,
)
from functrace.interpreters.staging import stage
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.ops.operators import ArrayOperators
from functrace.ops.structural import move_axis
from functrace.source_info import current_source

__all__ = ["BatchTrace", "BatchTracer", "batch_flat", "batch_jaxpr", "materialize"]

Dim = int | None

# --- Tracer ------------------------------------------------------------------------------------


class BatchTracer(ArrayOperators, Tracer):
    """One lane of a batch: ``value`` holds all lanes along axis ``dim``.

    An array that was made under the trace has ``dim`` None: it is the same for all lanes.
    """

    __slots__ = ("dim", "value", "weak")

    def __init__(self, trace: BatchTrace, value: Any, dim: Dim) -> None:
        self._trace = trace
        self.value = value
        self.dim = dim
        self.weak = False

    @property
    def aval(self) -> ShapedArray:
        """The abstract value of one lane."""
        return ShapedArray(self.shape, self.value.dtype, self.weak)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one lane."""
        shape, dim = self.value.shape, self.dim
        return shape if dim is None else shape[:dim] + shape[dim + 1 :]  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype."""
        return self.value.dtype  # type: ignore[no-any-return]

    @property
    def weak_type(self) -> bool:
        """Whether it came from Python numbers only."""
        return self.weak

    def mark_weak(self) -> None:
        """Let it give way in promotion: it came from Python numbers only."""
        self.weak = True


# --- Trace -------------------------------------------------------------------------------------


class BatchTrace(Trace):
    """Runs each primitive once for all lanes."""

    __slots__ = ("name", "size")

    def __init__(self, parent: Trace, size: int, name: str = "vmap") -> None:
        super().__init__(parent)
        self.size = size
        self.name = name

    @property
    def what(self) -> str:  # type: ignore[override]
        """The transformation, for messages."""
        return f"{self.name} over an axis of size {self.size}"

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply the batching rule where an argument is mapped."""
        values, dims, mapped = [], [], False
        for a in args:
            if type(a) is BatchTracer and a._trace is self:
                values.append(a.value)
                dims.append(a.dim)
                mapped = mapped or a.dim is not None
            else:
                values.append(a)
                dims.append(None)
        state.trace = parent = self.parent  # type: ignore[assignment]
        try:
            if not mapped:
                return parent.process(primitive, values, params)  # type: ignore[union-attr]
            if primitive.elementwise:
                values, dims = align(self.size, values, dims)
            rule = primitive.rule("batching", self.what)
            out, out_dims = rule(self.size, values, dims, **params)
        finally:
            state.trace = self
        if primitive.multiple_results:
            return [self.wrap(o, d) for o, d in zip(out, out_dims)]
        return self.wrap(out, out_dims)

    def adopt(self, array: Any) -> Any:
        """Return a new array as one that is the same in every lane."""
        return BatchTracer(self, array, None)

    def wrap(self, value: Any, dim: Dim) -> Any:
        """Return a tracer of a mapped value; an unmapped one as it is."""
        return value if dim is None else BatchTracer(self, value, dim)

    def refuse(self, tracer: Tracer, kind: str) -> NoReturn:
        """Explain that a batched value stands for many, naming the mapped axis."""
        assert isinstance(tracer, BatchTracer)
        raise concretization_error(
            kind,
            f"A single Python value ({kind}) was asked of {tracer!r} at {current_source()}.",
            f"under {self.name} it stands for {self.size} values at once, one for each index of "
            f"the mapped axis (axis {tracer.dim} of an array of shape {tracer.value.shape}).",
            _ADVICE.get(kind, _ADVICE["float"]),
        )


_ADVICE = {
    "bool": "np.where(condition, a, b) or lax.cond; or don't map this argument (in_axes=None).",
    "index": "functrace.numpy.take(x, i, axis=0) instead of x[i] for a plain array or a list x; "
    "or don't map this argument (in_axes=None).",
    "float": "NumPy's functions instead of math's; to write into a plain array, "
    "functrace.numpy.at(buffer)[i].set(x); or don't map this argument (in_axes=None).",
    "array": "the function of the same name in functrace.numpy, as this one of NumPy's doesn't "
    "dispatch on its arguments; for a plain array x, functrace.numpy.take(x, i, axis=0) or "
    "functrace.numpy.array(x)[i] instead of x[i].",
    "mask": "np.where(mask, x, 0) instead of x[mask]: lanes would have different shapes.",
}


def align(size: int, values: Sequence[Any], dims: Sequence[Dim]) -> tuple[list[Any], list[Dim]]:
    """Make element-wise operands agree: mapped axes first, shapes equal or 0-d and unmapped."""
    shapes = [shape_of(v) for v in values]
    first = next(d for d in dims if d is not None)
    lanes = {s for s, d in zip(shapes, dims) if d is not None}
    if len(lanes) == 1 and all(d == first or (d is None and s == ()) for s, d in zip(shapes, dims)):
        return list(values), list(dims)
    full: tuple[int, ...] = ()
    for s, d in zip(shapes, dims):
        lane = s if d is None else s[:d] + s[d + 1 :]
        full = lane or full
    out: list[Any] = []
    for v, s, d in zip(values, shapes, dims):
        if d is None:
            out.append(v if s == () else broadcast_in_dim(v, (size, *s), range(1, len(s) + 1)))
        elif len(s) == 1 and full:
            out.append(broadcast_in_dim(v, (size, *full), (0,)))
        else:
            out.append(move_axis(v, d, 0))
    return out, [None if shape_of(v) == () else 0 for v in out]


def materialize(size: int, value: Any, dim: Dim, out_dim: int = 0) -> Any:
    """Return a value with its lanes along ``out_dim``, repeated when it isn't mapped."""
    if dim is None:
        shape = shape_of(value)
        out_dim = out_dim % (len(shape) + 1)
        places = [i for i in range(len(shape) + 1) if i != out_dim]
        new_shape = (*shape[:out_dim], size, *shape[out_dim:])
        return broadcast_in_dim(
            np.asarray(value)[()] if np.isscalar(value) else value, new_shape, places
        )
    return move_axis(value, dim, out_dim % len(shape_of(value)))


# --- functions and jaxprs ----------------------------------------------------------------------


def batch_flat(
    fun: Callable[..., Sequence[Any]],
    size: int,
    args: Sequence[Any],
    dims: Sequence[Dim],
    name: str = "vmap",
) -> tuple[list[Any], list[Dim]]:
    """Run a flat function on all lanes at once; return its outputs and their mapped axes."""
    parent = state.trace
    trace = BatchTrace(parent, size, name)
    tracers = [trace.wrap(a, d) for a, d in zip(args, dims)]
    enter(trace)
    try:
        outs = fun(*tracers)
    finally:
        leave(trace, parent)
    values, out_dims = [], []
    for out in outs:
        mine = type(out) is BatchTracer and out._trace is trace
        values.append(out.value if mine else out)
        out_dims.append(out.dim if mine else None)
    return values, out_dims


def batch_jaxpr(
    closed: ClosedJaxpr, size: int, dims: tuple[Dim, ...], instantiate: tuple[bool, ...] = ()
) -> tuple[ClosedJaxpr, tuple[Dim, ...]]:
    """Return the jaxpr for all lanes at once, and the mapped axes of its outputs.

    Args:
        closed: the jaxpr of one lane.
        size: the number of lanes.
        dims: the mapped axis of each input; None for one that all lanes share.
        instantiate: which outputs have their lanes along axis 0 in any case.
    """
    key = ("batch", size, dims, instantiate)
    known = closed.memo.get(key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    found: list[Dim] = []

    def fun(*args: Any) -> list[Any]:
        outs, out_dims = batch_flat(
            lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs), size, args, dims
        )
        for i, wanted in enumerate(instantiate):
            if wanted:
                outs[i], out_dims[i] = materialize(size, outs[i], out_dims[i]), 0
        found[:] = out_dims
        return outs

    avals = [
        a if d is None else a.update(shape=(*a.shape[:d], size, *a.shape[d:]))
        for a, d in zip(closed.in_avals, dims)
    ]
    result = stage(fun, avals, "vmap"), tuple(found)
    closed.memo[key] = result
    return result
