"""jit_p: a jaxpr as one equation; its rules transform the jaxpr and bind the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from functrace.compiler.kept import compiled_program
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr
from functrace.core.lowering import Nested
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive, Trace
from functrace.errors import DTypeError, compose
from functrace.interpreters.batching import batch_jaxpr
from functrace.interpreters.forward import jvp_jaxpr
from functrace.interpreters.linearize import linearize_jaxpr
from functrace.interpreters.reverse import transpose_jaxpr

if TYPE_CHECKING:
    from functrace.compiler.pipeline import Compiled

__all__ = ["bind_jit", "compiled", "is_compiled", "jit_p"]

jit_p = Primitive("jit", multiple_results=True)


def bind_jit(
    closed: ClosedJaxpr, name: str, args: Sequence[Any], threads: int | None = None
) -> list[Any]:
    """Apply a closed jaxpr as one equation; a limit of threads is a parameter only if there is."""
    limit = {} if threads is None else {"threads": threads}
    return jit_p.bind(*args, jaxpr=closed, name=name, **limit)  # type: ignore[no-any-return]


def is_compiled(closed: ClosedJaxpr) -> bool:
    """Whether a compiled form of a jaxpr is in its memo."""
    return any(key[0] == "compiled" for key in closed.memo)


def compiled(
    closed: ClosedJaxpr,
    name: str,
    threads: int | None = None,
    donated: Sequence[tuple[int, int]] = (),
) -> Compiled:
    """Return the compiled form of a jaxpr, kept in its memo; ``donated`` as of the compiler."""
    key = ("compiled", threads, *donated)
    program: Compiled | None = closed.memo.get(key)
    if program is None:
        _refuse_long_double(closed, name)
        program = compiled_program(closed, name, threads, donated)
        closed.memo[key] = program
    return program


def _refuse_long_double(closed: ClosedJaxpr, name: str) -> None:
    """Raise when a value is of NumPy's long double, which no kernel computes in."""
    for eqn in closed.eqns:
        for var in (*eqn.invars, *eqn.outvars):
            if var.aval.dtype in _LONG_DOUBLE:
                place = f" at {eqn.source}" if eqn.source is not None else ""
                raise DTypeError(
                    compose(
                        f"jit of {name}: {eqn.primitive} has an operand or result of type "
                        f"{var.aval}{place}.",
                        "long double has no machine code; it is eager only.",
                        "astype(np.float64), or call the function without jit.",
                    )
                )


_LONG_DOUBLE = frozenset(
    np.dtype(c) for c in "gG" if np.dtype(c) not in (np.dtype("d"), np.dtype("D"))
)


@jit_p.def_impl
def _jit_impl(*args: Any, jaxpr: ClosedJaxpr, name: str, threads: int | None = None) -> list[Any]:
    return list(compiled(jaxpr, name, threads)(*args))


@jit_p.def_abstract_eval
def _jit_type(
    *avals: ShapedArray, jaxpr: ClosedJaxpr, name: str, threads: int | None = None
) -> list[ShapedArray]:
    for given, wanted in zip(avals, jaxpr.in_avals, strict=True):
        if not given.same_type(wanted):
            raise TypeError(f"jit of {name} got {given} where its jaxpr has {wanted}")
    return jaxpr.out_avals


@jit_p.def_jvp
def _jit_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    jaxpr: ClosedJaxpr,
    name: str,
    threads: int | None = None,
) -> tuple[list[Any], list[Any]]:
    nonzero = tuple(t is not None for t in tangents)
    moved, nonzero_out = jvp_jaxpr(jaxpr, nonzero)
    moving_in = [t for t in tangents if t is not None]
    outs = bind_jit(moved, f"jvp({name})", [*primals, *moving_in], threads)
    n = len(jaxpr.jaxpr.outvars)
    moving = iter(outs[n:])
    return outs[:n], [next(moving) if nz else None for nz in nonzero_out]


@jit_p.def_linearize
def _jit_linearize(
    parent: Trace,
    primals: Sequence[Any],
    nonzero: Sequence[bool],
    *,
    jaxpr: ClosedJaxpr,
    name: str,
    threads: int | None = None,
) -> tuple[list[Any], tuple[bool, ...], Callable[[list[Any]], list[Any]]]:
    split = linearize_jaxpr(jaxpr, tuple(nonzero))
    results = bind_jit(split.primal, name, primals, threads)
    n = len(results) - split.n_residuals
    residuals = results[n:]

    def linear(tangents: list[Any]) -> list[Any]:
        return bind_jit(split.linear, f"linear({name})", [*residuals, *tangents], threads)

    return results[:n], split.nonzero_out, linear


@jit_p.def_transpose
def _jit_transpose(
    ct: list[Any], *args: Any, jaxpr: ClosedJaxpr, name: str, threads: int | None = None
) -> list[Any]:
    linear = tuple(is_linear(a) for a in args)
    nonzero_ct = tuple(c is not None for c in ct)
    transposed, nonzero = transpose_jaxpr(jaxpr, linear, nonzero_ct)
    known = [a for a in args if not is_linear(a)]
    given = [*known, *(c for c in ct if c is not None)]
    outs = bind_jit(transposed, f"transpose({name})", given, threads)
    pulled, moves = iter(outs), iter(nonzero)
    return [(next(pulled) if next(moves) else None) if lin else None for lin in linear]


@jit_p.def_batching
def _jit_batching(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    jaxpr: ClosedJaxpr,
    name: str,
    threads: int | None = None,
) -> tuple[list[Any], tuple[int | None, ...]]:
    batched, out_dims = batch_jaxpr(jaxpr, size, tuple(dims))
    return bind_jit(batched, f"vmap({name})", args, threads), out_dims


jit_p.def_lowering(Nested("jaxpr"))
