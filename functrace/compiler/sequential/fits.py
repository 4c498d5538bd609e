"""Decides which loops and branches become one kernel: those whose values are all small."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from functrace.compiler.plan import Array, Body, Op
from functrace.compiler.planning.in_place import chain
from functrace.compiler.rewriting.structured import holds_jaxprs, inner_jaxprs
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, JaxprEqn
from functrace.core.lowering import (
    Barrier,
    Elementwise,
    Indexed,
    Library,
    Nest,
    Reduction,
    Routines,
    Scan,
    View,
    While,
)

__all__ = ["ARRAY_BYTES", "fits_one_kernel", "stays_in_place"]

#: An array made inside may be so large, and all of them together.
ARRAY_BYTES, ALL_BYTES = 4096, 1 << 17
#: Larger products are faster as a call of BLAS.
MOST_PRODUCTS = 1 << 14
#: More equations than this take LLVM too long.
MOST_EQUATIONS = 2000

_ALWAYS = (Barrier, Elementwise, Indexed, Reduction, View)


def fits_one_kernel(eqn: JaxprEqn) -> bool:
    """Whether a loop or branch can be one kernel, whose arrays all live on the stack."""
    count = _Count()
    return all(count.jaxpr(closed) for closed in inner_jaxprs(eqn.primitive, eqn.params))


class _Count:
    def __init__(self) -> None:
        self.nbytes = 0
        self.equations = 0

    def jaxpr(self, closed: ClosedJaxpr) -> bool:
        return all(map(self.equation, closed.eqns))

    def equation(self, eqn: JaxprEqn) -> bool:
        self.equations += 1
        lowering = eqn.primitive.lowering
        avals = [v.aval for v in eqn.outvars]
        if isinstance(lowering, Nest) and lowering.scratch is not None:
            ins = [a.aval for a in eqn.invars]
            avals += [ShapedArray(s, np.dtype(d)) for s, d in lowering.scratch(ins, **eqn.params)]
        if not isinstance(lowering, (Barrier, View)) and not self.small(
            avals[_may_be_large(eqn) :]
        ):
            return False
        if self.equations > MOST_EQUATIONS or self.nbytes > ALL_BYTES:
            return False
        if holds_jaxprs(eqn.primitive):
            return all(map(self.jaxpr, inner_jaxprs(eqn.primitive, eqn.params)))
        if isinstance(lowering, Library):
            return _products(eqn, lowering) <= MOST_PRODUCTS
        if isinstance(lowering, Routines):
            return self.routine(eqn, lowering)
        return isinstance(lowering, (*_ALWAYS, Nest))

    def small(self, avals: Sequence[ShapedArray]) -> bool:
        sizes = [math.prod(a.shape) * a.dtype.itemsize for a in avals]
        self.nbytes += sum(sizes)
        return max(sizes, default=0) <= ARRAY_BYTES

    def routine(self, eqn: JaxprEqn, lowering: Routines) -> bool:
        """Whether a factorisation is written out, without a call of LAPACK."""
        ins, outs = [a.aval for a in eqn.invars], [v.aval for v in eqn.outvars]
        scratch, stages = lowering.plan(ins, outs, np.dtype(np.int64), **eqn.params)
        return not scratch and all(map(callable, stages))


def _may_be_large(eqn: JaxprEqn) -> int:
    """Return how many results may be large because they may be written over operands."""
    lowering, params = eqn.primitive.lowering, eqn.params
    if isinstance(lowering, (Indexed, Nest)):
        return int(lowering.update is not None)
    if isinstance(lowering, Scan):
        carried: int = params["num_carry"]
        return carried
    return len(eqn.outvars) if isinstance(lowering, While) else 0


def stays_in_place(op: Op) -> bool:
    """Whether each large array in a kernel is one that is carried and written over."""
    return all(_body_in_place(body, count) for body, count in zip(op.bodies, _carries(op)))


def _carries(op: Op) -> list[int]:
    """Return how many of the results of each body are carried."""
    lowering = op.eqn.primitive.lowering if op.eqn is not None else None
    if isinstance(lowering, Scan):
        return [op.params["num_carry"]]
    if isinstance(lowering, While):
        return [0, len(op.outs)]
    return [0] * len(op.bodies)


def _body_in_place(body: Body, count: int) -> bool:
    over: set[Array] = set()
    outputs = body.program.outputs[:count]
    for array, out in zip(body.program.inputs, outputs):
        if array.nbytes > ARRAY_BYTES:
            found = None if out.copy else chain(body, out.array, array)
            if found is None or any(o.array is array for o in outputs):
                return False
            over.update(found)
    return all(
        all(a.nbytes <= ARRAY_BYTES or a in over for a in group.stores)
        and all(stays_in_place(op) for op in group.ops)
        for group in body.groups
    )


def _products(eqn: JaxprEqn, lowering: Library) -> int:
    """Return how many multiplications a matrix product of BLAS is."""
    avals = [a.aval for a in eqn.invars]
    product = lowering.rule(avals, **eqn.params)
    if product is None:
        return 0
    contracted: int = math.prod(avals[0].shape[d] for d in product.lhs_contracted)
    return math.prod(eqn.outvars[0].aval.shape) * contracted
