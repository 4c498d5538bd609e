"""Reverse mode: transpose a recorded linear program by walking it backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrace.core.aval import ShapedArray, typeof
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, Var
from functrace.core.placeholders import UndefPrimal
from functrace.errors import JaxprTypeError
from functrace.interpreters.linearize import LinearEqn, LinearProgram, LinearTracer
from functrace.interpreters.staging import stage
from functrace.ops.arithmetic import add_p
from functrace.ops.creation import zeros_like_aval

__all__ = ["backward_pass", "transpose_jaxpr"]


def backward_pass(
    program: LinearProgram, cotangents: Sequence[Any], consume: bool = False
) -> list[Any]:
    """Pull cotangents of the outputs (None is zero) back to the inputs.

    Args:
        program: the linear program.
        cotangents: one per output.
        consume: drop each equation, and so its residuals, as the walk passes it.

    Returns:
        The cotangents of the inputs; None where they are zero.
    """
    cts: list[Any] = [None] * program.count
    for tracer, ct in zip(program.outputs, cotangents):
        if tracer is not None and ct is not None:
            _accumulate(cts, tracer.index, ct)
    eqns = program.eqns
    if consume:
        while eqns:
            eqn = eqns.pop()
            _pull(eqn, cts)
            for tracer in eqn[3]:
                tracer.made_by = None
    else:
        for eqn in reversed(eqns):
            _pull(eqn, cts)
    return [cts[tracer.index] for tracer in program.inputs]


def _pull(eqn: LinearEqn, cts: list[Any]) -> None:
    primitive, args, params, outs = eqn
    if primitive.multiple_results:
        ct: Any = [cts[o.index] for o in outs]
        for o in outs:
            cts[o.index] = None
        if all(c is None for c in ct):
            return
    else:
        index = outs[0].index
        ct = cts[index]
        if ct is None:
            return
        cts[index] = None
    rule = primitive.transpose or primitive.rule("transpose", "reverse mode")
    for arg, term in zip(args, rule(ct, *args, **params)):
        if term is not None and type(arg) is LinearTracer:
            index = arg.index
            known = cts[index]
            cts[index] = term if known is None else add_p.bind(known, term)


def _accumulate(cts: list[Any], index: int, ct: Any) -> None:
    known = cts[index]
    cts[index] = ct if known is None else add_p.bind(known, ct)


def transpose_jaxpr(
    closed: ClosedJaxpr,
    linear: tuple[bool, ...],
    nonzero_ct: tuple[bool, ...],
    instantiate: tuple[bool, ...] = (),
) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """Transpose a jaxpr in its linear inputs.

    Args:
        closed: the jaxpr.
        linear: which inputs it is linear in.
        nonzero_ct: which outputs have a cotangent.
        instantiate: which linear inputs get a cotangent in any case, of zeros if need be.

    Returns:
        A jaxpr from the other inputs and the nonzero cotangents to the nonzero cotangents of
        the linear inputs, and which of the linear inputs have one.
    """
    key = ("transpose", linear, nonzero_ct, instantiate)
    known = closed.memo.get(key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    jaxpr = closed.jaxpr
    found: list[bool] = []

    def fun(*args: Any) -> list[Any]:
        values = iter(args)
        env: dict[Var, Any] = dict(zip(jaxpr.constvars, closed.consts))
        env.update((v, next(values)) for v, lin in zip(jaxpr.invars, linear) if not lin)
        cts = [next(values) if nz else None for nz in nonzero_ct]
        wanted = [v for v, lin in zip(jaxpr.invars, linear) if lin]
        results = _transpose_eqns(jaxpr, env, wanted, cts)
        for i, asked in enumerate(instantiate):
            if asked and results[i] is None:
                results[i] = zeros_like_aval(wanted[i].aval.tangent())
        found[:] = [r is not None for r in results]
        return [r for r in results if r is not None]

    avals = [v.aval for v, lin in zip(jaxpr.invars, linear) if not lin]
    ct_avals = [a.tangent() for a, nz in zip(closed.out_avals, nonzero_ct) if nz]
    result = stage(fun, [*avals, *ct_avals], "transpose"), tuple(found)
    closed.memo[key] = result
    return result


def _transpose_eqns(
    jaxpr: Jaxpr, env: dict[Var, Any], wanted: Sequence[Var], cotangents: Sequence[Any]
) -> list[Any]:
    """Run the non-linear equations forward, then pull cotangents through the linear ones."""
    linear_vars = set(wanted)
    linear_eqns = []
    for eqn in jaxpr.eqns:
        if any(isinstance(a, Var) and a in linear_vars for a in eqn.invars):
            linear_eqns.append(eqn)
            linear_vars.update(eqn.outvars)
            continue
        values = [a.val if isinstance(a, Literal) else env[a] for a in eqn.invars]
        outs = eqn.primitive.bind(*values, **eqn.params)
        env.update(zip(eqn.outvars, outs if eqn.primitive.multiple_results else (outs,)))
    cts: dict[Var, Any] = {}
    for atom, ct in zip(jaxpr.outvars, cotangents):
        if isinstance(atom, Var) and atom in linear_vars and ct is not None:
            cts[atom] = add_p.bind(cts[atom], ct) if atom in cts else ct
    for eqn in reversed(linear_eqns):
        out_cts = [cts.pop(v, None) for v in eqn.outvars]
        if all(c is None for c in out_cts):
            continue
        args = [
            a.val if isinstance(a, Literal) else UndefPrimal(a.aval) if a in linear_vars else env[a]
            for a in eqn.invars
        ]
        rule = eqn.primitive.rule("transpose", "transpose_jaxpr")
        terms = rule(out_cts if eqn.primitive.multiple_results else out_cts[0], *args, **eqn.params)
        for atom, term in zip(eqn.invars, terms):
            if term is None or not isinstance(atom, Var) or atom not in linear_vars:
                continue
            _check_cotangent(term, atom.aval, eqn.primitive.name)
            cts[atom] = add_p.bind(cts[atom], term) if atom in cts else term
    return [cts.get(v) for v in wanted]


def _check_cotangent(ct: Any, aval: ShapedArray, name: str) -> None:
    if not typeof(ct).same_type(aval):
        raise JaxprTypeError(
            f"the transpose rule of {name} gave a cotangent of type {typeof(ct)} "
            f"for an operand of type {aval}"
        )
