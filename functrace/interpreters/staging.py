"""Staging: run a function on abstract tracers and record a jaxpr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from functrace.config import config
from functrace.core.aval import ShapedArray, fellow_dtype, is_python_number, typeof
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, check_jaxpr
from functrace.core.trace import (
    Primitive,
    Trace,
    Tracer,
    concretization_error,
    enter,
    leaked_tracer_error,
    leave,
    state,
)
from functrace.ops.operators import ArrayOperators
from functrace.source_info import current_source, replayed

__all__ = ["JaxprTrace", "JaxprTracer", "may_change", "nearest_stager", "same_bits", "stage"]

# --- Tracer ------------------------------------------------------------------------------------


class JaxprTracer(ArrayOperators, Tracer):
    """A variable of the jaxpr that is being recorded."""

    __slots__ = ("_aval", "variable")  # not "var": that is a method of arrays

    def __init__(self, trace: JaxprTrace, aval: ShapedArray, variable: Var) -> None:
        self._trace = trace
        self._aval = aval
        self.variable = variable

    @property
    def aval(self) -> ShapedArray:
        """The abstract value."""
        return self._aval

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self._aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype."""
        return self._aval.dtype

    def mark_weak(self) -> None:
        """Let it give way in promotion: it came from Python numbers only."""
        self._aval = self._aval.update(weak_type=True)


# --- Trace -------------------------------------------------------------------------------------

_ADVICE = {
    "bool": "np.where(condition, a, b) or lax.cond; or mark the argument that decides static "
    "(static_argnums).",
    "int": "mark the argument static (static_argnums), or use x.shape.",
    "index": "functrace.numpy.take(x, i, axis=0) instead of x[i] for a plain array or a list x; "
    "or mark the argument static (static_argnums).",
    "float": "np.sin instead of math.sin and the like; to write into a plain array, "
    "functrace.numpy.at(buffer)[i].set(x); or mark the argument static.",
    "mask": "np.where(mask, x, 0) instead of x[mask], whose shape depends on values; or "
    "x.at[mask].set(v).",
    "array": "the function of the same name in functrace.numpy, as this one of NumPy's doesn't "
    "dispatch on its arguments; for a plain array x, functrace.numpy.take(x, i, axis=0) or "
    "functrace.numpy.array(x)[i] instead of x[i].",
    "format": "return the value and format it outside.",
}


class Constant(NamedTuple):
    """A captured value: its variable, the value as captured, and the array it is a copy of."""

    var: Var
    value: Any
    original: Any


class JaxprTrace(Trace):
    """Records each primitive as an equation; what isn't its own becomes a constant.

    Arrays that may change are copied when they are captured, and compared when they are met
    again: a buffer refilled while tracing is as many constants.
    """

    __slots__ = ("consts", "current", "eqns", "invars", "name")

    def __init__(self, parent: Trace, name: str) -> None:
        super().__init__(parent)
        self.name = name
        self.eqns: list[JaxprEqn] = []
        self.invars: list[Var] = []
        self.consts: list[Constant] = []
        self.current: dict[int, Constant] = {}

    @property
    def what(self) -> str:  # type: ignore[override]
        """What is being traced, for messages."""
        return f"the tracing of {self.name}"

    def new_input(self, aval: ShapedArray) -> JaxprTracer:
        """Return the tracer of a new input."""
        var = Var(aval)
        self.invars.append(var)
        return JaxprTracer(self, aval, var)

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Record one equation and return the tracers of its results."""
        atoms = [
            a.variable
            if type(a) is JaxprTracer and a._trace is self
            else self._lift(a, primitive, args)
            for a in args
        ]
        rule = primitive.rule("abstract_eval", self.what)
        result = rule(*(a.aval for a in atoms), **params)
        avals = result if primitive.multiple_results else (result,)
        outvars = [Var(aval) for aval in avals]
        self.eqns.append(JaxprEqn(primitive, atoms, outvars, params, current_source()))
        tracers = [JaxprTracer(self, v.aval, v) for v in outvars]
        return tracers if primitive.multiple_results else tracers[0]

    def _lift(self, value: Any, primitive: Primitive | None, args: Sequence[Any]) -> Atom:
        """Return the atom of a value from outside: a literal, or a constant it captures."""
        if is_python_number(value):
            return _python_literal(value, primitive, args)
        if type(value) is np.ndarray and value.ndim == 0:
            value = value[()]
        if isinstance(value, np.generic):
            return Literal(value, typeof(value).strong())
        if isinstance(value, Tracer) and (
            value._trace is self or not self.is_ancestor_or_self(value._trace)
        ):
            raise leaked_tracer_error(value, self, primitive)
        return self._capture(value).var

    def _capture(self, value: Any) -> Constant:
        known = self.current.get(id(value))
        if known is None or (known.value is not value and not same_bits(known.value, value)):
            copy: Any = value
            if type(value) is np.ndarray and may_change(value):
                copy = value.copy()
                copy.flags.writeable = False
            known = Constant(Var(typeof(value).strong()), copy, value)
            self.consts.append(known)
            self.current[id(value)] = known
        return known

    def constant(self, value: Any) -> JaxprTracer:
        """Capture a value now; return its tracer."""
        known = self._capture(value)
        return JaxprTracer(self, known.var.aval, known.var)

    def captured(self) -> list[tuple[Any, Any]]:
        """Return the arrays that may change, each with the copy of what it held."""
        return [(c.original, c.value) for c in self.current.values() if c.value is not c.original]

    def atom(self, value: Any) -> Atom:
        """Return the atom of an output of the traced function."""
        if type(value) is JaxprTracer and value._trace is self:
            return value.variable
        return self._lift(value, None, ())

    def refuse(self, tracer: Tracer, kind: str) -> NoReturn:
        """Explain that a staged value is not known, with the user's line."""
        raise concretization_error(
            kind,
            f"{_ASKED[kind]} was asked of {tracer!r} at {current_source()}.",
            f"while {self.name} is traced the value is not known, only its type {tracer.aval}.",
            _ADVICE.get(kind, _ADVICE["format"]),
        )

    def finish(self, outs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
        """Return the jaxpr with these outputs, and the values of its constvars."""
        outvars = [self.atom(out) for out in outs]
        constvars = [c.var for c in self.consts]
        jaxpr = Jaxpr(constvars, self.invars, outvars, self.eqns)
        return jaxpr, [c.value for c in self.consts]


def nearest_stager(trace: Trace | None) -> JaxprTrace | None:
    """Return the innermost trace, from ``trace`` down, that records a jaxpr; None without one."""
    while trace is not None and not isinstance(trace, JaxprTrace):
        trace = trace.parent
    return trace


def may_change(array: Any) -> bool:
    """Tell whether an array or one it is a view of can be written to."""
    while type(array) is np.ndarray:
        if array.flags.writeable:
            return True
        array = array.base
    return array is not None


def same_bits(a: Any, b: Any) -> bool:
    """Tell whether two arrays of one type hold the same."""
    if a.flags.c_contiguous and b.flags.c_contiguous:
        bits = np.uint64 if a.nbytes % 8 == 0 else np.uint8
        return bool((a.reshape(-1).view(bits) == b.reshape(-1).view(bits)).all())
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


_ASKED = {
    "bool": "a truth value (bool)",
    "int": "a Python int",
    "index": "a Python integer (index)",
    "float": "a Python float",
    "complex": "a Python complex",
    "array": "a plain NumPy array",
    "format": "formatted text",
    "item": "a Python value (.item())",
    "list": "Python values (.tolist())",
    "mask": "the values of a boolean mask",
}


def _python_literal(value: Any, primitive: Primitive | None, args: Sequence[Any]) -> Literal:
    """Return the literal of a Python number: of the dtype of its fellow operands."""
    array = np.asarray(value)
    if primitive is not None and primitive.elementwise:
        array = array.astype(fellow_dtype(args) or array.dtype)
    return Literal(array[()])


# --- function -> jaxpr -------------------------------------------------------------------------


def stage(
    fun: Callable[..., Sequence[Any]],
    avals: Sequence[ShapedArray],
    name: str,
    captured: list[tuple[Any, Any]] | None = None,
) -> ClosedJaxpr:
    """Trace ``fun``, of flat arguments to a flat list, into a closed jaxpr.

    Args:
        fun: the function.
        avals: the types of its arguments.
        name: what to call it in messages.
        captured: is given the arrays that may change, each with the copy that was compiled in.
    """
    saved, saved_source = state.trace, replayed.source
    trace = JaxprTrace(saved, name)
    enter(trace)
    replayed.source = None
    try:
        outs = fun(*(trace.new_input(aval) for aval in avals))
        jaxpr, consts = trace.finish(outs)
    finally:
        leave(trace, saved)
        replayed.source = saved_source
    if captured is not None:
        captured += trace.captured()
    if config.checks:
        check_jaxpr(jaxpr)
    return ClosedJaxpr(jaxpr, consts)
