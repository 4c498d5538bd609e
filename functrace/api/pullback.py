"""vjp and linear_transpose: cotangents of outputs to cotangents of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrace import tree
from functrace.api.call import Call, linearize_call
from functrace.api.util import (
    Owner,
    cast_like,
    output_type,
    strong_type,
    transformation_name,
    zero_gradient,
)
from functrace.core.arguments import check_same_structure, require_callable
from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, eval_jaxpr
from functrace.dtypes import is_inexact
from functrace.errors import DTypeError
from functrace.interpreters.linearize import LinearProgram
from functrace.interpreters.reverse import backward_pass, transpose_jaxpr
from functrace.interpreters.staging import stage
from functrace.source_info import api_boundary, describe_function

__all__ = ["Pullback", "linear_transpose", "vjp"]


class Pullback:
    """The function ``vjp`` returns: cotangents of the outputs to cotangents of the arguments.

    It owns its residuals, may be called any number of times, and prints what was recorded:
    ``pullback.jaxpr``.
    """

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
        self._out_avals = [output_type(o, describe_function(call.fun)).strong() for o in outs]
        self._in_avals = [strong_type(p) for p in primals]
        self._moves = moves

    @property
    def jaxpr(self) -> Jaxpr:
        """The linear program that was recorded: tangents to tangents, residuals as constants."""
        moving = [o for o in self._program.outputs[: len(self._out_avals)] if o is not None]
        return self._program.to_jaxpr(moving)[0]

    @api_boundary
    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        """Pull a cotangent of the output back to one cotangent per argument."""
        flat, treedef = tree.flatten(cotangent)
        wanted = self._call.out_tree
        if wanted is None:
            wanted = tree.structure(0)
        check_same_structure(treedef, wanted, "vjp: the cotangent")
        paths = tree.leaves_with_path(cotangent)
        cts = [
            self._given(ct, aval, tree.keystr(path))
            for ct, aval, (path, _) in zip(flat, self._out_avals, paths)
        ]
        cts += [None] * (len(self._program.outputs) - len(cts))
        pulled = iter(backward_pass(self._program, cts))
        owner = Owner(flat, cts)
        leaves = []
        for aval, moved in zip(self._in_avals, self._moves):
            ct = next(pulled) if moved else None
            leaves.append(zero_gradient(aval) if ct is None else owner.own(ct))
        return self._call.trees_of(leaves)

    @staticmethod
    def _given(ct: Any, aval: ShapedArray, place: str) -> Any:
        if not is_inexact(aval.dtype):
            return None
        return cast_like(ct, aval, "cotangent", f"at {place or 'the output'} in vjp")


@api_boundary
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Run ``fun`` and return its output with the function that pulls cotangents back.

    ``fun`` runs once, on concrete values. The pullback holds copies of what it needs, so
    arguments may change before it is called.

    Args:
        fun: a function of the primals.
        primals: the arguments; trees of arrays.
        has_aux: whether ``fun`` returns ``(output, aux)``.

    Returns:
        ``(output, pullback)``, and the auxiliary data third with ``has_aux``. The pullback takes
        a cotangent of the output's structure and returns one cotangent per argument.

    Example:
        >>> import numpy as np
        >>> out, pullback = vjp(lambda x, y: x * y, 3.0, 4.0)
        >>> pullback(1.0)
        (np.float64(4.0), np.float64(3.0))
    """
    require_callable(fun, "vjp")
    call = Call(fun, primals, {}, has_aux)
    outs, values, moves, program, aux = linearize_call(call, "vjp")
    result = (call.output(outs), Pullback(call, program, values, outs, moves))
    return (*result, aux) if has_aux else result


# --- linear_transpose --------------------------------------------------------------------------


@api_boundary
def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return the transpose of a function that is linear in all its arguments.

    Args:
        fun: a linear function.
        primals: arrays or ``ShapeDtypeStruct`` that tell the types of the arguments.

    Returns:
        A function from a cotangent of the output to a tuple of cotangents of the arguments.

    Raises:
        MissingRuleError: ``fun`` isn't linear.

    Example:
        >>> import numpy as np
        >>> linear_transpose(lambda x: 3.0 * x, 1.0)(2.0)
        (np.float64(6.0),)
    """
    require_callable(fun, "linear_transpose")
    call = Call(fun, primals, {}, False)
    call.positions = range(len(primals))
    avals = []
    for primal in primals:
        flat, treedef = tree.flatten(primal)
        call.treedefs.append(treedef)
        avals += [typeof(v).strong() for v in flat]
    closed = stage(call.run, avals, transformation_name("linear_transpose", fun))

    @api_boundary
    def transposed(cotangent: Any) -> tuple[Any, ...]:
        flat, treedef = tree.flatten(cotangent)
        wanted = tree.structure(0) if call.out_tree is None else call.out_tree
        check_same_structure(treedef, wanted, "linear_transpose: the cotangent")
        cts = [
            cast_like(ct, aval.strong(), "cotangent", "in linear_transpose")
            for ct, aval in zip(flat, closed.out_avals)
        ]
        return call.trees_of(_apply_transpose(closed, avals, cts))

    return transposed


def _apply_transpose(
    closed: ClosedJaxpr, avals: Sequence[ShapedArray], cts: Sequence[Any]
) -> list[Any]:
    linear = tuple(is_inexact(a.dtype) for a in avals)
    if not all(linear):
        raise DTypeError("linear_transpose: every argument must be of a float or complex dtype.")
    transposed, nonzero = transpose_jaxpr(closed, linear, (True,) * len(cts))
    pulled = iter(eval_jaxpr(transposed.jaxpr, transposed.consts, *cts))
    owner = Owner(cts)
    return [owner.own(next(pulled)) if nz else zero_gradient(a) for nz, a in zip(nonzero, avals)]
