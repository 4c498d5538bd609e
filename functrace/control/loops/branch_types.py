"""Branches made alike: one structure, one type for each output, one list of operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from functrace import tree
from functrace.control.loops.bodies import Body
from functrace.control.loops.carries import gives_way
from functrace.control.loops.interning import intern_jaxpr
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.dtypes import promote
from functrace.errors import DTypeError, ShapeError, StructureError, compose
from functrace.ops.creation import convert_element_type, convert_element_type_p
from functrace.source_info import describe_function

__all__ = ["common_types", "with_common_operands"]


def common_types(what: str, funs: Sequence[Any], bodies: Sequence[Body]) -> list[ShapedArray]:
    """Return the types of the outputs that all branches have; Python numbers give way.

    Raises:
        StructureError, DTypeError, ShapeError: two branches don't agree; at which leaf.
    """
    first = bodies[0]
    for fun, body in zip(funs, bodies):
        if body.about != first.about:
            raise StructureError(
                compose(
                    f"{what}: {describe_function(fun)} returns {body.about}, "
                    f"{describe_function(funs[0])} returns {first.about}.",
                    "whichever runs, the result has one structure.",
                    "the same containers, keys and lengths.",
                )
            )
    columns = zip(*(body.out_avals for body in bodies))
    return [_common(what, funs, bodies, i, avals) for i, avals in enumerate(columns)]


def _common(
    what: str, funs: Sequence[Any], bodies: Sequence[Body], i: int, avals: Sequence[ShapedArray]
) -> ShapedArray:
    strong = [a.dtype for a in avals if not a.weak_type]
    dtype = strong[0] if strong else promote(*((a.dtype, True) for a in avals))[0]
    for j, aval in enumerate(avals):
        fits = aval.dtype == dtype or gives_way(aval, dtype)
        if aval.shape != avals[0].shape or not fits:
            reference = next(k for k, a in enumerate(avals) if a.dtype == dtype)
            k = 0 if aval.shape != avals[0].shape else reference
            _refuse(what, (funs[k], avals[k]), (funs[j], aval), bodies[0].about, i)
    return ShapedArray(avals[0].shape, dtype, not strong)


def _refuse(what: str, one: Any, other: Any, treedef: Any, i: int) -> NoReturn:
    example = treedef.unflatten(range(treedef.num_leaves))
    leaf = f"output{tree.keystr(tree.leaves_with_path(example)[i][0])}"
    error: type[Exception] = ShapeError
    then = "np.broadcast_to or reshape in one of them."
    if one[1].shape == other[1].shape:
        error, then = DTypeError, f"return {leaf}.astype(np.{one[1].dtype.name}) in the other."
    raise error(
        compose(
            f"{what}: {leaf} of {describe_function(one[0])} is {one[1]}, that of "
            f"{describe_function(other[0])} is {other[1]}.",
            "whichever runs, the result has one type.",
            then,
        )
    )


def with_common_operands(
    bodies: Sequence[Body], avals: Sequence[ShapedArray]
) -> tuple[tuple[ClosedJaxpr, ...], list[Any]]:
    """Return the branches, of outputs of types ``avals``, and what any of them closes over.

    A value that several close over is one operand.
    """
    shared: dict[int, Any] = {}
    for body in bodies:
        shared.update((id(v), v) for v in body.closed_over)
    jaxprs = tuple(_adapted(body, shared, avals) for body in bodies)
    return jaxprs, list(shared.values())


def _adapted(body: Body, shared: dict[int, Any], avals: Sequence[ShapedArray]) -> ClosedJaxpr:
    jaxpr = body.closed.jaxpr
    n = len(body.closed_over)
    mine = {id(v): var for v, var in zip(body.closed_over, jaxpr.invars)}
    invars = [mine.get(k) or Var(typeof(v).strong()) for k, v in shared.items()]
    casts: list[JaxprEqn] = []
    outvars = [_cast(atom, aval, casts) for atom, aval in zip(jaxpr.outvars, avals)]
    new = Jaxpr([], [*invars, *jaxpr.invars[n:]], outvars, [*jaxpr.eqns, *casts])
    return intern_jaxpr(ClosedJaxpr(new, []))


def _cast(atom: Atom, aval: ShapedArray, casts: list[JaxprEqn]) -> Atom:
    """Convert an output that came from Python numbers."""
    if atom.aval.dtype == aval.dtype:
        return atom
    if isinstance(atom, Literal):
        return Literal(convert_element_type(atom.val, aval.dtype))
    var = Var(ShapedArray(aval.shape, aval.dtype))
    casts.append(JaxprEqn(convert_element_type_p, [atom], [var], {"new_dtype": aval.dtype}))
    return var
