"""custom_vjp: a function whose reverse mode is given by a pair of rules.

The forward rule runs in place of the function and says what to keep. What is recorded of the
derivative is one equation, which can only be transposed: that calls the backward rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from functrace import tree
from functrace.control.rules.closures import closes_over_tracers, stage_open
from functrace.control.rules.custom_rules import (
    Arguments,
    CustomFunction,
    FlatCall,
    check_rule_outputs,
    checked_leaf,
    nested_transpose,
    open_jvp_arguments,
    refuse_moving_closure,
    runs_as_python,
    staging_rules_of,
    with_unused_inputs,
    zero_tangent,
)
from functrace.control.rules.known_rules import known_rule
from functrace.control.rules.symbolic_zeros import CustomVJPPrimal
from functrace.control.rules.vjp_rules import (
    BatchedRules,
    Forward,
    Pull,
    Rules,
    StagedRules,
    bind_pullback,
    forward_mode_error,
)
from functrace.core.arguments import flat_values
from functrace.core.aval import ShapedArray, is_array_like, typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.lowering import Nested
from functrace.core.trace import Primitive, Trace, state
from functrace.dtypes import is_inexact
from functrace.errors import DTypeError, StructureError, compose
from functrace.interpreters.batching import batch_jaxpr
from functrace.interpreters.forward import JVPTrace
from functrace.source_info import api_boundary

__all__ = ["custom_vjp", "custom_vjp_call_p"]


class custom_vjp(CustomFunction):  # noqa: N801 - used as a function, by JAX's name
    """A function whose reverse mode is a pair of rules of yours.

    Args:
        fun: the function.
        nondiff_argnums: positions of arguments that have no derivative; Python values mostly. The
            forward rule takes them at their places, the backward rule first.
        nondiff_argnames: likewise by name.

    Example:
        >>> import functrace as ft
        >>> import functrace.numpy as fnp
        >>> @ft.custom_vjp
        ... def clipped(x):
        ...     return x
        >>> clipped.defvjp(lambda x: (x, None), lambda _, ct: (fnp.clip(ct, -1.0, 1.0),))
        >>> ft.grad(lambda x: 5.0 * clipped(x))(2.0)
        np.float64(1.0)
    """

    what = "custom_vjp"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.symbolic_zeros = False

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Set the rules.

        Args:
            fwd: takes the arguments; returns the output and the residuals, any tree of arrays.
            bwd: ``bwd(*nondiff, residuals, cotangent)``, with a cotangent of the output's
                structure, zeros where nothing depends on it. Returns a tuple with a cotangent for
                each argument that isn't in ``nondiff_argnums``; None, for an argument or in place
                of any part of it, is zero.
            symbolic_zeros: give ``fwd`` each leaf as a ``custom_derivatives.CustomVJPPrimal``, and
                ``bwd`` cotangents that are zero as instances of ``SymbolicZero``.
            optimize_remat: accepted for JAX's sake; dead parts of rules go in any case.
        """
        self.fwd, self.bwd, self.symbolic_zeros = fwd, bwd, symbolic_zeros

    def functions(self) -> tuple[Any, ...]:
        """Return the user's functions: this one and its rules."""
        return (self.fun, self.fwd, self.bwd)

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if self.fwd is None or self.bwd is None:
            raise AttributeError(f"custom_vjp of {self.name} has no rules. Try: .defvjp(fwd, bwd).")
        if runs_as_python(state.trace):
            return self.fun(*args, **kwargs)
        return _Call(self, Arguments(self, args, kwargs)).result()


class _Call(FlatCall):
    """One call of a custom_vjp function, flat."""

    def __init__(self, custom: custom_vjp, arguments: Arguments) -> None:
        super().__init__(custom, arguments)
        self.custom = custom

    def differentiate(self, trace: JVPTrace, leaves: Sequence[Any]) -> list[Any]:
        """Run the rule, on concrete values if there are."""
        custom = self.custom
        primals, tangents = open_jvp_arguments(
            trace, leaves, self.arguments.nondiff, custom.fwd, custom.bwd
        )
        moves = any(t is not None for t in tangents)
        if moves and not trace.linearizes:
            raise forward_mode_error(custom.name)
        state.trace = trace.parent  # type: ignore[assignment]
        try:
            if not moves:
                return self.apply(primals)
            forward = self.forward((), primals, [t is not None for t in tangents])
            state.trace = trace.tangent_trace
            out_tangents = bind_pullback(forward, tangents, custom.name)
        finally:
            state.trace = trace
        return [o if t is None else trace.wrap(o, t) for o, t in zip(forward.outs, out_tangents)]

    # --- the user's rules ---

    def forward(
        self, consts: Sequence[Any], primals: Sequence[Any], moves: Sequence[bool]
    ) -> Forward:
        """Run the forward rule: ``Rules``."""
        assert self.custom.fwd is not None
        what = f"the forward rule of custom_vjp {self.custom.name}"
        given: Sequence[Any] = primals
        if self.custom.symbolic_zeros:
            given = [CustomVJPPrimal(p, m) for p, m in zip(primals, moves)]
        result = self.custom.fwd(*self.arguments.rebuild(given))
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                compose(
                    f"{what} returned {type(result).__name__}.",
                    "it returns a pair: the output, and the residuals for the backward rule.",
                )
            )
        outs, out_tree = flat_values(result[0], f"the output of {what}")
        if self.out_tree is not None and out_tree != self.out_tree:
            raise StructureError(
                compose(
                    f"{what} returned an output of structure {out_tree}.",
                    f"the function itself returns {self.out_tree}.",
                )
            )
        self.out_tree = out_tree
        residuals, residual_tree = tree.flatten(result[1])
        for residual in residuals:
            if not is_array_like(residual):
                raise DTypeError(
                    compose(
                        f"{what} returned the residual {residual!r}.",
                        "residuals are trees of arrays and numbers.",
                        "nondiff_argnums for other Python values.",
                    )
                )
        out_avals = [typeof(o) for o in outs]
        in_avals = [typeof(p) for p in primals]
        return Forward(outs, residuals, self._pull(residual_tree, out_tree, out_avals, in_avals))

    def _pull(
        self,
        residual_tree: Any,
        out_tree: Any,
        out_avals: list[ShapedArray],
        in_avals: list[ShapedArray],
    ) -> Pull:
        bwd, nondiff = self.custom.bwd, self.arguments.nondiff
        symbolic = self.custom.symbolic_zeros
        assert bwd is not None

        def pull(residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
            given = iter(cotangents)
            known = [next(given) if is_inexact(a.dtype) else None for a in out_avals]
            cts = [zero_tangent(a, symbolic) if c is None else c for c, a in zip(known, out_avals)]
            result = bwd(*nondiff, residual_tree.unflatten(residuals), out_tree.unflatten(cts))
            return self._pulled(result, in_avals)

        return pull

    def _pulled(self, result: Any, in_avals: list[ShapedArray]) -> list[Any]:
        """Return what the backward rule returned as a cotangent or None for each leaf."""
        what = f"the backward rule of custom_vjp {self.custom.name}"
        arguments = self.arguments
        if not isinstance(result, (tuple, list)) or len(result) != len(arguments.moving):
            got = f"{len(result)}" if isinstance(result, (tuple, list)) else type(result).__name__
            raise StructureError(
                compose(
                    f"{what} returned {got} in place of {len(arguments.moving)} cotangents.",
                    "it returns a tuple with one for each argument that may move.",
                    "None for an argument without a cotangent.",
                )
            )
        given = tree.prefix_leaves(tuple(result), arguments.in_tree, f"what {what} returned")

        def place(i: int) -> str:
            return f"the cotangent of {arguments.place(i)} from {what}"

        return [
            None if ct is None else checked_leaf(ct, aval, functools.partial(place, i))
            for i, (ct, aval) in enumerate(zip(given, in_avals))
        ]

    # --- recording ---

    def record(self, leaves: Sequence[Any]) -> list[Any]:
        """Bind the primitive."""
        custom = self.custom
        avals = [typeof(v) for v in leaves]
        jaxpr, consts = stage_open(self.run, avals, f"custom_vjp({custom.__name__})")  # type: ignore[attr-defined]
        rules: Rules
        if closes_over_tracers(*custom.functions(), self.arguments.nondiff):
            jaxpr, consts, rules = self._close(jaxpr, consts, avals)
        else:
            rules = known_rule(self.arguments, self.forward)
        outs = custom_vjp_call_p.bind(
            *consts, *leaves, jaxpr=jaxpr, rules=rules, num_consts=len(consts), name=custom.name
        )
        return list(outs)

    def _close(
        self, jaxpr: ClosedJaxpr, consts: list[Any], avals: list[ShapedArray]
    ) -> tuple[ClosedJaxpr, list[Any], Rules]:
        """Trace both rules now, while the values they close over are alive, and pass them on."""
        made: list[Forward] = []

        def flat_fwd(*primals: Any) -> list[Any]:
            made.append(self.forward((), primals, moving))
            return [*made[-1].outs, *made[-1].residuals]

        found: list[bool] = []
        moving = [is_inexact(a.dtype) for a in avals]

        def flat_bwd(*args: Any) -> list[Any]:
            pulled = made[-1].pull(args[:n_residuals], args[n_residuals:])
            found[:] = [ct is not None for ct in pulled]
            return [ct for ct in pulled if ct is not None]

        with staging_rules_of(self.custom) as allowed:
            if not allowed:
                return jaxpr, consts, self.forward
            name = f"the rules of custom_vjp {self.custom.name}"
            fwd, fwd_consts = stage_open(flat_fwd, avals, name)
            n_residuals = len(made[-1].residuals)
            n_outs = len(fwd.out_avals) - n_residuals
            cts = [a.strong() for a in fwd.out_avals[:n_outs] if is_inexact(a.dtype)]
            bwd, bwd_consts = stage_open(flat_bwd, [*fwd.out_avals[n_outs:], *cts], name)
        more = [*fwd_consts, *bwd_consts]
        rules = StagedRules(fwd, bwd, n_outs, len(consts), len(fwd_consts), list(found))
        return with_unused_inputs(jaxpr, len(consts), more), [*consts, *more], rules


# --- the primitive -----------------------------------------------------------------------------

custom_vjp_call_p = Primitive("custom_vjp_call", multiple_results=True)


@custom_vjp_call_p.def_impl
def _call_impl(*args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *args)


@custom_vjp_call_p.def_abstract_eval
def _call_type(*avals: ShapedArray, jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return jaxpr.out_avals


@custom_vjp_call_p.def_jvp
def _call_jvp(primals: Any, tangents: Any, *, name: str, **params: Any) -> NoReturn:
    raise forward_mode_error(name)


@custom_vjp_call_p.def_linearize
def _call_linearize(
    parent: Trace,
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    *,
    jaxpr: ClosedJaxpr,
    rules: Rules,
    num_consts: int,
    name: str,
) -> tuple[list[Any], list[bool], Callable[[list[Any]], list[Any]]]:
    refuse_moving_closure([n or None for n in nonzero[:num_consts]], f"custom_vjp of {name}")
    forward = rules(primals[:num_consts], primals[num_consts:], nonzero[num_consts:])
    check_rule_outputs(forward.outs, jaxpr, f"the forward rule of custom_vjp {name}")
    moves = [is_inexact(a.dtype) for a in jaxpr.out_avals]

    def linear(tangents: list[Any]) -> list[Any]:
        given = iter(tangents)
        spread = [next(given) if nz else None for nz in nonzero[num_consts:]]
        return [t for t in bind_pullback(forward, spread, name) if t is not None]

    return forward.outs, moves, linear


custom_vjp_call_p.def_transpose(nested_transpose)


@custom_vjp_call_p.def_batching
def _call_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    jaxpr: ClosedJaxpr,
    rules: Rules,
    num_consts: int,
    name: str,
) -> tuple[list[Any], list[int]]:
    batched, _ = batch_jaxpr(jaxpr, size, tuple(dims), (True,) * len(jaxpr.out_avals))
    outs = custom_vjp_call_p.bind(
        *args,
        jaxpr=batched,
        rules=BatchedRules(rules, size, dims),
        num_consts=num_consts,
        name=name,
    )
    return outs, [0] * len(outs)


custom_vjp_call_p.def_lowering(Nested("jaxpr"))
