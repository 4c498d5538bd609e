"""Dispatch by context: primitives, the current trace, and the tracers it hands out.

There is one current ``Trace`` per thread. ``Primitive.bind`` gives the call to it; an
interpreter's rule runs with the *parent* trace current, down to ``EvalTrace``, which computes.
Values are never inspected to find an interpreter, so perturbation confusion can't arise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np

from functrace.core.aval import Shape, ShapedArray
from functrace.errors import (
    ConcretizationError,
    InPlaceUpdateError,
    MissingRuleError,
    NonConcreteBooleanIndexError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    UnexpectedTracerError,
    compose,
)

__all__ = [
    "EVAL",
    "PRIMITIVES",
    "EvalTrace",
    "Primitive",
    "Trace",
    "Tracer",
    "current_trace",
    "state",
]

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")

PRIMITIVES: dict[str, Primitive] = {}
"""Every primitive by name; the laws of the tests run over it."""


class Primitive:
    """An operation with its rules: what each interpreter must know of it, side by side.

    Six rules live here, each set once by a decorator: ``def_impl``, ``def_abstract_eval``,
    ``def_jvp`` or ``def_jvp_each``, ``def_transpose``, ``def_batching``, ``def_lowering``.
    Primitives that hold jaxprs may add ``def_linearize`` and ``def_dce``. A vjp is never written:
    it is linearize, then transpose.

    Attributes:
        name: the name jaxprs print.
        multiple_results: whether ``bind`` returns a list.
        elementwise: operands have one shape, or are 0-d; so has the result.
        not_differentiable: why there is no derivative (``"integer output"``), or None.
        not_linear: why no argument has a transpose rule, or None.
        effect: it does something beside computing its results (it prints, it may fail), and is
            kept, once and in order, when nobody reads them.
    """

    def __init__(
        self,
        name: str,
        *,
        multiple_results: bool = False,
        elementwise: bool = False,
        not_differentiable: str | None = None,
        not_linear: str | None = None,
        effect: bool = False,
    ) -> None:
        if name in PRIMITIVES:
            raise ValueError(f"a primitive named {name!r} is already defined")
        self.name = name
        self.multiple_results = multiple_results
        self.elementwise = elementwise
        self.not_differentiable = not_differentiable
        self.not_linear = not_linear
        self.effect = effect
        self.impl: Callable[..., Any] | None = None
        self.abstract_eval: Callable[..., Any] | None = None
        self.jvp: Callable[..., Any] | None = None
        self.jvp_each: tuple[Callable[..., Any] | None, ...] | None = None
        self.linearize: Callable[..., Any] | None = None
        self.transpose: Callable[..., Any] | None = None
        self.batching: Callable[..., Any] | None = None
        self.lowering: Any = None
        self.dce: Callable[..., Any] | None = None
        PRIMITIVES[name] = self

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the primitive under the current trace."""
        trace = state.trace
        if trace is EVAL:  # EvalTrace.process, without the call
            for arg in args:
                if isinstance(arg, Tracer):
                    raise leaked_tracer_error(arg, trace, self)
            return self.impl(*args, **params)  # type: ignore[misc]
        return trace.process(self, args, params)

    # --- the rules ---

    def def_impl(self, rule: F) -> F:
        """Set how it computes: ``(*arrays, **params) -> array`` (a list with multiple results)."""
        return self._define("impl", rule)

    def def_abstract_eval(self, rule: F) -> F:
        """Set its type: ``(*avals, **params) -> aval``; it raises for operands that don't fit."""
        return self._define("abstract_eval", rule)

    def def_jvp(self, rule: F) -> F:
        """Set the whole derivative: ``(primals, tangents, **params) -> (out, tangent_out)``.

        Tangents may be None (zero). For primitives whose arguments are coupled; ``def_jvp_each``
        is the usual form.
        """
        return self._define("jvp", rule)

    def def_jvp_each(self, *rules: Callable[..., Any] | None) -> Any:
        """Set one derivative rule per argument: ``(tangent, out, *primals, **params) -> term``.

        None marks an argument without a derivative. The engine skips zero tangents and sums the
        terms. With a single rule it can be used as a decorator.
        """
        self._define("jvp_each", rules)
        return rules[0]

    def def_linearize(self, rule: F) -> F:
        """Set how it splits in known and linear parts; for primitives that hold jaxprs.

        ``(primals, nonzero, **params) -> (outs, out_nonzero, linear)`` where ``linear(tangents)``
        binds the linear part to the nonzero tangents and returns those of the nonzero outs.
        """
        return self._define("linearize", rule)

    def def_transpose(self, rule: F) -> F:
        """Set its adjoint: ``(ct, *args, **params) -> [cotangent or None per argument]``.

        Arguments for which a cotangent is wanted are ``is_linear``.
        """
        return self._define("transpose", rule)

    def def_batching(self, rule: F) -> F:
        """Set its batched form: ``(axis_size, args, dims, **params) -> (out, out_dim)``."""
        return self._define("batching", rule)

    def def_lowering(self, rule: Any) -> Any:
        """Set what it becomes in machine code: one of the kinds in ``core.lowering``."""
        return self._define("lowering", rule)

    def def_dce(self, rule: F) -> F:
        """Set how it sheds results nobody uses; for primitives that hold jaxprs.

        ``(used_outs, **params) -> (used_ins, kept_outs, params)``: the parameters of the equation
        of the used operands that has the kept results, all used ones among them.
        """
        return self._define("dce", rule)

    def _define(self, kind: str, rule: R) -> R:
        if getattr(self, kind) is not None:
            raise ValueError(f"the {kind} rule of {self.name} is defined twice")
        setattr(self, kind, rule)
        return rule

    def missing_rules(self) -> list[str]:
        """Return the names of the rules it lacks without a stated reason."""
        missing = [
            kind
            for kind in ("impl", "abstract_eval", "batching", "lowering")
            if getattr(self, kind) is None
        ]
        if self.jvp is None and self.jvp_each is None and self.not_differentiable is None:
            missing.append("jvp")
        if self.transpose is None and self.not_linear is None and self.not_differentiable is None:
            missing.append("transpose")
        return missing

    def rule(self, kind: str, needed_by: str) -> Any:
        """Return a rule, or raise ``MissingRuleError`` naming the primitive and who needs it."""
        rule = getattr(self, kind)
        if rule is None:
            reason = self.not_differentiable or self.not_linear
            raise MissingRuleError(
                compose(
                    f"{needed_by} needs the {kind} rule of the primitive {self.name!r}, "
                    "which has none.",
                    reason or "",
                    f"define it with {self.name}_p.def_{kind}.",
                )
            )
        return rule

    def __repr__(self) -> str:
        return self.name


class Trace:
    """An interpreter of primitives. ``parent`` is the trace below it; ``live`` ends with it."""

    __slots__ = ("live", "parent")

    what = "a transformation"
    records_linear = False
    """Whether what it records must be linear, and values of both kinds can't share an equation."""

    def __init__(self, parent: Trace | None) -> None:
        self.parent = parent
        self.live = True

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Interpret one primitive call, in the current thread, with ``self`` current."""
        raise NotImplementedError

    def refuse(self, tracer: Tracer, kind: str) -> NoReturn:
        """Raise the error that explains why ``tracer`` has no concrete value of this kind."""
        raise NotImplementedError

    def adopt(self, array: Any) -> Any:
        """Return a new array as one of this trace's own, so that it has ``.at``; or as it is."""
        return array

    def is_ancestor_or_self(self, other: Trace) -> bool:
        """Tell whether ``other`` is this trace or one below it."""
        trace: Trace | None = self
        while trace is not None:
            if trace is other:
                return True
            trace = trace.parent
        return False


class Tracer:
    """A value inside a transformation; it behaves like the array it stands for.

    ``isinstance(x, functrace.Tracer)`` tells a traced value from a plain array. Operators,
    methods and NumPy's functions on tracers are recorded by the transformation that made them.
    """

    __slots__ = ("_trace",)
    __array_priority__ = 1000

    _trace: Trace

    @property
    def aval(self) -> ShapedArray:
        """The abstract value: shape, dtype, weakness."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        """The shape, a tuple of Python integers."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        """Whether it came from Python numbers only."""
        return self.aval.weak_type

    def __repr__(self) -> str:
        return f"Traced<{self.aval}> by {self._trace.what}"

    # --- conversions to Python; interpreters with concrete values override some ---

    def __bool__(self) -> bool:
        self._trace.refuse(self, "bool")

    def __float__(self) -> float:
        self._trace.refuse(self, "float")

    def __int__(self) -> int:
        self._trace.refuse(self, "int")

    def __complex__(self) -> complex:
        self._trace.refuse(self, "complex")

    def __index__(self) -> int:
        self._trace.refuse(self, "index")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
        self._trace.refuse(self, "array")

    def __format__(self, spec: str) -> str:
        if spec:
            self._trace.refuse(self, "format")
        return repr(self)

    def tolist(self) -> Any:
        """Refuse: a traced array has no Python values."""
        self._trace.refuse(self, "list")

    def item(self, *args: Any) -> Any:
        """Refuse: a traced array has no Python value."""
        self._trace.refuse(self, "item")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise InPlaceUpdateError(
            compose(
                f"x[{_index_text(index)}] = v on a traced array of type {self.aval}.",
                "traced arrays can't be changed in place.",
                f"x = x.at[{_index_text(index)}].set(v)   (also .add, .multiply, .min, .max)",
            )
        )


def _index_text(index: Any) -> str:
    text = ", ".join(map(str, index)) if isinstance(index, tuple) else str(index)
    return text if len(text) < 40 else "..."


class EvalTrace(Trace):
    """The trace at the bottom: it computes with NumPy."""

    __slots__ = ()
    what = "evaluation"

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Run the primitive's impl; a tracer among the arguments has leaked."""
        for arg in args:
            if isinstance(arg, Tracer):
                raise leaked_tracer_error(arg, self, primitive)
        assert primitive.impl is not None, f"{primitive} has no impl rule"
        return primitive.impl(*args, **params)


EVAL = EvalTrace(None)


class _State(threading.local):
    """The current trace of each thread."""

    trace: Trace = EVAL


state = _State()

detours: set[object] = set()
"""Why calls of compiled functions may not go straight to their programs: traces that some thread is
under, and settings. While there is nothing, a call need not ask for the trace of its own thread."""


def enter(trace: Trace) -> None:
    """Let a trace of this thread begin."""
    detours.add(trace)
    state.trace = trace


def leave(trace: Trace, parent: Trace) -> None:
    """Let a trace end, and go back to the one it began under."""
    state.trace = parent
    detours.discard(trace)
    trace.live = False


def current_trace() -> Trace:
    """Return the trace that ``bind`` gives calls to, in this thread."""
    return state.trace


def leaked_tracer_error(
    tracer: Tracer, trace: Trace, primitive: Primitive | None = None
) -> UnexpectedTracerError:
    """Return the error for a tracer that ``trace`` must not see."""
    where = f" by {primitive.name}" if primitive is not None else ""
    if not tracer._trace.live:
        because = f"{tracer._trace.what} that made it has ended; the value leaked out of it."
    elif trace.is_ancestor_or_self(tracer._trace):
        because = f"it belongs to {tracer._trace.what}, which is being interpreted itself."
    else:
        because = (
            f"it belongs to {tracer._trace.what}, which is not active here: it runs in another "
            "thread or outside of this call, or a custom rule closes over a value of its own level."
        )
    return UnexpectedTracerError(
        compose(
            f"{tracer!r} was used{where} where it is not known.",
            because,
            "return the value from the transformed function (has_aux=True), pass it as an "
            "argument, or save lax.stop_gradient(x) instead.",
        )
    )


_ERRORS: dict[str, type[ConcretizationError]] = {
    "bool": TracerBoolConversionError,
    "int": TracerIntegerConversionError,
    "index": TracerIntegerConversionError,
    "array": TracerArrayConversionError,
    "mask": NonConcreteBooleanIndexError,
}


def concretization_error(kind: str, what: str, because: str, then: str) -> ConcretizationError:
    """Return the error class that fits ``kind``, with the message in house form."""
    return _ERRORS.get(kind, ConcretizationError)(compose(what, because, then))
