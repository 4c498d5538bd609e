"""The functions given to control flow, traced: a jaxpr without constants, and what it closes over.

Everything a body closes over becomes an operand of the equation, tracers of outer transformations
(so closures are differentiable) and arrays alike (so an outer ``jit`` sees what it captures).
"""

from __future__ import annotations

import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrace.control.loops.interning import clear_interned, intern_jaxpr
from functrace.control.loops.unchanged import Surroundings
from functrace.core.arguments import argument_leaf
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr
from functrace.core.trace import state
from functrace.errors import compose
from functrace.interpreters.staging import nearest_stager, same_bits, stage
from functrace.source_info import current_source, describe_function

__all__ = [
    "Body",
    "Call",
    "can_run_as_python",
    "forget_bodies",
    "trace_body",
    "warn_that_python_runs",
]

Call = Callable[[Sequence[Any]], tuple[list[Any], Any]]
"""A function of flat leaves to the leaves of its output, and what else is to be known of it."""


class Body(NamedTuple):
    """A traced function: ``closed`` maps the values it closes over and its arguments to outputs.

    Attributes:
        closed: the jaxpr; no constants.
        closed_over: the operands that come before the arguments.
        about: what the call told of its output (its structure).
        weak: which outputs came from Python numbers only.
    """

    closed: ClosedJaxpr
    closed_over: list[Any]
    about: Any
    weak: tuple[bool, ...]

    @property
    def out_avals(self) -> list[ShapedArray]:
        """The types of the outputs, weakness included."""
        return [a.update(weak_type=w) for a, w in zip(self.closed.out_avals, self.weak)]


class _Kept(NamedTuple):
    body: Body
    surroundings: Surroundings


_seen: weakref.WeakKeyDictionary[Any, set[Any]] = weakref.WeakKeyDictionary()
_traces: OrderedDict[Any, dict[Any, _Kept]] = OrderedDict()
KEPT_FUNCTIONS = 128
KEPT_PER_FUNCTION = 16


def trace_body(fun: Any, kind: Any, call: Call, avals: Sequence[ShapedArray], name: str) -> Body:
    """Trace a body; the trace of the same function in the same surroundings is used again.

    A function is watched from the second time on: most lambdas don't come again.

    Args:
        fun: the user's function.
        kind: what, beside the types, tells how ``call`` calls it; hashable.
        call: calls it with flat leaves.
        avals: the types of these.
        name: what to call the trace in messages.
    """
    if type(fun) is not types.FunctionType:
        return _trace(fun, call, avals, name)
    key = (kind, tuple(avals))
    seen = _seen.setdefault(fun, set())
    if key not in seen:
        seen.add(key)
        return _trace(fun, call, avals, name)
    known = _traces.get(fun, {}).get(key)
    if known is not None and known.surroundings.unchanged():
        return known.body
    surroundings = Surroundings(fun)
    body = _trace(fun, call, avals, name)
    if surroundings.watchable and surroundings.unchanged():
        _keep(fun, key, _Kept(body, surroundings))
    return body


def _keep(fun: Any, key: Any, new: _Kept) -> None:
    kept = _traces.setdefault(fun, {})
    if len(kept) >= KEPT_PER_FUNCTION:
        kept.clear()
    kept[key] = new
    if len(_traces) > KEPT_FUNCTIONS:
        _traces.popitem(last=False)


def forget_bodies() -> None:
    """Forget every traced body, and so the programs and derivatives made of it."""
    _traces.clear()
    clear_interned()


def _trace(fun: Any, call: Call, avals: Sequence[ShapedArray], name: str) -> Body:
    about: Any = None
    weak: list[bool] = []

    def flat_fun(*leaves: Any) -> list[Any]:
        nonlocal about
        outs, about = call(leaves)
        found = [argument_leaf(o, lambda: f"an output of {describe_function(fun)}") for o in outs]
        weak[:] = [leaf.weak for leaf in found]
        return [leaf.value for leaf in found]

    captured: list[tuple[Any, Any]] = []
    closed = stage(flat_fun, avals, name, captured)
    jaxpr = closed.jaxpr
    originals = {id(copy): original for original, copy in captured}
    closed_over = [_original(c, originals) for c in closed.consts]
    open_jaxpr = Jaxpr([], [*jaxpr.constvars, *jaxpr.invars], jaxpr.outvars, jaxpr.eqns)
    return Body(intern_jaxpr(ClosedJaxpr(open_jaxpr, [])), closed_over, about, tuple(weak))


def _original(value: Any, originals: dict[int, Any]) -> Any:
    """Return the array a constant is a copy of, unless it has changed while the body was traced."""
    original = originals.get(id(value))
    return value if original is None or not same_bits(original, value) else original


# --- bodies that need values -------------------------------------------------------------------


def can_run_as_python() -> bool:
    """Tell whether nothing is being staged: then a body that needs values can have them."""
    return nearest_stager(state.trace) is None


_warned: set[Any] = set()


def warn_that_python_runs(what: str, fun: Any, error: Exception) -> None:
    """Warn, once for each body, that a loop runs in Python."""
    code = getattr(fun, "__code__", fun)
    try:
        if code in _warned:
            return
        _warned.add(code)
    except TypeError:  # it can't be hashed
        pass
    first, *more = str(error).splitlines()
    advice = [line[len("Try: ") :].rstrip(".") for line in more if line.startswith("Try: ")]
    text = compose(
        f"{what} of {describe_function(fun)} runs as a Python loop, not compiled.",
        f"its body needs concrete values: {first}",
        "; ".join([*advice, "or config.disable_jit = True, if Python is what you want."]),
    )
    source = current_source()
    if source is None:
        warnings.warn(text, stacklevel=2)
    else:
        warnings.warn_explicit(text, UserWarning, source.file, source.line)
