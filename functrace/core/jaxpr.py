"""The jaxpr: a program as a list of primitive equations over typed variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, typeof
from functrace.core.trace import Primitive
from functrace.errors import JaxprTypeError
from functrace.source_info import SourceInfo, replayed

__all__ = [
    "Atom",
    "ClosedJaxpr",
    "Jaxpr",
    "JaxprEqn",
    "Literal",
    "Var",
    "check_jaxpr",
    "eval_jaxpr",
    "jaxpr_as_fun",
    "subjaxprs",
]


class Var:
    """A variable of a jaxpr; identity is its name."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var(id={id(self)}):{self.aval}"


class Literal:
    """A scalar constant written into an equation."""

    __slots__ = ("aval", "val")

    def __init__(self, val: Any, aval: ShapedArray | None = None) -> None:
        self.val = val
        self.aval = typeof(val) if aval is None else aval

    def __repr__(self) -> str:
        return f"Literal({self.val})"


Atom = Var | Literal


class JaxprEqn:
    """``outvars = primitive[params] invars``, with the user's line it came from."""

    __slots__ = ("invars", "outvars", "params", "primitive", "source")

    def __init__(
        self,
        primitive: Primitive,
        invars: Sequence[Atom],
        outvars: Sequence[Var],
        params: dict[str, Any],
        source: SourceInfo | None = None,
    ) -> None:
        self.primitive = primitive
        self.invars = list(invars)
        self.outvars = list(outvars)
        self.params = params
        self.source = source

    def replace(self, **changes: Any) -> JaxprEqn:
        """Return a copy with some fields changed."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return JaxprEqn(**{**fields, **changes})


class Jaxpr:
    """Equations from ``constvars`` and ``invars`` to ``outvars``."""

    __slots__ = ("constvars", "eqns", "invars", "outvars")

    def __init__(
        self,
        constvars: Sequence[Var],
        invars: Sequence[Var],
        outvars: Sequence[Atom],
        eqns: Sequence[JaxprEqn],
    ) -> None:
        self.constvars = list(constvars)
        self.invars = list(invars)
        self.outvars = list(outvars)
        self.eqns = list(eqns)

    def __str__(self) -> str:
        return Jaxpr.printer(self)

    __repr__ = __str__

    @staticmethod
    def printer(jaxpr: Jaxpr) -> str:
        """Print it; ``core.pretty`` puts the real printer here."""
        raise AssertionError("core.pretty is not imported")


class ClosedJaxpr:
    """A jaxpr with the values of its constvars. Transformations of it are kept in ``memo``."""

    __slots__ = ("__weakref__", "consts", "jaxpr", "memo")

    def __init__(self, jaxpr: Jaxpr, consts: Sequence[Any]) -> None:
        assert len(jaxpr.constvars) == len(consts)
        self.jaxpr = jaxpr
        self.consts = list(consts)
        self.memo: dict[Any, Any] = {}

    @property
    def in_avals(self) -> list[ShapedArray]:
        """The types of the inputs."""
        return [v.aval for v in self.jaxpr.invars]

    @property
    def out_avals(self) -> list[ShapedArray]:
        """The types of the outputs."""
        return [v.aval for v in self.jaxpr.outvars]

    @property
    def eqns(self) -> list[JaxprEqn]:
        """The equations."""
        return self.jaxpr.eqns

    @property
    def literals(self) -> list[Any]:
        """The constants, by their old name."""
        return self.consts

    def __str__(self) -> str:
        return str(self.jaxpr)

    __repr__ = __str__


def eval_jaxpr(jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
    """Run a jaxpr's equations under the current trace and return its outputs.

    Args:
        jaxpr: the program.
        consts: values for ``jaxpr.constvars``.
        args: values for ``jaxpr.invars``.

    Example:
        >>> import functrace as ft
        >>> closed = ft.make_jaxpr(lambda x: x * 2.0)(1.0)
        >>> eval_jaxpr(closed.jaxpr, closed.consts, 4.0)
        [np.float64(8.0)]
    """
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, consts))
    if len(args) != len(jaxpr.invars):
        raise TypeError(f"eval_jaxpr: {len(args)} arguments for {len(jaxpr.invars)} inputs")
    env.update(zip(jaxpr.invars, args))
    last_use = _last_uses(jaxpr)
    outer = replayed.source
    try:
        for i, eqn in enumerate(jaxpr.eqns):
            values = [
                a.val if type(a) is Literal else env[a]  # type: ignore[index]
                for a in eqn.invars
            ]
            replayed.source = eqn.source or outer
            out = eqn.primitive.bind(*values, **eqn.params)
            if eqn.primitive.multiple_results:
                env.update(zip(eqn.outvars, out))
            else:
                env[eqn.outvars[0]] = out
            for var in last_use.get(i, ()):
                env.pop(var, None)
    finally:
        replayed.source = outer
    return [a.val if type(a) is Literal else env[a] for a in jaxpr.outvars]  # type: ignore[index]


def _last_uses(jaxpr: Jaxpr) -> dict[int, list[Var]]:
    """Return which variables die after which equation, so that memory is freed early."""
    kept = {id(v) for v in jaxpr.outvars}
    last: dict[Var, int] = {}
    for i, eqn in enumerate(jaxpr.eqns):
        for atom in (*eqn.invars, *eqn.outvars):
            if isinstance(atom, Var) and id(atom) not in kept:
                last[atom] = i
    uses: dict[int, list[Var]] = {}
    for var, i in last.items():
        uses.setdefault(i, []).append(var)
    return uses


def jaxpr_as_fun(closed: ClosedJaxpr) -> Any:
    """Return the Python function of flat arguments that runs a closed jaxpr."""

    def run(*args: Any) -> list[Any]:
        return eval_jaxpr(closed.jaxpr, closed.consts, *args)

    return run


def subjaxprs(jaxpr: Jaxpr) -> Iterator[Jaxpr]:
    """Yield the jaxprs that the parameters of the equations hold."""
    for eqn in jaxpr.eqns:
        for value in eqn.params.values():
            for item in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(item, ClosedJaxpr):
                    yield item.jaxpr
                elif isinstance(item, Jaxpr):
                    yield item


# --- checking ----------------------------------------------------------------------------------


def check_jaxpr(jaxpr: Jaxpr) -> None:
    """Check that a jaxpr is well formed: scoping, and the type of every equation.

    Raises:
        JaxprTypeError: naming the equation; a rule or a transformation has a bug.
    """
    bound: set[Var] = set()
    for var in (*jaxpr.constvars, *jaxpr.invars):
        _bind_var(var, bound, jaxpr)
    for i, eqn in enumerate(jaxpr.eqns):
        for atom in eqn.invars:
            _check_atom(atom, bound, f"input of equation {i} ({eqn.primitive})", jaxpr)
        _check_eqn(eqn, i, jaxpr)
        for var in eqn.outvars:
            _bind_var(var, bound, jaxpr)
    for atom in jaxpr.outvars:
        _check_atom(atom, bound, "output", jaxpr)
    for inner in subjaxprs(jaxpr):
        check_jaxpr(inner)


def _bind_var(var: Var, bound: set[Var], jaxpr: Jaxpr) -> None:
    if not isinstance(var, Var) or var in bound:
        raise JaxprTypeError(f"{var!r} is bound twice, or no variable, in\n{jaxpr}")
    bound.add(var)


def _check_atom(atom: Atom, bound: set[Var], where: str, jaxpr: Jaxpr) -> None:
    if isinstance(atom, Literal):
        value = atom.val
        if np.shape(value) != () or not typeof(value).same_type(atom.aval):
            raise JaxprTypeError(f"literal {value!r} is not of type {atom.aval} at {where}")
    elif atom not in bound:
        raise JaxprTypeError(f"{where} uses an unbound variable of type {atom.aval} in\n{jaxpr}")


def _check_eqn(eqn: JaxprEqn, i: int, jaxpr: Jaxpr) -> None:
    rule = eqn.primitive.rule("abstract_eval", "check_jaxpr")
    try:
        result = rule(*(atom.aval for atom in eqn.invars), **eqn.params)
    except (TypeError, ValueError) as error:
        raise JaxprTypeError(
            f"equation {i} ({eqn.primitive}) doesn't type-check: {error}\nin\n{jaxpr}"
        ) from error
    outs = result if eqn.primitive.multiple_results else [result]
    if len(outs) != len(eqn.outvars):
        raise JaxprTypeError(f"equation {i} ({eqn.primitive}) has {len(eqn.outvars)} outputs")
    for var, aval in zip(eqn.outvars, outs):
        if not var.aval.same_type(aval):
            raise JaxprTypeError(
                f"equation {i} ({eqn.primitive}) gives {aval}, its variable is {var.aval}"
                f"\nin\n{jaxpr}"
            )
