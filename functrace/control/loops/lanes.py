"""vmap lane by lane: where lanes take their own branches or trip counts, each runs alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrace.control.loops.jaxpr_surgery import memoised
from functrace.control.loops.scan_primitive import bind_scan
from functrace.core.aval import typeof
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from functrace.core.trace import Primitive
from functrace.ops.structural import move_axis

__all__ = ["lane_by_lane"]


def lane_by_lane(
    primitive: Primitive,
    holder: ClosedJaxpr,
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    params: dict[str, Any],
) -> tuple[list[Any], list[int]]:
    """Apply a primitive with several results to each lane, by a scan over the lanes.

    Args:
        primitive: the primitive.
        holder: where the scan's jaxpr is kept.
        size: the number of lanes.
        args: the operands.
        dims: where their lanes are; None for those that all lanes share.
        params: the primitive's parameters.
    """
    shared = [a for a, d in zip(args, dims) if d is None]
    mapped = [move_axis(a, d, 0) for a, d in zip(args, dims) if d is not None]
    flags = tuple(d is not None for d in dims)
    avals = tuple(
        typeof(a).strong() if d is None else _without_axis(typeof(a).strong(), d)
        for a, d in zip(args, dims)
    )

    def make() -> ClosedJaxpr:
        assert primitive.abstract_eval is not None
        invars = [Var(a) for a in avals]
        outvars = [Var(a) for a in primitive.abstract_eval(*avals, **params)]
        eqn = JaxprEqn(primitive, invars, outvars, params)
        order = [v for v, m in zip(invars, flags) if not m]
        order += [v for v, m in zip(invars, flags) if m]
        return ClosedJaxpr(Jaxpr([], order, outvars, [eqn]), [])

    key = ("lane", primitive, flags, avals, *params.items())
    body = memoised(holder, key, make)
    outs = bind_scan(body, shared, [], mapped, length=size)
    return outs, [0] * len(outs)


def _without_axis(aval: Any, dim: int) -> Any:
    shape = aval.shape
    return aval.update(shape=shape[:dim] + shape[dim + 1 :])
