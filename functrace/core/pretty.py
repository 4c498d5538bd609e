"""Jaxprs as text, in JAX's form: ``{ lambda ; a:f64[3]. let b:f64[3] = sin a in (b,) }``."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

__all__ = ["format_jaxpr", "variable_name"]


def variable_name(index: int) -> str:
    """Return the ``index``-th variable name: a, b, ..., z, ba, bb, ..."""
    letters = ""
    while True:
        index, digit = divmod(index, 26)
        letters = chr(ord("a") + digit) + letters
        if index == 0:
            return letters


class _Names:
    """Names of variables, given in the order they are met."""

    def __init__(self) -> None:
        self.names: dict[Var, str] = {}

    def __call__(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            return f"{_literal_text(atom.val)}:{atom.aval}"
        if atom not in self.names:
            self.names[atom] = variable_name(len(self.names))
        return self.names[atom]

    def typed(self, var: Var) -> str:
        return f"{self(var)}:{var.aval}"


def _literal_text(value: Any) -> str:
    return repr(value.item()) if isinstance(value, (np.generic, np.ndarray)) else repr(value)


def format_jaxpr(jaxpr: Jaxpr, *, indent: int = 0, source: bool = False) -> str:
    """Return a jaxpr as text.

    Args:
        jaxpr: the program.
        indent: columns to the left of every line.
        source: end each equation with the user's line.
    """
    pad = " " * indent
    names = _Names()
    consts = " ".join(names.typed(v) for v in jaxpr.constvars)
    invars = " ".join(names.typed(v) for v in jaxpr.invars)
    head = f"{{ lambda {consts + ' ' if consts else ''}; {invars}. let"
    lines = [head]
    lines += [f"{pad}    {_format_eqn(e, names, indent + 4, source)}" for e in jaxpr.eqns]
    outs = ", ".join(names(a) for a in jaxpr.outvars)
    outs += "," if len(jaxpr.outvars) == 1 else ""
    lines.append(f"{pad}  in ({outs}) }}")
    return "\n".join(lines)


def _format_eqn(eqn: JaxprEqn, names: _Names, indent: int, source: bool) -> str:
    params = _format_params(eqn.params, indent)
    invars = " ".join(names(a) for a in eqn.invars)
    outs = " ".join(names.typed(v) for v in eqn.outvars)
    line = f"{outs} = {eqn.primitive}{params} {invars}".rstrip()
    if source and eqn.source is not None:
        line += f"    # {eqn.source}"
    return line


def _format_params(params: dict[str, Any], indent: int) -> str:
    shown = {k: v for k, v in params.items() if v is not None}
    if not shown:
        return ""
    pad = " " * (indent + 2)
    if any(isinstance(v, (ClosedJaxpr, Jaxpr)) for v in shown.values()):
        body = "\n".join(f"{pad}{k}={_format_param(v, indent + 2)}" for k, v in shown.items())
        return f"[\n{body}\n{' ' * indent}]"
    return "[" + " ".join(f"{k}={_format_param(v, indent)}" for k, v in shown.items()) + "]"


def _format_param(value: Any, indent: int) -> str:
    if isinstance(value, ClosedJaxpr):
        return format_jaxpr(value.jaxpr, indent=indent)
    if isinstance(value, Jaxpr):
        return format_jaxpr(value, indent=indent)
    if isinstance(value, np.dtype):
        return str(value)
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return str(value)


Jaxpr.printer = staticmethod(format_jaxpr)  # type: ignore[method-assign]
