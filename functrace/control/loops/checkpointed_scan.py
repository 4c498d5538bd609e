"""scan in segments: its derivative keeps the carry between segments and runs each once more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from functrace.control.loops.interning import intern_jaxpr
from functrace.control.loops.jaxpr_surgery import memoised
from functrace.control.loops.scan_primitive import bind_scan
from functrace.control.rules.checkpointing import checkpoint_p
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr
from functrace.errors import compose
from functrace.interpreters.staging import stage
from functrace.ops.joining import concatenate, slice_in_dim
from functrace.ops.structural import reshape

__all__ = ["segmented"]

Bind = Callable[..., list[Any]]
BRANCHING = 8
"""About how many segments a level of "binomial" has."""


def segmented(how: Any, length: int) -> Bind:
    """Return the function that applies a scan of ``length`` steps in segments, like ``bind_scan``.

    Args:
        how: "sqrt" for about as many segments as each has steps, "binomial" for segments in
            segments down to a few steps, or how many segments.
        length: the number of steps.
    """
    if how is None or length < 2:
        return bind_scan
    if how == "sqrt":
        return _levels([math.isqrt(length - 1) + 1])
    if how == "binomial":
        depth = max(1, math.ceil(math.log(length, BRANCHING)) - 1)
        return _levels([max(2, round(length ** (1 / (depth + 1))))] * depth)
    if isinstance(how, int) and not isinstance(how, bool) and how >= 1:
        return _levels([min(how, length)])
    raise ValueError(
        compose(
            f"scan got checkpoint={how!r}.",
            "it tells in how many segments the derivative runs the loop again.",
            '"sqrt", "binomial", a number of segments, or None.',
        )
    )


def _levels(counts: Sequence[int]) -> Bind:
    bind: Bind = bind_scan
    for count in reversed(counts):
        bind = partial(_in_segments, bind, count)
    return bind


def _in_segments(
    inner: Bind,
    count: int,
    closed: ClosedJaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    *,
    length: int,
    reverse: bool,
    unroll: int,
) -> list[Any]:
    """Apply a scan in ``count`` segments or fewer; what is left over is a segment of its own."""
    size = -(-length // count)
    whole = length // size
    rest = length - whole * size
    first, last = (rest, length) if reverse else (0, whole * size)
    options = {"reverse": reverse, "unroll": unroll}
    body = _segment(inner, closed, len(consts), len(carry), size, options)
    parts = [slice_in_dim(x, first, last) for x in xs]
    parts = [reshape(x, (whole, size, *x.shape[1:])) for x in parts]
    outs = bind_scan(body, consts, carry, parts, length=whole, reverse=reverse)
    n = len(carry)
    ys = [reshape(y, (whole * size, *y.shape[2:])) for y in outs[n:]]
    if not rest:
        return [*outs[:n], *ys]
    others = [slice_in_dim(x, 0, rest) if reverse else slice_in_dim(x, last, length) for x in xs]
    segment = _segment(inner, closed, len(consts), n, rest, options).eqns[0]
    end = checkpoint_p.bind(*consts, *outs[:n], *others, **segment.params)
    pairs = zip(end[n:], ys) if reverse else zip(ys, end[n:])
    return [*end[:n], *(concatenate(pair, 0) for pair in pairs)]


def _segment(
    inner: Bind,
    closed: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    size: int,
    options: dict[str, Any],
) -> ClosedJaxpr:
    """Return the jaxpr of one segment: one checkpointed equation."""
    n = num_consts + num_carry

    def run(*args: Any) -> list[Any]:
        consts, carry, xs = args[:num_consts], args[num_consts:n], args[n:]
        return inner(closed, consts, carry, xs, length=size, **options)

    def checkpointed(*args: Any) -> list[Any]:
        segment = intern_jaxpr(stage(run, avals, "a segment of scan"))
        return checkpoint_p.bind(  # type: ignore[no-any-return]
            *args, jaxpr=segment, policy=None, prevent_cse=False, name="scan"
        )

    avals = [
        a.strong() if i < n else ShapedArray((size, *a.shape), a.dtype)
        for i, a in enumerate(closed.in_avals)
    ]
    key = ("segment", str(inner), num_consts, num_carry, size, *options.items())
    return memoised(
        closed, key, lambda: intern_jaxpr(stage(checkpointed, avals, "a segment of scan"))
    )
