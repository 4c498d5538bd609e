"""scan and map: a function for each slice of arrays, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace import tree
from functrace.config import config
from functrace.control.loops.bodies import (
    Body,
    can_run_as_python,
    trace_body,
    warn_that_python_runs,
)
from functrace.control.loops.carries import Carry, settle
from functrace.control.loops.checkpointed_scan import segmented
from functrace.control.loops.scan_in_python import scan_in_python
from functrace.control.rules.arguments import Leaves, read_leaves
from functrace.core.arguments import require_callable
from functrace.core.aval import ShapedArray, is_array_like, typeof
from functrace.core.trace import Tracer
from functrace.errors import ConcretizationError, ShapeError, compose
from functrace.ops.creation import convert_element_type
from functrace.source_info import api_boundary, describe_function

__all__ = ["Stepper", "scan"]


class Stepper:
    """The body of one scan: how it is called, traced, and what it carries."""

    def __init__(
        self, what: str, fun: Callable[..., Any], init: Leaves, xs: Leaves, user_fun: Any
    ) -> None:
        self.what = what
        self.fun = fun
        self.xs = xs
        counted = what == "fori_loop"
        self.carry = Carry(what, user_fun, init.treedef, init.avals, counted)

    def __call__(self, leaves: Sequence[Any]) -> tuple[list[Any], Any]:
        """Call the user's function with flat leaves; return those of the carry, then of y."""
        n = len(self.carry.avals)
        x = self.xs.treedef.unflatten(leaves[n:])
        out = self.fun(self.carry.treedef.unflatten(leaves[:n]), x)
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise TypeError(
                compose(
                    f"{self.what} of {describe_function(self.carry.fun)}: the body returned "
                    f"{_described(out)}, not a pair.",
                    "it returns (carry, y): the next carry, and what is stacked.",
                    "return carry, None if nothing is to be stacked.",
                )
            )
        y, y_tree = tree.flatten(out[1])
        return [*self.carry.take(out[0]), *y], y_tree

    def trace(self, slices: Sequence[ShapedArray]) -> Body:
        """Trace the body until the types of the carry are settled.

        Without ``jit`` that is for a loop of no steps, whose types nothing else tells; loops in the
        body are traced then too.
        """
        kind = (self.what, self.carry.treedef, self.xs.treedef)

        def once() -> Body:
            avals = [*self.carry.avals, *slices]
            return trace_body(self.carry.fun, kind, self, avals, f"the body of {self.what}")

        if not config.disable_jit:
            return settle(self.carry, once)
        with config.override(disable_jit=False):
            return settle(self.carry, once)


def _described(value: Any) -> str:
    return f"one array, {typeof(value)}" if is_array_like(value) else type(value).__name__


@api_boundary
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
    *,
    checkpoint: str | int | None = None,
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` over the leading axis of ``xs``; return carry and stacked ys.

    The body is traced once and compiled into a native loop. It may close over traced values,
    and has derivatives in both modes. Where it needs concrete values (an ``if`` on its carry), it
    runs as a Python loop, with one warning, unless something around it is being traced.

    Args:
        f: takes the carry and a slice of ``xs``; returns the next carry, of the same structure
            and types, and a tree ``y``.
        init: the first carry, a tree of arrays. Python numbers in it take the type that ``f``
            returns.
        xs: a tree of arrays whose first axis is run over; None for no input.
        length: the number of steps; needed when ``xs`` has no arrays.
        reverse: run from the last slice to the first; ys are in the order of xs all the same.
        unroll: how many steps the compiled loop may take at once; True for all.
        checkpoint: what reverse mode keeps of a long loop of T steps. None: what each step needs,
            for all steps. ``"sqrt"``: the carry at about sqrt(T) places; the steps between two
            of them run again. ``"binomial"``: segments in segments, of which a number in
            proportion to log(T) is kept at a time, and steps run about log8(T) times more. A
            number: the carry at so many places.

    Returns:
        The last carry, and the tree of ys stacked along a new first axis.

    Raises:
        StructureError: the carry changes its structure.
        DTypeError: a leaf of the carry changes its dtype; the message names it.
        ShapeError: a leaf of the carry changes its shape, or first axes of ``xs`` differ.

    Example:
        >>> import numpy as np
        >>> scan(lambda total, x: (total + x, total), 0.0, np.array([1.0, 2.0, 3.0]))
        (np.float64(6.0), array([0., 1., 3.]))
    """
    del _split_transpose
    require_callable(f, "scan")
    return run_scan("scan", f, init, xs, length, reverse, unroll, checkpoint)


def run_scan(
    what: str,
    f: Callable[..., Any],
    init: Any,
    xs: Any,
    length: int | None,
    reverse: bool,
    unroll: int | bool,
    checkpoint: str | int | None = None,
    user_fun: Any = None,
) -> tuple[Any, Any]:
    """Run a scan.

    Args:
        what: the name of the user's function: scan, map, fori_loop.
        f: the body, as of a scan.
        init: the first carry.
        xs: what is run over.
        length: the number of steps, if it is known.
        reverse: whether to run from the end.
        unroll: how many steps may be taken at once.
        checkpoint: what reverse mode keeps.
        user_fun: the user's function, which all that ``f`` does depends on; ``f`` without it.
    """
    user_fun = f if user_fun is None else user_fun
    first = read_leaves(init, "init of scan")
    slices = read_leaves(xs, "xs of scan")
    steps = _length(slices, length, user_fun)
    bind = segmented(checkpoint, steps)
    stepper = Stepper(what, f, first, slices, user_fun)
    if config.disable_jit and steps:
        return scan_in_python(stepper, first.values, slices.values, steps, reverse)
    try:
        body = stepper.trace([a.update(shape=a.shape[1:], weak_type=False) for a in slices.avals])
    except ConcretizationError as error:
        if not can_run_as_python() or not steps:
            raise
        warn_that_python_runs(what, user_fun, error)
        return scan_in_python(stepper, first.values, slices.values, steps, reverse)
    carry = [convert_element_type(v, a.dtype) for v, a in zip(first.values, stepper.carry.avals)]
    outs = bind(
        body.closed,
        body.closed_over,
        carry,
        slices.values,
        length=steps,
        reverse=bool(reverse),
        unroll=_unroll(unroll, steps),
    )
    n = len(carry)
    return first.treedef.unflatten(outs[:n]), body.about.unflatten(outs[n:])


def _unroll(unroll: Any, steps: int) -> int:
    if unroll is True:
        return max(steps, 1)
    if unroll is False:
        return 1
    if unroll < 0:
        raise ValueError(f"scan got unroll={unroll}; it is a number of steps, from 0 on.")
    return max(int(unroll), 1)


def _length(xs: Leaves, length: int | None, f: Any) -> int:
    """Return the number of steps; raise when what tells it disagrees or is missing."""
    if isinstance(length, Tracer):
        raise ConcretizationError(
            compose(
                f"scan of {describe_function(f)}: length is {length!r}.",
                "the shapes of what scan returns depend on it.",
                "a Python integer; lax.while_loop or lax.fori_loop for a count that is computed.",
            )
        )
    paths = tree.leaves_with_path(xs.treedef.unflatten(range(len(xs.values))))
    for aval, (path, _) in zip(xs.avals, paths):
        if not aval.shape:
            raise ShapeError(
                compose(
                    f"scan of {describe_function(f)}: xs{tree.keystr(path)} is {aval}.",
                    "scan runs over the first axis of xs, and a scalar has none.",
                    "close over the value, or put it into the carry.",
                )
            )
    sizes = [a.shape[0] for a in xs.avals]
    if length is not None:
        sizes.append(int(np.asarray(length)))
    if not sizes:
        raise ShapeError(
            compose(
                f"scan of {describe_function(f)}: neither xs nor length tells how many steps.",
                then="length=n.",
            )
        )
    if len(set(sizes)) > 1:
        found = [f"xs{tree.keystr(p)} has {n}" for n, (p, _) in zip(sizes, paths)]
        found += [f"length={length}"] * (length is not None)
        raise ShapeError(
            compose(
                f"scan of {describe_function(f)}: the number of steps isn't clear: "
                f"{', '.join(found)}.",
                "all first axes, and length, must agree.",
            )
        )
    return sizes[0]
