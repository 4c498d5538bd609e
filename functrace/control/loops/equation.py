"""A loop or a choice called on arrays: its one equation, compiled as a program of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from functrace.compiler.kept import compiled_program
from functrace.config import config
from functrace.core.aval import typeof
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from functrace.core.trace import Primitive

if TYPE_CHECKING:
    from functrace.compiler.pipeline import Compiled

__all__ = ["compiled_equation"]


def compiled_equation(
    primitive: Primitive, holder: ClosedJaxpr, args: Sequence[Any], params: dict[str, Any]
) -> Compiled | None:
    """Return the program of an equation for operands of these types; kept by ``holder``.

    None when Python is to run it: it was asked for, or the compiler has no form for it.
    """
    if config.disable_jit or config.backend == "python":
        return None
    avals = tuple(typeof(a).strong() for a in args)
    key = ("program", primitive, avals, *params.items())
    if key not in holder.memo:
        holder.memo[key] = _compile(primitive, avals, params)
    program: Compiled | None = holder.memo[key]
    return program


def _compile(primitive: Primitive, avals: Sequence[Any], params: dict[str, Any]) -> Compiled | None:
    assert primitive.abstract_eval is not None
    invars = [Var(a) for a in avals]
    outvars = [Var(a) for a in primitive.abstract_eval(*avals, **params)]
    eqn = JaxprEqn(primitive, invars, outvars, params)
    try:
        closed = ClosedJaxpr(Jaxpr([], invars, outvars, [eqn]), [])
        return compiled_program(closed, primitive.name, None)
    except NotImplementedError:
        return None
