"""What functions with derivative rules of their own share: arguments, checks, who runs what."""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from functrace import tree
from functrace.control.rules.closures import reached_values
from functrace.control.rules.symbolic_zeros import SymbolicZero
from functrace.core.arguments import (
    argument_leaf,
    check_same_structure,
    flat_values,
    require_callable,
)
from functrace.core.aval import ShapedArray, is_python_number, typeof
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, Var, eval_jaxpr
from functrace.core.placeholders import is_linear
from functrace.core.trace import EVAL, Trace, state
from functrace.dtypes import float0, is_inexact
from functrace.errors import DTypeError, ShapeError, compose
from functrace.interpreters.batching import BatchTrace
from functrace.interpreters.forward import JVPTrace, JVPTracer
from functrace.interpreters.linearize import LinearTrace, LinearTracer
from functrace.interpreters.reverse import transpose_jaxpr
from functrace.ops.creation import convert_element_type, zeros_like_aval
from functrace.source_info import describe_function

__all__ = [
    "Arguments",
    "CustomFunction",
    "FlatCall",
    "check_rule_outputs",
    "checked_leaf",
    "checked_like",
    "linear_or_zero",
    "nested_transpose",
    "open_jvp_arguments",
    "refuse_moving_closure",
    "runs_as_python",
    "staging_rules_of",
    "with_unused_inputs",
    "zero_tangent",
]

_MOST_STAGINGS = 3
"""How deep rules that call their own function are traced ahead: derivatives of that order work."""


class CustomFunction:
    """A function with rules of its own, some of whose arguments don't move."""

    what = ""

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: int | Iterable[int] = (),
        nondiff_argnames: str | Iterable[str] = (),
    ) -> None:
        require_callable(fun, self.what)
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.name = describe_function(fun)
        try:
            known = not isinstance(fun, np.ufunc)  # whose defaults are no arguments of a rule
            self._signature = inspect.signature(fun) if known else None
        except (TypeError, ValueError):
            self._signature = None
        self.nondiff = self._positions(nondiff_argnums, nondiff_argnames)
        self.known: dict[Any, Any] = {}

    def _positions(
        self, argnums: int | Iterable[int], argnames: str | Iterable[str]
    ) -> tuple[int, ...]:
        numbers = [argnums] if isinstance(argnums, int) else list(argnums)
        names = [argnames] if isinstance(argnames, str) else list(argnames)
        known = list(self._signature.parameters) if self._signature else []
        for name in names:
            if name not in known:
                raise ValueError(f"{self.what} of {self.name} has no argument named {name!r}.")
            numbers.append(known.index(name))
        if any(n < 0 for n in numbers):
            raise ValueError(
                f"{self.what} of {self.name}: nondiff_argnums={tuple(numbers)} must be counted "
                "from 0."
            )
        return tuple(sorted(set(numbers)))

    def positional(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return all arguments by position, defaults filled in, as rules take them."""
        if self._signature is None or not (kwargs or len(args) < len(self._signature.parameters)):
            if kwargs:
                raise TypeError(f"{self.what} of {self.name} takes no keyword arguments.")
            return list(args)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        unplaced = sorted(bound.kwargs.keys() & kwargs.keys())
        if unplaced:
            raise TypeError(
                compose(
                    f"{self.what} of {self.name} was called with the keyword arguments "
                    f"{', '.join(unplaced)}.",
                    "rules take arguments by position, and these have none.",
                    "positional parameters.",
                )
            )
        return list(bound.args)

    def functions(self) -> tuple[Any, ...]:
        """Return the user's functions: this one and its rules."""
        return (self.fun,)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind as a method; ``self`` must be a pytree or in ``nondiff_argnums``."""
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{self.what} of {self.name}>"


class Arguments:
    """The arguments of one call: leaves of those that may move, the others as they are."""

    def __init__(self, custom: CustomFunction, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self.custom = custom
        self.args = custom.positional(args, kwargs)
        missing = [n for n in custom.nondiff if n >= len(self.args)]
        if missing:
            raise TypeError(
                f"{custom.what} of {custom.name}: nondiff_argnums={custom.nondiff} doesn't fit a "
                f"call with {len(self.args)} arguments."
            )
        self.moving = [i for i in range(len(self.args)) if i not in custom.nondiff]
        values, self.in_tree = tree.flatten(tuple(self.args[i] for i in self.moving))
        self.leaves = [
            argument_leaf(v, functools.partial(self.place, i)).value for i, v in enumerate(values)
        ]
        for i in self.moving:
            self.args[i] = None  # the call need not keep arrays alive
        self.nondiff = [self._still(self.args[i], i) for i in custom.nondiff]

    def take_leaves(self) -> list[Any]:
        """Return the leaves and forget them: rules may be kept, arrays should not be for that."""
        leaves, self.leaves = self.leaves, []
        return leaves

    def place(self, index: int) -> str:
        """Return how a message names the leaf number ``index`` of those that move."""
        paths = tree.leaves_with_path(self.in_tree.unflatten(range(self.in_tree.num_leaves)))
        path = paths[index][0]
        name = f"argument {self.moving[path[0].idx]}{tree.keystr(path[1:])}"
        return f"{name} of {self.custom.name}"

    def _still(self, value: Any, position: int) -> Any:
        """Return an argument that doesn't move, without the trace that might move it."""
        trace = state.trace

        def still(leaf: Any) -> Any:
            if type(leaf) is not JVPTracer or leaf._trace is not trace:
                return leaf
            if leaf.tangent is not None:
                raise TypeError(
                    compose(
                        f"argument {position} of {self.custom.name} depends on the inputs of "
                        f"{trace.what}.",
                        "it is listed in nondiff_argnums, so that dependence would be lost.",
                        "an ordinary argument, or lax.stop_gradient(x).",
                    )
                )
            return leaf.primal

        return tree.map(still, value)

    def rebuild(self, leaves: Sequence[Any]) -> list[Any]:
        """Return all positional arguments, with these leaves."""
        args: list[Any] = [None] * len(self.args)
        for i, value in zip(self.custom.nondiff, self.nondiff):
            args[i] = value
        for i, value in zip(self.moving, self.trees(leaves)):
            args[i] = value
        return args

    def trees(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """Return leaves as the tuple of the arguments that move."""
        result: Any = self.in_tree.unflatten(leaves)
        return result  # type: ignore[no-any-return]


class FlatCall:
    """One call of a function with rules, flat; subclasses differentiate and record it.

    The structure of the output is known once the function, or its rule, has run.
    """

    def __init__(self, custom: CustomFunction, arguments: Arguments) -> None:
        self.function = custom
        self.arguments = arguments
        self.out_tree: Any = None

    def result(self) -> Any:
        """Run the call as the current trace asks; return its output as a tree."""
        outs = self.apply(self.arguments.take_leaves())
        return self.out_tree.unflatten(outs)

    def run(self, *leaves: Any) -> list[Any]:
        """Run the function itself."""
        custom = self.function
        outs, self.out_tree = flat_values(
            custom.fun(*self.arguments.rebuild(leaves)), f"an output of {custom.name}"
        )
        return outs

    def apply(self, leaves: Sequence[Any]) -> list[Any]:
        """Run, differentiate or record the call, as the current trace asks."""
        trace = state.trace
        if runs_as_python(trace):
            return self.run(*leaves)
        if isinstance(trace, JVPTrace):
            return self.differentiate(trace, leaves)
        if isinstance(trace, LinearTrace) and not any(type(v) is LinearTracer for v in leaves):
            state.trace = trace.parent  # type: ignore[assignment]
            try:
                return self.apply(leaves)
            finally:
                state.trace = trace
        return self.record(leaves)

    def differentiate(self, trace: JVPTrace, leaves: Sequence[Any]) -> list[Any]:
        """Run the rule in place of the function, under a trace that computes tangents."""
        raise NotImplementedError

    def record(self, leaves: Sequence[Any]) -> list[Any]:
        """Trace the function; bind its jaxpr, with the rule, as one equation."""
        raise NotImplementedError


def runs_as_python(trace: Trace | None) -> bool:
    """Tell whether no trace from here down differentiates or records: then rules never matter."""
    while isinstance(trace, BatchTrace):
        trace = trace.parent
    return trace is EVAL


def open_jvp_arguments(
    trace: JVPTrace, leaves: Sequence[Any], *things: Any
) -> tuple[list[Any], list[Any]]:
    """Return primals and tangents (None is zero) of the operands of a rule that runs as Python.

    Arrays that the user can see are noted, so that they are copied where they become residuals.
    """
    primals, tangents = [], []
    for leaf in leaves:
        mine = type(leaf) is JVPTracer and leaf._trace is trace
        primals.append(leaf.primal if mine else leaf)
        tangents.append(leaf.tangent if mine else None)
    if isinstance(trace.tangent_trace, LinearTrace):
        for value in (*leaves, *reached_values(things)):
            if type(value) is np.ndarray:
                trace.tangent_trace.notice(value)
    return primals, tangents


# --- checks ------------------------------------------------------------------------------------


def checked_like(given: Any, treedef: Any, avals: Sequence[ShapedArray], what: str) -> list[Any]:
    """Return the leaves of a tangent or cotangent tree; None where the value doesn't move.

    Raises:
        StructureError, ShapeError, DTypeError: it isn't like the values it belongs to; the
            message has the path of the leaf.
    """
    leaves, given_tree = tree.flatten(given)
    check_same_structure(given_tree, treedef, what)

    def place(i: int) -> str:
        path = tree.keystr(tree.leaves_with_path(given)[i][0])
        return f"{what} at {path}" if path else what

    return [
        checked_leaf(leaf, aval, functools.partial(place, i))
        for i, (leaf, aval) in enumerate(zip(leaves, avals))
    ]


def checked_leaf(given: Any, aval: ShapedArray, place: Callable[[], str]) -> Any:
    """Return one tangent or cotangent of a value of type ``aval``; None when it can't move."""
    if not is_inexact(aval.dtype) or isinstance(given, SymbolicZero):
        return None
    leaf = argument_leaf(given, place).value
    if leaf.shape != aval.shape:
        raise ShapeError(
            compose(
                f"{place()} has the type {typeof(leaf)}.",
                f"the value it belongs to has the type {aval.strong()}.",
                "the same shape (np.broadcast_to, np.sum).",
            )
        )
    if leaf.dtype != aval.dtype:
        if is_python_number(given) and not isinstance(given, complex):
            return convert_element_type(leaf, aval.dtype)
        raise DTypeError(
            compose(
                f"{place()} has the type {typeof(leaf)}.",
                f"the value it belongs to has the type {aval.strong()}.",
                f"astype({aval.dtype.name!r}).",
            )
        )
    return leaf


def zero_tangent(aval: ShapedArray, symbolic: bool = False) -> Any:
    """Return a tangent that is zero, as rules take it."""
    if symbolic:
        return SymbolicZero(aval.tangent())
    if is_inexact(aval.dtype):
        return zeros_like_aval(aval.strong())
    return np.zeros(aval.shape, float0)


def linear_or_zero(tangent: Any, what: str) -> Any:
    """Return a rule's tangent; None when it doesn't depend on the tangents the rule was given."""
    if tangent is None or not isinstance(state.trace, LinearTrace):
        return tangent
    if type(tangent) is LinearTracer and tangent._trace is state.trace:
        return tangent
    if isinstance(tangent, (np.ndarray, np.generic)) and np.any(tangent):
        raise ValueError(
            compose(
                f"{what} gave a tangent that isn't zero and doesn't depend on the tangents.",
                "a derivative rule is linear in the tangents it is given.",
            )
        )
    return None


def refuse_moving_closure(tangents: Sequence[Any], what: str) -> None:
    """Raise when a value that a function closes over is being differentiated."""
    if any(t is not None for t in tangents):
        raise TypeError(
            compose(
                f"{what} closes over a value that depends on the differentiated inputs.",
                "its rule says nothing about that value, so the derivative would be wrong.",
                "pass the value as an argument, or close over lax.stop_gradient(value).",
            )
        )


def check_rule_outputs(outs: Sequence[Any], jaxpr: ClosedJaxpr, what: str) -> None:
    """Raise unless a rule returned outputs of the types the function has."""
    for i, (out, aval) in enumerate(zip(outs, jaxpr.out_avals, strict=True)):
        if not typeof(out).same_type(aval):
            raise ShapeError(
                compose(
                    f"{what} returned an output of type {typeof(out)} (leaf {i}).",
                    f"the function itself returns {aval.strong()} there.",
                )
            )


# --- jaxprs of functions with rules ------------------------------------------------------------


class _Staging(threading.local):
    """The functions whose rules are being traced ahead, in each thread."""

    custom: tuple[Any, ...] = ()


_staging = _Staging()


@contextmanager
def staging_rules_of(custom: Any) -> Iterator[bool]:
    """Trace rules of a function inside; False when they have called themselves often enough."""
    saved = _staging.custom
    _staging.custom = (*saved, custom)
    try:
        yield sum(c is custom for c in saved) < _MOST_STAGINGS
    finally:
        _staging.custom = saved


def with_unused_inputs(jaxpr: ClosedJaxpr, position: int, values: Sequence[Any]) -> ClosedJaxpr:
    """Return a jaxpr that also takes, from ``position`` on, values that it doesn't need."""
    inner = jaxpr.jaxpr
    more = [Var(typeof(v).strong()) for v in values]
    invars = [*inner.invars[:position], *more, *inner.invars[position:]]
    return ClosedJaxpr(Jaxpr(inner.constvars, invars, inner.outvars, inner.eqns), jaxpr.consts)


def nested_transpose(ct: list[Any], *args: Any, jaxpr: ClosedJaxpr, **params: Any) -> list[Any]:
    """Transpose a call of a linear function: that of its jaxpr, as rules know no transpose."""
    linear = tuple(is_linear(a) for a in args)
    transposed, nonzero = transpose_jaxpr(jaxpr, linear, tuple(c is not None for c in ct))
    known = [a for a in args if not is_linear(a)]
    outs = eval_jaxpr(
        transposed.jaxpr, transposed.consts, *known, *(c for c in ct if c is not None)
    )
    pulled, moves = iter(outs), iter(nonzero)
    return [(next(pulled) if next(moves) else None) if lin else None for lin in linear]
