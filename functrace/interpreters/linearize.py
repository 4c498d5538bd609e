"""Linearize: forward mode whose tangents are recorded, so only the linear part is staged.

Primals are computed as they come (concretely, when nothing outer is tracing), which is why Python
``if`` and ``while`` work. The linear equations are tuples without types: types are asked for only
by transpose rules, and worked out then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from functrace.config import config
from functrace.core.aval import ShapedArray, fellow_dtype, is_python_number, shape_of, typeof
from functrace.core.jaxpr import (
    Atom,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    Var,
    check_jaxpr,
    eval_jaxpr,
)
from functrace.core.placeholders import LinearValue
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
from functrace.interpreters.forward import JVPTrace, split_outputs
from functrace.interpreters.staging import (
    JaxprTrace,
    may_change,
    nearest_stager,
    same_bits,
)
from functrace.ops.creation import full_p
from functrace.ops.operators import ArrayOperators

ndarray = np.ndarray  # a global name is quicker to look up than an attribute

__all__ = [
    "LinearEqn",
    "LinearProgram",
    "LinearTrace",
    "LinearTracer",
    "linearize_flat",
    "linearize_jaxpr",
]


LinearEqn = tuple[Primitive, Sequence[Any], dict[str, Any], Sequence["LinearTracer"]]
"""One recorded operation: primitive, operands (tracers or residuals), params, results."""


# --- Tracer ------------------------------------------------------------------------------------


class LinearTracer(ArrayOperators, Tracer, LinearValue):
    """A tangent that is recorded: a variable of the linear program."""

    __slots__ = ("_dtype", "_shape", "index", "made_by")

    def __init__(self, trace: LinearTrace, index: int) -> None:
        self._trace = trace
        self.index = index
        self.made_by: tuple[Primitive, Sequence[Any], dict[str, Any]] | None = None
        self._shape: tuple[int, ...] | None = None
        self._dtype: np.dtype[Any] | None = None

    def tell_type(self, primal: Any) -> None:
        """Note that it is a tangent of ``primal``, which tells its type."""
        self._shape = primal.shape
        self._dtype = primal.dtype

    def _infer(self) -> None:
        """Work out the type from the equation that made it."""
        assert self.made_by is not None
        primitive, args, params = self.made_by
        assert primitive.abstract_eval is not None
        avals = [
            ShapedArray(a.shape, a.dtype) if type(a) is LinearTracer else typeof(a) for a in args
        ]
        if primitive.elementwise:
            avals = _alike(avals, args)
        aval = primitive.abstract_eval(*avals, **params)
        self._shape, self._dtype = aval.shape, aval.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, worked out when first asked for."""
        if self._shape is None:
            assert self.made_by is not None
            if self.made_by[0].elementwise:
                self._shape = _elementwise_shape(self.made_by[1])
            else:
                self._infer()
        return self._shape  # type: ignore[return-value]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype, worked out when first asked for."""
        if self._dtype is None:
            self._infer()
        return self._dtype  # type: ignore[return-value]

    @property
    def aval(self) -> ShapedArray:
        """The abstract value."""
        return ShapedArray(self.shape, self.dtype)

    @property
    def weak_type(self) -> bool:
        """Tangents are never weak."""
        return False

    def mark_weak(self) -> None:
        """Tangents are never weak."""


def _elementwise_shape(args: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape of the operands that aren't 0-d."""
    for a in args:
        shape = shape_of(a)
        if shape:
            return shape
    return ()


def _alike(avals: list[ShapedArray], args: Sequence[Any]) -> list[ShapedArray]:
    """Give Python numbers among element-wise operands the dtype of the others."""
    dtype = fellow_dtype(args)
    return [v.update(dtype=dtype) if is_python_number(a) else v for v, a in zip(avals, args)]


# --- Trace -------------------------------------------------------------------------------------


class LinearTrace(Trace):
    """Records what touches a tangent; gives everything else to its parent."""

    __slots__ = ("copies", "count", "eqns", "name", "stager", "visible")
    records_linear = True

    def __init__(self, parent: Trace, name: str = "linearize") -> None:
        super().__init__(parent)
        self.name = name
        self.eqns: list[LinearEqn] = []
        self.count = 0
        self.visible: dict[int, Any] = {}
        self.copies: dict[Any, Any] = {}
        self.stager = nearest_stager(parent)

    @property
    def what(self) -> str:  # type: ignore[override]
        """The transformation, for messages."""
        return f"the linear part of {self.name}"

    def new_tracer(self) -> LinearTracer:
        """Return a new variable of the linear program."""
        tracer = LinearTracer(self, self.count)
        self.count += 1
        return tracer

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Record an equation with a linear operand; pass any other on."""
        for a in args:
            if type(a) is LinearTracer and a._trace is self:
                break
        else:
            saved = state.trace
            state.trace = parent = self.parent  # type: ignore[assignment]
            try:
                return parent.process(primitive, args, params)  # type: ignore[union-attr]
            finally:
                state.trace = saved
        for i, a in enumerate(args):
            if type(a) is ndarray:
                if self.visible:
                    residual = self._protect(a)
                    if residual is not a:
                        args = [*args[:i], residual, *args[i + 1 :]]
            elif isinstance(a, Tracer) and a._trace is not self:
                self._admit(a, primitive)
        if not primitive.multiple_results:
            out = LinearTracer(self, self.count)
            self.count += 1
            # Not the equation itself, which holds ``out``: residuals must go without the help
            # of the cycle collector.
            out.made_by = (primitive, args, params)
            self.eqns.append((primitive, args, params, (out,)))
            return out
        return self._record_several(primitive, args, params)

    def _admit(self, tracer: Tracer, primitive: Primitive) -> None:
        """Raise unless a tracer that becomes a residual belongs to a trace below this one."""
        if not self.is_ancestor_or_self(tracer._trace):
            raise leaked_tracer_error(tracer, self, primitive)

    def _record_several(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[LinearTracer]:
        rule = primitive.rule("abstract_eval", self.what)
        outs = []
        for aval in rule(*(typeof(a) for a in args), **params):
            out = self.new_tracer()
            out.tell_type(aval)
            outs.append(out)
        self.eqns.append((primitive, args, params, outs))
        return outs

    # --- residuals the user can change are copied ---

    def notice(self, array: Any) -> None:
        """Remember that the user can see ``array`` and may change it before the pullback runs."""
        if id(array) not in self.visible and may_change(array):
            self.visible[id(array)] = array

    def _protect(self, array: Any) -> Any:
        """Return ``array``, or a private copy when it is the user's or a view of the user's."""
        root = array
        while id(root) not in self.visible:
            root = root.base
            if type(root) is not np.ndarray:
                return array
        if self.stager is not None:
            return self.stager.constant(array)
        pointer = array.__array_interface__["data"][0]
        key = (pointer, array.shape, array.strides, array.dtype)
        known = self.copies.get(key)
        if known is None or not same_bits(known, array):
            known = _compact_copy(array)
            self.copies[key] = known
        return known

    def refuse(self, tracer: Tracer, kind: str) -> NoReturn:
        """Explain that a tangent is not known while it is being recorded."""
        raise concretization_error(
            kind,
            f"A Python value ({kind}) was asked of {tracer!r}.",
            "tangents are recorded, not computed, while a function is linearized.",
            "NumPy's or functrace's functions in the derivative rule.",
        )


def _compact_copy(array: Any) -> Any:
    """Copy an array; axes of stride 0 stay of stride 0."""
    if 0 not in array.strides:
        return array.copy()
    narrow = tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)
    return np.broadcast_to(array[narrow].copy(), array.shape)


# --- the linear program ------------------------------------------------------------------------


class LinearProgram:
    """A recorded linear function from the nonzero tangents to the nonzero output tangents."""

    __slots__ = ("count", "eqns", "inputs", "outputs")

    def __init__(
        self,
        eqns: list[LinearEqn],
        count: int,
        inputs: list[LinearTracer],
        outputs: list[LinearTracer | None],
    ) -> None:
        self.eqns = eqns
        self.count = count
        self.inputs = inputs
        self.outputs = outputs

    def apply(self, tangents: Sequence[Any]) -> list[Any]:
        """Push tangents of the inputs forward, under the current trace; None is zero."""
        env: list[Any] = [None] * self.count
        for tracer, tangent in zip(self.inputs, tangents):
            env[tracer.index] = tangent
        for primitive, operands, params, tracers in self.eqns:
            args = [env[a.index] if type(a) is LinearTracer else a for a in operands]
            outs = primitive.bind(*args, **params)
            for tracer, out in zip(tracers, outs if primitive.multiple_results else (outs,)):
                env[tracer.index] = out
        return [None if o is None else env[o.index] for o in self.outputs]

    def to_jaxpr(self, outputs: Sequence[LinearTracer]) -> tuple[Jaxpr, list[Any]]:
        """Return the equations ``outputs`` need as a jaxpr, and its residuals as constants."""
        needed = {o.index for o in outputs}
        live: list[LinearEqn] = []
        for eqn in reversed(self.eqns):
            _, args, _, outs = eqn
            if any(o.index in needed for o in outs):
                live.append(eqn)
                needed.update(a.index for a in args if type(a) is LinearTracer)
        env = {t.index: Var(t.aval) for t in self.inputs}
        residuals: dict[int, tuple[Var, Any]] = {}
        eqns = []
        for eqn in reversed(live):
            primitive, args, params, outs = eqn
            invars = [_linear_atom(a, eqn, env, residuals) for a in args]
            outvars = [env.setdefault(o.index, Var(o.aval)) for o in outs]
            eqns.append(JaxprEqn(primitive, invars, outvars, params))
        constvars = [v for v, _ in residuals.values()]
        outvars = [env[o.index] for o in outputs]
        jaxpr = Jaxpr(constvars, [env[t.index] for t in self.inputs], outvars, eqns)
        if config.checks:
            check_jaxpr(jaxpr)
        return jaxpr, [value for _, value in residuals.values()]


def _linear_atom(
    a: Any, eqn: LinearEqn, env: dict[int, Var], residuals: dict[int, tuple[Var, Any]]
) -> Atom:
    if type(a) is LinearTracer:
        return env[a.index]
    if is_python_number(a):
        primitive, args, _, _ = eqn
        value = np.asarray(a)
        return Literal(value.astype(fellow_dtype(args))[()] if primitive.elementwise else value[()])
    if isinstance(a, np.generic):
        return Literal(a)
    if id(a) not in residuals:
        residuals[id(a)] = (Var(typeof(a).strong()), a)
    return residuals[id(a)][0]


# --- functions and jaxprs ----------------------------------------------------------------------


def linearize_flat(
    fun: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    name: str = "linearize",
    weak: Sequence[bool] = (),
) -> tuple[list[Any], LinearProgram]:
    """Run a flat function and record its derivative at ``primals``.

    Args:
        fun: flat arguments to a flat list.
        primals: where.
        nonzero: which inputs move.
        name: the transformation, for messages.
        weak: which moving inputs are Python numbers.

    Returns:
        The outputs, and the linear program.
    """
    parent = state.trace
    linear = LinearTrace(parent, name)
    trace = JVPTrace(parent, linear, name)
    args, inputs = [], []
    for i, (primal, moves) in enumerate(zip(primals, nonzero)):
        if not moves:
            args.append(primal)
            continue
        tangent = linear.new_tracer()
        inputs.append(tangent)
        tracer = trace.wrap(primal, tangent)
        tracer.weak = bool(weak) and weak[i]
        args.append(tracer)
    enter(trace)
    try:
        outs = fun(*args)
    finally:
        leave(trace, parent)
        linear.live = False
    out_primals, out_tangents = split_outputs(trace, outs)
    program = LinearProgram(linear.eqns, linear.count, inputs, out_tangents)
    linear.eqns = []  # the tracers know their trace: it must not hold them
    return out_primals, program


class LinearizedJaxpr(NamedTuple):
    """A jaxpr split in what is known and what is linear.

    ``primal`` maps the inputs to the outputs and ``n_residuals`` residuals; ``linear`` maps the
    residuals and the nonzero tangents to the tangents of the ``nonzero_out`` outputs.
    """

    primal: ClosedJaxpr
    linear: ClosedJaxpr
    n_residuals: int
    nonzero_out: tuple[bool, ...]


def linearize_jaxpr(
    closed: ClosedJaxpr, nonzero: tuple[bool, ...], instantiate: tuple[bool, ...] = ()
) -> LinearizedJaxpr:
    """Split a jaxpr for linearize; kept in its memo.

    Args:
        closed: the jaxpr.
        nonzero: which inputs move.
        instantiate: which outputs get a tangent in any case, of zeros if need be.
    """
    key = ("linearize", nonzero, instantiate)
    known = closed.memo.get(key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    parent = state.trace
    trace = JaxprTrace(parent, "linearize")
    enter(trace)
    try:
        inputs = [trace.new_input(aval) for aval in closed.in_avals]
        outs, program = linearize_flat(
            lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs), inputs, nonzero
        )
        moving = [o for o in program.outputs if o is not None]
        linear, residuals = program.to_jaxpr(moving)
        primal, consts = trace.finish([*outs, *residuals])
    finally:
        leave(trace, parent)
    if config.checks:
        check_jaxpr(primal)
    nonzero_out = tuple(o is not None for o in program.outputs)
    if any(instantiate):
        linear = _with_zeros(linear, closed.out_avals, nonzero_out, instantiate)
        nonzero_out = tuple(nz or wanted for nz, wanted in zip(nonzero_out, instantiate))
    closed_linear = ClosedJaxpr(
        Jaxpr([], [*linear.constvars, *linear.invars], linear.outvars, linear.eqns), []
    )
    result = LinearizedJaxpr(
        ClosedJaxpr(primal, consts), closed_linear, len(residuals), nonzero_out
    )
    closed.memo[key] = result
    return result


def _with_zeros(
    linear: Jaxpr,
    avals: Sequence[ShapedArray],
    nonzero: Sequence[bool],
    instantiate: Sequence[bool],
) -> Jaxpr:
    """Return a linear jaxpr with tangents of zeros for outputs that don't move but must."""
    moving = iter(linear.outvars)
    outvars: list[Atom] = []
    zeros: list[JaxprEqn] = []
    for aval, moves, wanted in zip(avals, nonzero, instantiate):
        if moves:
            outvars.append(next(moving))
        elif wanted:
            var = Var(aval.tangent())
            params = {"shape": aval.shape, "fill_value": 0, "dtype": var.aval.dtype}
            zeros.append(JaxprEqn(full_p, [], [var], params))
            outvars.append(var)
    return Jaxpr(linear.constvars, linear.invars, outvars, [*linear.eqns, *zeros])
