"""Jaxprs with a check after each equation: where a NaN is made, or something divided by zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.config import config, on_change
from functrace.control.host.checks import Failure, check_p
from functrace.control.jit_primitive import compiled
from functrace.core.jaxpr import ClosedJaxpr, JaxprEqn, Literal
from functrace.core.trace import EVAL, EvalTrace, Primitive, Tracer, state
from functrace.dtypes import is_inexact
from functrace.errors import compose
from functrace.interpreters.staging import stage
from functrace.ops.creation import full
from functrace.ops.logical import eq, ne
from functrace.source_info import current_source, replayed

__all__ = ["Checks", "raise_where_nan_is_made", "with_checks"]

_DIVISIONS = frozenset({"div", "floor_divide", "mod", "rem"})


class Checks(NamedTuple):
    """Which checks are made."""

    nan: bool = True
    division: bool = True


def with_checks(closed: ClosedJaxpr, checks: Checks) -> ClosedJaxpr:
    """Return a jaxpr that raises where the equation at fault stands, in loops too."""
    key = ("checks", checks)
    known: ClosedJaxpr | None = closed.memo.get(key)
    if known is None:
        known = closed.memo[key] = stage(
            lambda *args: _run(closed, args, checks), closed.in_avals, "checks"
        )
    return known


def _run(closed: ClosedJaxpr, args: Sequence[Any], checks: Checks) -> list[Any]:
    jaxpr = closed.jaxpr
    env: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args)))
    for eqn in jaxpr.eqns:
        values = [a.val if isinstance(a, Literal) else env[a] for a in eqn.invars]
        replayed.source = eqn.source
        if checks.division and eqn.primitive.name in _DIVISIONS:
            _check_divisor(eqn, values[1])
        params = {k: _checked_param(v, checks) for k, v in eqn.params.items()}
        out = eqn.primitive.bind(*values, **params)
        outs = out if eqn.primitive.multiple_results else [out]
        if checks.nan:
            for value in outs:
                _check_not_nan(eqn, value)
        env.update(zip(eqn.outvars, outs))
    return [a.val if isinstance(a, Literal) else env[a] for a in jaxpr.outvars]


def _checked_param(value: Any, checks: Checks) -> Any:
    """Return a parameter of an equation, with the checks in the jaxprs it holds."""
    if isinstance(value, ClosedJaxpr):
        return with_checks(value, checks)
    if isinstance(value, tuple) and any(isinstance(v, ClosedJaxpr) for v in value):
        return tuple(_checked_param(v, checks) for v in value)
    return value


def _check_not_nan(eqn: JaxprEqn, value: Any) -> None:
    if isinstance(value, Tracer) and is_inexact(value.dtype):
        failure = Failure(_nan_text(eqn.primitive), (), eqn.source, error=FloatingPointError)
        check_p.bind(eq(value, value), failure=failure)


def _check_divisor(eqn: JaxprEqn, divisor: Any) -> None:
    if not isinstance(divisor, Tracer):
        divisor = full((), divisor, eqn.invars[1].aval.dtype)
    text = f"division by zero in {eqn.primitive}"
    failure = Failure(text, (), eqn.source, error=ZeroDivisionError)
    check_p.bind(ne(divisor, full(divisor.shape, 0, divisor.dtype)), failure=failure)


def _nan_text(primitive: Primitive) -> str:
    return f"invalid value (nan) produced by {primitive}"


# --- config.debug_nans -------------------------------------------------------------------------


def raise_where_nan_is_made(closed: ClosedJaxpr, args: Sequence[Any], outs: Sequence[Any]) -> None:
    """Raise when a program's results hold a NaN, naming the line that made it.

    The program runs once more for that, with a check after each of its equations.
    """
    if not any(_has_nan(o) for o in outs):
        return
    compiled(with_checks(closed, Checks(division=False)), "debug_nans")(*args)
    raise FloatingPointError(
        compose(
            "a compiled function returned a nan.",
            "no equation of it makes one when they run one by one; an argument may hold it.",
        )
    )


def _has_nan(value: Any) -> bool:
    return is_inexact(value.dtype) and bool(np.isnan(value).any())


_plain_bind, _plain_process = Primitive.bind, EvalTrace.process


def _watched_process(
    self: EvalTrace, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
) -> Any:
    with np.errstate(all="ignore"):
        out = _plain_process(self, primitive, args, params)
    for value in out if primitive.multiple_results else [out]:
        if _has_nan(value):
            inside = {k: _checked_param(v, Checks(division=False)) for k, v in params.items()}
            if inside != params:
                _plain_process(self, primitive, args, inside)  # raises with the line inside
            error = FloatingPointError(_nan_text(primitive))
            error.add_note(f"checked at {current_source()}")
            raise error
    return out


def _watched_bind(self: Primitive, *args: Any, **params: Any) -> Any:
    trace = state.trace
    if trace is EVAL:
        return _watched_process(EVAL, self, args, params)
    return trace.process(self, args, params)


def _follow_config() -> None:
    """Let what computes eagerly look at its results, or not; so it costs nothing when off."""
    watched = config.debug_nans
    Primitive.bind = _watched_bind if watched else _plain_bind  # type: ignore[method-assign]
    EvalTrace.process = _watched_process if watched else _plain_process  # type: ignore[method-assign]


on_change("debug_nans", _follow_config)
_follow_config()
