"""checkpoint: what a function computes is not kept for its derivative, but computed again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from functrace.control.loops.bodies import can_run_as_python
from functrace.control.rules.barrier import barrier
from functrace.control.rules.checkpoint_policies import Policy
from functrace.control.rules.checkpoint_split import split_for_checkpoint
from functrace.control.rules.closures import closes_over_tracers, stage_open
from functrace.control.rules.custom_rules import open_jvp_arguments, runs_as_python
from functrace.control.rules.vjp_rules import Forward, bind_pullback
from functrace.core.arguments import flat_values, require_callable
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.lowering import Nested
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive, Trace, state
from functrace.dtypes import is_inexact
from functrace.errors import ConcretizationError
from functrace.interpreters.batching import batch_jaxpr
from functrace.interpreters.forward import JVPTrace, jvp_jaxpr
from functrace.interpreters.linearize import linearize_flat
from functrace.interpreters.reverse import backward_pass, transpose_jaxpr
from functrace.source_info import api_boundary, describe_function

__all__ = ["checkpoint", "checkpoint_p"]


def checkpoint(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: int | Iterable[int] = (),
) -> Callable[..., Any]:
    """Return ``fun`` so that its derivative keeps its arguments, and computes the rest again.

    It trades time for memory: a chain of n checkpointed blocks keeps what goes from block to
    block, and while it goes backward what one block computes.

    Args:
        fun: a function of arrays. It is traced when it is differentiated; if it needs concrete
            values, it runs as Python, forward and again backward.
        prevent_cse: keep the compiler from finding that what is computed again is known. Inside
            the body of a loop it isn't needed.
        policy: which values are kept nevertheless; one of ``functrace.checkpoint_policies``. It
            is asked inside of scans and branches too; a ``while_loop`` keeps what it carries.
        static_argnums: positions of arguments that are Python values.

    Example:
        >>> import functrace as ft
        >>> import numpy as np
        >>> block = ft.checkpoint(lambda x: np.sin(np.sin(x)))
        >>> round(float(ft.grad(block)(1.0)), 6)
        0.360039
    """
    require_callable(fun, "checkpoint")
    static = {static_argnums} if isinstance(static_argnums, int) else set(static_argnums)

    @functools.wraps(fun)
    @api_boundary
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if runs_as_python(state.trace):
            return fun(*args, **kwargs)
        positions = {n % len(args) for n in static} if args else set()
        call = _Call(fun, args, kwargs, positions)
        try:
            outs = call.record(policy, prevent_cse)
        except ConcretizationError:
            if not can_run_as_python():
                raise
            outs = call.run_as_python()
        return call.out_tree.unflatten(outs)

    return checkpointed


class _Call:
    """One call of a checkpointed function, flat."""

    def __init__(
        self, fun: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], static: set[int]
    ) -> None:
        self.fun = fun
        self.static = [(i, a) for i, a in enumerate(args) if i in static]
        dynamic = [a for i, a in enumerate(args) if i not in static]
        place = f"an argument of {describe_function(fun)}"
        self.leaves, self.in_tree = flat_values((dynamic, kwargs), place)
        self.out_tree: Any = None

    def run(self, *leaves: Any) -> list[Any]:
        """Run the function."""
        rebuilt: Any = self.in_tree.unflatten(leaves)
        args, kwargs = rebuilt
        for i, value in self.static:
            args.insert(i, value)
        name = describe_function(self.fun)
        outs, self.out_tree = flat_values(self.fun(*args, **kwargs), f"an output of {name}")
        return outs

    def record(self, policy: Policy | None, prevent_cse: bool) -> list[Any]:
        """Trace the function and apply it as one equation."""
        name = describe_function(self.fun)
        avals = [typeof(v) for v in self.leaves]
        jaxpr, consts = stage_open(self.run, avals, f"checkpoint of {name}")
        outs: list[Any] = checkpoint_p.bind(
            *consts, *self.leaves, jaxpr=jaxpr, policy=policy, prevent_cse=prevent_cse, name=name
        )
        return outs

    def run_as_python(self) -> list[Any]:
        """Run the function on concrete values; going backward, run and record it once more."""
        trace = state.trace
        if not isinstance(trace, JVPTrace) or trace.on_parent or closes_over_tracers(self.fun):
            return self.run(*self.leaves)
        primals, tangents = open_jvp_arguments(trace, self.leaves)
        if all(t is None for t in tangents):
            return self.run(*self.leaves)
        state.trace = trace.parent  # type: ignore[assignment]
        try:
            forward = Forward(self.run(*primals), primals, self._pull)
            state.trace = trace.tangent_trace
            moved = bind_pullback(forward, tangents, describe_function(self.fun))
        finally:
            state.trace = trace
        return [o if t is None else trace.wrap(o, t) for o, t in zip(forward.outs, moved)]

    def _pull(self, primals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        moves = [is_inexact(typeof(p).dtype) for p in primals]
        outs, program = linearize_flat(self.run, primals, moves, "checkpoint")
        given = iter(cotangents)
        cts = [next(given) if is_inexact(typeof(o).dtype) else None for o in outs]
        pulled = iter(backward_pass(program, cts, consume=True))
        return [next(pulled) if m else None for m in moves]


# --- the primitive -----------------------------------------------------------------------------

checkpoint_p = Primitive("checkpoint", multiple_results=True)


@checkpoint_p.def_impl
def _checkpoint_impl(*args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *args)


@checkpoint_p.def_abstract_eval
def _checkpoint_type(*avals: ShapedArray, jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return [a.strong() for a in jaxpr.out_avals]


@checkpoint_p.def_jvp
def _checkpoint_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, jaxpr: ClosedJaxpr, **params: Any
) -> tuple[list[Any], list[Any]]:
    moved, nonzero_out = jvp_jaxpr(jaxpr, tuple(t is not None for t in tangents))
    given = [t for t in tangents if t is not None]
    outs = checkpoint_p.bind(*primals, *given, jaxpr=moved, **params)
    n = len(nonzero_out)
    moving = iter(outs[n:])
    return outs[:n], [next(moving) if nz else None for nz in nonzero_out]


@checkpoint_p.def_linearize
def _checkpoint_linearize(
    parent: Trace,
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    *,
    jaxpr: ClosedJaxpr,
    policy: Policy | None,
    **params: Any,
) -> tuple[list[Any], tuple[bool, ...], Callable[[list[Any]], list[Any]]]:
    split = split_for_checkpoint(jaxpr, tuple(nonzero), policy)
    outs = checkpoint_p.bind(*primals, jaxpr=split.primal, policy=policy, **params)
    n = len(jaxpr.out_avals)
    residuals = [*(primals[i] for i in split.inputs), *outs[n:]]

    def linear(tangents: list[Any]) -> list[Any]:
        moved: list[Any] = checkpoint_p.bind(
            *residuals, *tangents, jaxpr=split.tangent, policy=policy, **params
        )
        return moved

    return outs[:n], split.nonzero_out, linear


@checkpoint_p.def_transpose
def _checkpoint_transpose(
    ct: list[Any], *args: Any, jaxpr: ClosedJaxpr, prevent_cse: bool, **params: Any
) -> list[Any]:
    linear = tuple(is_linear(a) for a in args)
    transposed, nonzero = transpose_jaxpr(jaxpr, linear, tuple(c is not None for c in ct))
    given = [*(a for a in args if not is_linear(a)), *(c for c in ct if c is not None)]
    if prevent_cse:
        given = barrier(given)
    outs = checkpoint_p.bind(*given, jaxpr=transposed, prevent_cse=prevent_cse, **params)
    pulled, moves = iter(outs), iter(nonzero)
    return [(next(pulled) if next(moves) else None) if lin else None for lin in linear]


@checkpoint_p.def_batching
def _checkpoint_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    jaxpr: ClosedJaxpr,
    **params: Any,
) -> tuple[list[Any], tuple[int | None, ...]]:
    batched, out_dims = batch_jaxpr(jaxpr, size, tuple(dims))
    return checkpoint_p.bind(*args, jaxpr=batched, **params), out_dims


checkpoint_p.def_lowering(Nested("jaxpr"))
