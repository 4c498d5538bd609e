"""custom_jvp: a function whose derivative is given by a rule.

Where nothing is recorded the rule runs as Python on concrete values. While a jaxpr is recorded the
call becomes one equation; its rule still runs as Python, when the equation is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace import tree
from functrace.control.rules.closures import closes_over_tracers, stage_open
from functrace.control.rules.custom_rules import (
    Arguments,
    CustomFunction,
    FlatCall,
    check_rule_outputs,
    checked_like,
    linear_or_zero,
    nested_transpose,
    open_jvp_arguments,
    refuse_moving_closure,
    runs_as_python,
    staging_rules_of,
    with_unused_inputs,
    zero_tangent,
)
from functrace.control.rules.known_rules import known_rule
from functrace.core.arguments import flat_values
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.core.lowering import Nested
from functrace.core.trace import Primitive, state
from functrace.dtypes import is_inexact
from functrace.errors import StructureError, compose
from functrace.interpreters.batching import batch_flat, batch_jaxpr, materialize
from functrace.interpreters.forward import JVPTrace
from functrace.source_info import api_boundary

__all__ = ["custom_jvp", "custom_jvp_call_p"]

JvpRule = Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], tuple[list[Any], list[Any]]]
"""``(consts, primals, tangents) -> (outs, out_tangents)``, all flat; None is a zero tangent."""


class custom_jvp(CustomFunction):  # noqa: N801 - used as a function, by JAX's name
    """A function that is differentiated by a rule of yours, forward and backward.

    The rule is Python. A closure over values of transformations is fine, but not over what is
    being differentiated: that is an error, as the rule can't tell the derivative.

    Args:
        fun: the function.
        nondiff_argnums: positions of arguments that have no derivative; Python values mostly. The
            rule is given them first.
        nondiff_argnames: likewise by name.

    Example:
        >>> import functrace as ft
        >>> import functrace.numpy as fnp
        >>> @ft.custom_jvp
        ... def log1pexp(x):
        ...     return fnp.log(1.0 + fnp.exp(x))
        >>> @log1pexp.defjvp
        ... def log1pexp_jvp(primals, tangents):
        ...     (x,), (t,) = primals, tangents
        ...     return log1pexp(x), (1.0 - 1.0 / (1.0 + fnp.exp(x))) * t
        >>> ft.grad(log1pexp)(100.0)
        np.float64(1.0)
    """

    what = "custom_jvp"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.jvp: Callable[..., Any] | None = None
        self.each: tuple[Callable[..., Any] | None, ...] | None = None
        self.symbolic_zeros = False

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule: ``jvp(*nondiff, primals, tangents) -> (out, out_tangent)``.

        It must be linear in the tangents. Tangents that are zero are given as arrays of zeros,
        those of integers as arrays of dtype ``float0``; or, with ``symbolic_zeros``, as instances
        of ``custom_derivatives.SymbolicZero``, which the rule may return too.
        """
        self.jvp, self.each, self.symbolic_zeros = jvp, None, symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set one rule for each argument: ``rule(tangent, out, *primals) -> out_tangent``.

        None marks an argument without a derivative. The terms are summed.
        """
        if self.nondiff:
            raise TypeError(
                f"custom_jvp of {self.name}: defjvps knows no nondiff_argnums; use defjvp."
            )
        self.each, self.jvp = jvps, None

    def functions(self) -> tuple[Any, ...]:
        """Return the user's functions: this one and its rules."""
        return (self.fun, self.jvp, *(self.each or ()))

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if self.jvp is None and self.each is None:
            raise AttributeError(f"custom_jvp of {self.name} has no rule. Try: .defjvp(rule).")
        if runs_as_python(state.trace):
            return self.fun(*args, **kwargs)
        return _Call(self, Arguments(self, args, kwargs)).result()


class _Call(FlatCall):
    """One call of a custom_jvp function, flat."""

    def __init__(self, custom: custom_jvp, arguments: Arguments) -> None:
        super().__init__(custom, arguments)
        self.custom = custom

    def differentiate(self, trace: JVPTrace, leaves: Sequence[Any]) -> list[Any]:
        """Run the rule, on concrete values if there are."""
        custom, nondiff = self.custom, self.arguments.nondiff
        rules = (custom.jvp, *(custom.each or ()))
        primals, tangents = open_jvp_arguments(trace, leaves, nondiff, *rules)
        moves = any(t is not None for t in tangents)
        state.trace = trace.tangent_trace if moves else trace.parent  # type: ignore[assignment]
        try:
            if not moves:
                return self.apply(primals)
            outs, out_tangents = self.rule((), primals, tangents)
        finally:
            state.trace = trace
        return [o if t is None else trace.wrap(o, t) for o, t in zip(outs, out_tangents)]

    def rule(
        self, consts: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Run the user's rule: a ``JvpRule``."""
        known = self.out_tree
        if self.custom.jvp is not None:
            out, out_tangent = self._whole_rule(self.custom.jvp, primals, tangents)
        else:
            out, out_tangent = self._rule_of_each(primals, tangents)
        what = f"the rule of custom_jvp {self.custom.name}"
        outs, out_tree = flat_values(out, f"the output of {what}")
        if known is not None and out_tree != known:
            raise StructureError(
                compose(
                    f"{what} returned an output of structure {out_tree}.",
                    f"the function itself returns {known}.",
                )
            )
        self.out_tree = out_tree
        if out_tangent is None:
            return outs, [None] * len(outs)
        avals = [typeof(o) for o in outs]
        checked = checked_like(out_tangent, out_tree, avals, f"the tangent that {what} returned")
        return outs, [linear_or_zero(t, what) for t in checked]

    def _whole_rule(
        self, jvp: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Any, Any]:
        arguments, symbolic = self.arguments, self.custom.symbolic_zeros
        full = [
            zero_tangent(typeof(p), symbolic) if t is None else t for p, t in zip(primals, tangents)
        ]
        result = jvp(*arguments.nondiff, arguments.trees(primals), arguments.trees(full))
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                compose(
                    f"the rule of custom_jvp {self.custom.name} returned {type(result).__name__}.",
                    "a rule returns a pair: the output and its tangent.",
                )
            )
        return result[0], result[1]

    def _rule_of_each(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        rules, arguments = self.custom.each or (), self.arguments
        args = arguments.trees(primals)
        if len(rules) != len(args):
            raise TypeError(
                f"custom_jvp of {self.custom.name}: {len(rules)} rules for {len(args)} arguments."
            )
        out = self.custom(*args)
        full = [zero_tangent(typeof(p)) if t is None else t for p, t in zip(primals, tangents)]
        moves = arguments.trees([t is not None for t in tangents])
        total: Any = None
        for rule, tangent, moved in zip(rules, arguments.trees(full), moves):
            if rule is not None and any(tree.leaves(moved)):
                term = rule(tangent, out, *args)
                total = term if total is None else tree.map(lambda a, b: a + b, total, term)
        return out, total

    # --- recording ---

    def record(self, leaves: Sequence[Any]) -> list[Any]:
        """Bind the primitive."""
        custom = self.custom
        avals = [typeof(v) for v in leaves]
        jaxpr, consts = stage_open(self.run, avals, f"custom_jvp({custom.__name__})")  # type: ignore[attr-defined]
        rule: JvpRule
        if closes_over_tracers(*custom.functions(), self.arguments.nondiff):
            jaxpr, consts, rule = self._close(jaxpr, consts, avals)
        else:
            rule = known_rule(self.arguments, self.rule)
        outs = custom_jvp_call_p.bind(
            *consts, *leaves, jaxpr=jaxpr, rule=rule, num_consts=len(consts), name=custom.name
        )
        return list(outs)

    def _close(
        self, jaxpr: ClosedJaxpr, consts: list[Any], avals: list[ShapedArray]
    ) -> tuple[ClosedJaxpr, list[Any], JvpRule]:
        """Trace the rule now, while the values it closes over are alive, and pass them on."""
        n = len(avals)
        moving = [is_inexact(a.dtype) for a in avals]
        found: list[bool] = []

        def flat_rule(*args: Any) -> list[Any]:
            given = iter(args[n:])
            tangents = [next(given) if m else None for m in moving]
            outs, out_tangents = self.rule((), args[:n], tangents)
            found[:] = [t is not None for t in out_tangents]
            return outs + [t for t in out_tangents if t is not None]

        with staging_rules_of(self.custom) as allowed:
            if not allowed:
                return jaxpr, consts, self.rule
            tangent_avals = [a.strong() for a, m in zip(avals, moving) if m]
            name = f"the rule of custom_jvp {self.custom.name}"
            rule, more = stage_open(flat_rule, [*avals, *tangent_avals], name)
        return (
            with_unused_inputs(jaxpr, len(consts), more),
            [*consts, *more],
            _StagedRule(rule, len(consts), moving, list(found)),
        )


class _StagedRule:
    """A rule that was traced: its jaxpr takes its own constants, all primals and all tangents."""

    def __init__(
        self, jaxpr: ClosedJaxpr, skip: int, moving: list[bool], out_moves: list[bool]
    ) -> None:
        self.jaxpr, self.skip, self.moving, self.out_moves = jaxpr, skip, moving, out_moves

    def __repr__(self) -> str:
        return "traced"

    def __call__(
        self, consts: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        given = [
            zero_tangent(typeof(p)) if t is None else t
            for p, t, m in zip(primals, tangents, self.moving)
            if m
        ]
        results = eval_jaxpr(self.jaxpr.jaxpr, (), *consts[self.skip :], *primals, *given)
        n = len(self.out_moves)
        moved = iter(results[n:])
        found = [next(moved) if m else None for m in self.out_moves]
        return results[:n], [linear_or_zero(t, "a rule") for t in found]


class _BatchedRule:
    """A rule for all lanes at once; outputs and their tangents have the lanes first."""

    def __init__(self, rule: JvpRule, size: int, dims: Sequence[int | None]) -> None:
        self.rule, self.size, self.dims = rule, size, tuple(dims)

    def __repr__(self) -> str:
        return "batched"

    def __call__(
        self, consts: Sequence[Any], primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        n, m = len(consts), len(primals)
        arg_dims = self.dims[n:]
        moving = [t is not None for t in tangents]
        found: list[bool] = []

        def flat_rule(*args: Any) -> list[Any]:
            given = iter(args[n + m :])
            lane_tangents = [next(given) if moves else None for moves in moving]
            outs, out_tangents = self.rule(args[:n], args[n : n + m], lane_tangents)
            found[:] = [t is not None for t in out_tangents]
            return outs + [t for t in out_tangents if t is not None]

        args = [*consts, *primals, *(t for t in tangents if t is not None)]
        dims = [*self.dims, *(d for d, moves in zip(arg_dims, moving) if moves)]
        results, out_dims = batch_flat(flat_rule, self.size, args, dims)
        lanes = [materialize(self.size, r, d) for r, d in zip(results, out_dims)]
        moved = iter(lanes[len(found) :])
        return lanes[: len(found)], [next(moved) if moves else None for moves in found]


# --- the primitive -----------------------------------------------------------------------------

custom_jvp_call_p = Primitive("custom_jvp_call", multiple_results=True)


@custom_jvp_call_p.def_impl
def _call_impl(*args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    return eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *args)


@custom_jvp_call_p.def_abstract_eval
def _call_type(*avals: ShapedArray, jaxpr: ClosedJaxpr, **params: Any) -> list[ShapedArray]:
    return jaxpr.out_avals


@custom_jvp_call_p.def_jvp
def _call_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    jaxpr: ClosedJaxpr,
    rule: JvpRule,
    num_consts: int,
    name: str,
) -> tuple[list[Any], list[Any]]:
    refuse_moving_closure(tangents[:num_consts], f"custom_jvp of {name}")
    outs, out_tangents = rule(primals[:num_consts], primals[num_consts:], tangents[num_consts:])
    check_rule_outputs(outs, jaxpr, f"the rule of custom_jvp {name}")
    return outs, out_tangents


custom_jvp_call_p.def_transpose(nested_transpose)


@custom_jvp_call_p.def_batching
def _call_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    jaxpr: ClosedJaxpr,
    rule: JvpRule,
    num_consts: int,
    name: str,
) -> tuple[list[Any], list[int]]:
    batched, _ = batch_jaxpr(jaxpr, size, tuple(dims), (True,) * len(jaxpr.out_avals))
    outs = custom_jvp_call_p.bind(
        *args,
        jaxpr=batched,
        rule=_BatchedRule(rule, size, dims),
        num_consts=num_consts,
        name=name,
    )
    return outs, [0] * len(outs)


custom_jvp_call_p.def_lowering(Nested("jaxpr"))
