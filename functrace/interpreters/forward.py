"""Forward mode: carry tangents beside primals.

``linearize`` is this same trace with another place for its tangents: they are recorded instead of
computed (``interpreters.linearize``). So there is one way through the derivative rules.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from functrace.core.aval import ShapedArray, typeof
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
from functrace.ops.arithmetic import add_p
from functrace.ops.broadcasting import broadcast_to
from functrace.ops.creation import zeros_like_aval
from functrace.ops.operators import ArrayOperators
from functrace.source_info import current_source

ndarray = np.ndarray  # a global name is quicker to look up than an attribute

__all__ = ["JVPTrace", "JVPTracer", "jvp_flat", "jvp_jaxpr"]

# --- Tracer ------------------------------------------------------------------------------------


class JVPTracer(ArrayOperators, Tracer):
    """A primal with its tangent; None is zero, that of an array made under the trace."""

    __slots__ = ("primal", "tangent", "weak")

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any) -> None:
        self._trace = trace
        self.primal = primal
        self.tangent = tangent
        self.weak = False

    @property
    def aval(self) -> ShapedArray:
        """The abstract value of the primal."""
        aval = typeof(self.primal)
        return aval.update(weak_type=self.weak)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the primal."""
        return self.primal.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the primal."""
        return self.primal.dtype  # type: ignore[no-any-return]

    @property
    def weak_type(self) -> bool:
        """Whether it came from Python numbers only."""
        return self.weak

    def mark_weak(self) -> None:
        """Let it give way in promotion: it came from Python numbers only."""
        self.weak = True

    def __bool__(self) -> bool:
        return bool(self.primal)

    # A tracer without a tangent (a new array made inside the trace) has nothing to lose.

    def __float__(self) -> float:
        return float(self.primal) if self.tangent is None else super().__float__()

    def __int__(self) -> int:
        return int(self.primal) if self.tangent is None else super().__int__()

    def __complex__(self) -> complex:
        return complex(self.primal) if self.tangent is None else super().__complex__()

    def __index__(self) -> int:
        return operator.index(self.primal) if self.tangent is None else super().__index__()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
        if self.tangent is None:
            return np.array(self.primal, *args[:1])
        return super().__array__(*args, **kwargs)

    def item(self, *args: Any) -> Any:
        """The Python number, when it carries no tangent."""
        return self.primal.item(*args) if self.tangent is None else super().item(*args)

    def tolist(self) -> Any:
        """The Python values, when they carry no tangent."""
        return self.primal.tolist() if self.tangent is None else super().tolist()

    def __format__(self, spec: str) -> str:
        # Text carries no derivative, so the primal's is as good.
        return format(self.primal, spec)

    def __repr__(self) -> str:
        return f"Traced<{self.aval}> by {self._trace.what} with primal {self.primal!r}"


# --- Trace -------------------------------------------------------------------------------------


class JVPTrace(Trace):
    """Computes primals under its parent and tangents under ``tangent_trace``.

    For ``jvp`` that is the parent too; for ``linearize`` a trace that records linear equations.
    """

    __slots__ = ("linearizes", "name", "on_parent", "tangent_trace")

    def __init__(
        self, parent: Trace, tangent_trace: Trace | None = None, name: str = "jvp"
    ) -> None:
        super().__init__(parent)
        self.on_parent = tangent_trace is None
        self.tangent_trace = parent if tangent_trace is None else tangent_trace
        self.linearizes = _meets_linear(self.tangent_trace)
        self.name = name

    @property
    def what(self) -> str:  # type: ignore[override]
        """The transformation, for messages."""
        return self.name

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Compute the primal result and, where an argument has a tangent, its tangent."""
        primals, tangents, active, still = [], [], False, False
        for a in args:
            if type(a) is JVPTracer and a._trace is self:
                primals.append(a.primal)
                tangents.append(a.tangent)
                if a.tangent is None:
                    still = True
                else:
                    active = True
            else:
                if type(a) is ndarray and not self.on_parent:
                    self.tangent_trace.notice(a)  # type: ignore[attr-defined]
                primals.append(a)
                tangents.append(None)
        parent = self.parent
        state.trace = parent  # type: ignore[assignment]
        try:
            if not active or primitive.not_differentiable is not None:
                out = parent.process(primitive, primals, params)  # type: ignore[union-attr]
                # What is computed of new arrays alone stays this trace's, if it can move.
                keep = still and type(out) is ndarray and out.dtype.kind in "fc"
                return self.adopt(out) if keep else out
            if primitive.jvp_each is not None:
                return self._apply_each(primitive, primals, tangents, params)
            return self._apply_whole(primitive, primals, tangents, params)
        finally:
            state.trace = self

    def _apply_each(
        self, primitive: Primitive, primals: list[Any], tangents: list[Any], params: dict[str, Any]
    ) -> Any:
        out = self.parent.process(primitive, primals, params)  # type: ignore[union-attr]
        state.trace = self.tangent_trace
        rules = primitive.jvp_each
        total = None
        for i, tangent in enumerate(tangents):
            if tangent is None:
                continue
            rule = rules[i] if i < len(rules) else rules[-1]  # type: ignore[arg-type,index]
            if rule is None:
                continue
            term = rule(tangent, out, *primals, **params)
            if term is None:
                continue
            if primitive.elementwise and out.shape and not tangent.shape:
                term = broadcast_to(term, out.shape)  # the tangent of a 0-d operand
            elif not self.on_parent:
                term.tell_type(out)
            total = term if total is None else add_p.bind(total, term)
        return out if total is None else self.wrap(out, total)

    def _apply_whole(
        self, primitive: Primitive, primals: list[Any], tangents: list[Any], params: dict[str, Any]
    ) -> Any:
        if primitive.linearize is not None and self.linearizes:
            outs, nonzero, linear = primitive.linearize(
                self.parent, primals, [t is not None for t in tangents], **params
            )
            state.trace = self.tangent_trace
            moving = iter(linear([t for t in tangents if t is not None]))
            return [self.wrap(o, next(moving)) if nz else o for o, nz in zip(outs, nonzero)]
        rule = primitive.rule("jvp", self.what)
        state.trace = self.tangent_trace
        outs, out_tangents = rule(primals, tangents, **params)
        if not primitive.multiple_results:
            return outs if out_tangents is None else self.wrap(outs, out_tangents)
        return [o if t is None else self.wrap(o, t) for o, t in zip(outs, out_tangents)]

    def adopt(self, array: Any) -> Any:
        """Return a new array as a primal without a tangent."""
        return JVPTracer(self, array, None)

    def wrap(self, primal: Any, tangent: Any) -> JVPTracer:
        """Return the tracer of a result."""
        if not self.on_parent:
            tangent.tell_type(primal)
        return JVPTracer(self, primal, tangent)

    def refuse(self, tracer: Tracer, kind: str) -> NoReturn:
        """Explain that a Python number would silently lose the derivative."""
        raise concretization_error(
            kind,
            f"{_ASKED.get(kind, kind)} was asked of {tracer!r} at {current_source()}.",
            f"it depends on the inputs of {self.what}, and a plain value would silently lose "
            "that dependence (a wrong zero gradient).",
            _ADVICE.get(kind, _ADVICE["float"]),
        )


def _meets_linear(trace: Trace | None) -> bool:
    """Tell whether tangents may end up recorded: then they may share no equation with primals."""
    while trace is not None and not trace.records_linear:
        trace = trace.parent
    return trace is not None


_ASKED = {
    "float": "a Python float",
    "int": "a Python int",
    "index": "a Python integer (index)",
    "complex": "a Python complex",
    "array": "a plain NumPy array",
    "item": "a Python value (.item())",
    "list": "Python values (.tolist())",
}

_ADVICE = {
    "float": "NumPy's functions instead of math's (np.sin(x)); to write into a plain array, "
    "functrace.numpy.at(buffer)[i].set(x); or, if a constant is meant, "
    "float(lax.stop_gradient(x)).",
    "int": "int(lax.stop_gradient(x)); integers have no derivative.",
    "array": "the function of the same name in functrace.numpy (this one of NumPy's doesn't "
    "dispatch on its arguments); to write into an array, functrace.numpy.at(buffer)[i].set(x); "
    "if a constant is meant, np.asarray(lax.stop_gradient(x)).",
}


# --- functions and jaxprs ----------------------------------------------------------------------


def jvp_flat(
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    name: str = "jvp",
) -> tuple[list[Any], list[Any]]:
    """Push tangents (None is zero) forward through a flat function."""
    parent = state.trace
    trace = JVPTrace(parent, name=name)
    args = [p if t is None else JVPTracer(trace, p, t) for p, t in zip(primals, tangents)]
    enter(trace)
    try:
        outs = fun(*args)
    finally:
        leave(trace, parent)
    return split_outputs(trace, outs)


def split_outputs(trace: JVPTrace, outs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return the primals and the tangents (None is zero) of a traced function's outputs."""
    primals, tangents = [], []
    for out in outs:
        mine = type(out) is JVPTracer and out._trace is trace
        primals.append(out.primal if mine else out)
        tangents.append(out.tangent if mine else None)
    return primals, tangents


def jvp_jaxpr(
    closed: ClosedJaxpr, nonzero: tuple[bool, ...], instantiate: tuple[bool, ...] = ()
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """Return the jaxpr of primals and nonzero tangents to outs and nonzero out tangents.

    Args:
        closed: the jaxpr to differentiate.
        nonzero: which inputs have a tangent.
        instantiate: which outputs get a tangent in any case, of zeros if need be.

    Returns:
        The new jaxpr, and which outputs have a tangent.
    """
    key = ("jvp", nonzero, instantiate)
    known = closed.memo.get(key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    found: list[bool] = []

    def fun(*args: Any) -> list[Any]:
        primals, moving = args[: len(nonzero)], iter(args[len(nonzero) :])
        tangents = [next(moving) if nz else None for nz in nonzero]
        outs, out_tangents = jvp_flat(
            lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs), primals, tangents
        )
        for i, wanted in enumerate(instantiate):
            if wanted and out_tangents[i] is None:
                out_tangents[i] = zeros_like_aval(typeof(outs[i]).tangent())
        found[:] = [t is not None for t in out_tangents]
        return outs + [t for t in out_tangents if t is not None]

    avals = closed.in_avals
    moving_avals = [a for a, nz in zip(avals, nonzero) if nz]
    result = stage(fun, [*avals, *moving_avals], "jvp"), tuple(found)
    closed.memo[key] = result
    return result
