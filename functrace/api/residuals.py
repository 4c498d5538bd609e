"""What reverse mode keeps between its two passes, with the lines it comes from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from functrace import tree
from functrace.api.util import leaf_place
from functrace.control.rules.checkpoint_policies import name_p
from functrace.core.arguments import flat_values, require_callable
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from functrace.core.lowering import Branches, Nested, Scan
from functrace.dtypes import is_inexact
from functrace.interpreters.linearize import linearize_jaxpr
from functrace.interpreters.staging import stage
from functrace.ops.creation import full_p
from functrace.source_info import api_boundary

__all__ = ["print_saved_residuals", "saved_residuals"]


@api_boundary
def saved_residuals(
    fun: Callable[..., Any], *args: Any, **kwargs: Any
) -> list[tuple[ShapedArray, str]]:
    """Return the type of each array that ``vjp(fun, *args, **kwargs)`` keeps, and what it is.

    Example:
        >>> import numpy as np
        >>> [str(aval) for aval, _ in saved_residuals(lambda x: np.sin(np.sin(x)), np.ones(3))]
        ['f64[3]', 'f64[3]']
    """
    require_callable(fun, "saved_residuals")
    leaves, treedef = flat_values((args, kwargs), "an argument of saved_residuals")

    def flat_fun(*values: Any) -> list[Any]:
        given, named = treedef.unflatten(values)
        return flat_values(fun(*given, **named), "an output")[0]

    closed = stage(flat_fun, [typeof(v) for v in leaves], "saved_residuals")
    return _described(closed, _argument_names(fun, args, kwargs))


def _described(closed: ClosedJaxpr, names: list[str]) -> list[tuple[ShapedArray, str]]:
    split = linearize_jaxpr(closed, tuple(is_inexact(a.dtype) for a in closed.in_avals))
    jaxpr = split.primal.jaxpr
    n = len(jaxpr.outvars) - split.n_residuals
    found: dict[Atom, tuple[ShapedArray, str]] = {}
    for atom in jaxpr.outvars[n:]:
        if atom not in found:
            found[atom] = atom.aval.strong(), _origin(jaxpr, atom, names)
    return list(found.values())


def _argument_names(fun: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Return the name of each leaf of the arguments."""
    try:
        parameters = list(inspect.signature(fun).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        parameters = []
    names = []
    for i, arg in enumerate(args):
        known = parameters[i] if i < len(parameters) else ""
        for path, _ in tree.leaves_with_path(arg):
            names.append(f"{known}{tree.keystr(path)}" if known else leaf_place(i, path))
    for key in sorted(kwargs):
        names += [f"{key}{tree.keystr(p)}" for p, _ in tree.leaves_with_path(kwargs[key])]
    return names


def _origin(jaxpr: Jaxpr, atom: Atom, names: list[str]) -> str:
    """Say where a value of a jaxpr comes from."""
    if isinstance(atom, Literal):
        return "from a literal"
    if atom in jaxpr.invars:
        name = names[jaxpr.invars.index(atom)]
        return f"from the argument {name}" if name else "from an argument"
    for eqn in jaxpr.eqns:
        if atom in eqn.outvars:
            return _of_equation(eqn, eqn.outvars.index(atom))
    return "from a constant"


def _of_equation(eqn: JaxprEqn, index: int) -> str:
    lowering = eqn.primitive.lowering
    if isinstance(lowering, Nested):
        inner = eqn.params[lowering.jaxpr].jaxpr
        return _origin(inner, inner.outvars[index], [""] * len(inner.invars))
    if isinstance(lowering, Scan) and index >= eqn.params["num_carry"]:
        return f"{_of_step(eqn, index)}, of each step"
    if isinstance(lowering, Branches):
        return _of_branch(eqn, index)
    place = f" from {eqn.source}" if eqn.source is not None else ""
    if eqn.primitive is name_p:
        return f"named {eqn.params['name']!r}{place}"
    return f"output of {eqn.primitive}{place}"


def _of_step(eqn: JaxprEqn, index: int) -> str:
    """Say what a loop stacks."""
    body = eqn.params["jaxpr"].jaxpr
    atom = body.outvars[index]
    first = eqn.params["num_consts"]
    if atom in body.invars[first : first + eqn.params["num_carry"]]:
        return f"carry of {eqn.primitive}" + (f" from {eqn.source}" if eqn.source else "")
    return _origin(body, atom, [""] * len(body.invars))


def _of_branch(eqn: JaxprEqn, index: int) -> str:
    """Say what the branches hand out; those that have nothing there hand out zeros."""
    texts: dict[str, None] = {}
    for branch in eqn.params["branches"]:
        atom = branch.jaxpr.outvars[index]
        if not any(e.primitive is full_p and atom in e.outvars for e in branch.eqns):
            texts[_origin(branch.jaxpr, atom, [""] * len(branch.jaxpr.invars))] = None
    return f"{', or '.join(texts) or 'zeros'}, of a branch"


@api_boundary
def print_saved_residuals(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print the type of each array that ``vjp(fun, *args, **kwargs)`` keeps, and what it is.

    Example:
        >>> import numpy as np
        >>> print_saved_residuals(lambda x, y: x * y, 1.0, np.float64(2.0))
        f64[] from the argument y
        f64[] from the argument x
    """
    for aval, origin in saved_residuals(fun, *args, **kwargs):
        print(aval, origin)
