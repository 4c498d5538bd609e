"""jvp and linearize: derivatives along directions, forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace import tree
from functrace.api.call import Aux, Call, linearize_call
from functrace.api.util import (
    Owner,
    given_tangent,
    output_type,
    strong_type,
    transformation_name,
    zero_gradient,
)
from functrace.core.arguments import check_same_structure, require_callable
from functrace.core.aval import ShapeDtypeStruct
from functrace.core.jaxpr import Jaxpr
from functrace.errors import compose
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import LinearProgram
from functrace.source_info import api_boundary, describe_function

__all__ = ["LinearizedFunction", "jvp", "linearize"]


@api_boundary
def jvp(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> Any:
    """Push tangents forward: the output of ``fun`` and its directional derivative.

    Args:
        fun: a function of the primals.
        primals: where to differentiate; a tuple or list of the arguments.
        tangents: the direction, of the same structure and shapes; Python numbers and other float
            dtypes are cast. Integer primals have tangents of dtype ``float0``.
        has_aux: whether ``fun`` returns ``(output, aux)``.

    Returns:
        ``(output, output_tangent)``, and the auxiliary data third with ``has_aux``.

    Example:
        >>> import numpy as np
        >>> jvp(np.sin, (0.0,), (2.0,))
        (np.float64(0.0), np.float64(2.0))
    """
    require_callable(fun, "jvp")
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(
                compose(
                    f"jvp: {name} is a {type(value).__name__}.",
                    then="a tuple or list with one entry per argument: jvp(f, (x,), (t,)).",
                )
            )
    call = Call(fun, primals, {}, has_aux)
    values, _ = call.take_leaves(range(len(primals)), "jvp")
    check_same_structure(
        tree.structure(tuple(tangents)), tree.structure(tuple(primals)), "jvp: the tangents' tree"
    )
    places = [tree.keystr(path) for path, _ in tree.leaves_with_path(tuple(primals))]
    moving = [
        given_tangent(t, v, p) for t, v, p in zip(tree.leaves(tuple(tangents)), values, places)
    ]
    aux = Aux(call)
    outs, out_tangents = jvp_flat(aux.run, values, moving, transformation_name("jvp", fun))
    owner = Owner(values, moving)
    outs = [owner.own_foreign(o) if t is None else owner.own(o) for o, t in zip(outs, out_tangents)]
    types = [output_type(o, describe_function(fun)) for o in outs[: aux.count]]
    flat_tangents = [
        zero_gradient(a.strong()) if t is None else owner.own(t)
        for a, t in zip(types, out_tangents)
    ]
    outs, aux_value = aux.split(outs, owner)
    result = (call.output(outs), call.output(flat_tangents))
    return (*result, aux_value) if has_aux else result


# --- linearize ---------------------------------------------------------------------------------


class LinearizedFunction:
    """The function ``linearize`` returns: tangents of the arguments to tangents of the output."""

    def __init__(
        self,
        call: Call,
        program: LinearProgram,
        primals: list[Any],
        outs: list[Any],
        moves: list[bool],
    ) -> None:
        self._call = call
        self._program = program
        self._in_avals = [strong_type(p) for p in primals]
        self._out_avals = [output_type(o, describe_function(call.fun)).strong() for o in outs]
        self._moves = moves

    @property
    def jaxpr(self) -> Jaxpr:
        """The linear program that was recorded."""
        return self._program.to_jaxpr([o for o in self._program.outputs if o is not None])[0]

    @api_boundary
    def __call__(self, *tangents: Any) -> Any:
        """Push tangents forward."""
        wanted = tree.structure(self._call.trees_of(self._in_avals))
        check_same_structure(tree.structure(tangents), wanted, "linearize: the tangents' tree")
        flat = [
            given_tangent(t, a, tree.keystr(path))
            for (path, t), a in zip(
                tree.leaves_with_path(tangents),
                [ShapeDtypeStruct(a.shape, a.dtype) for a in self._in_avals],
            )
        ]
        moving = [t for t, moves in zip(flat, self._moves) if moves]
        outs = self._program.apply(moving)
        owner = Owner(flat)
        return self._call.output(
            [zero_gradient(a) if o is None else owner.own(o) for o, a in zip(outs, self._out_avals)]
        )


@api_boundary
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Run ``fun`` and return its output with its derivative there, as a linear function.

    Args:
        fun: a function of the primals.
        primals: where to linearize.
        has_aux: whether ``fun`` returns ``(output, aux)``.

    Returns:
        ``(output, f_jvp)``, and the auxiliary data third with ``has_aux``; ``f_jvp`` takes
        tangents like the primals. Calling it often doesn't run ``fun`` again.

    Example:
        >>> out, f_jvp = linearize(lambda x: x ** 3, 2.0)
        >>> out, f_jvp(1.0)
        (np.float64(8.0), np.float64(12.0))
    """
    require_callable(fun, "linearize")
    call = Call(fun, primals, {}, has_aux)
    outs, values, moves, program, aux = linearize_call(call, "linearize")
    result = (call.output(outs), LinearizedFunction(call, program, values, outs, moves))
    return (*result, aux) if has_aux else result
